"""joins.py: logged rankings and events -> each ranking with what followed it.

Rankings stream in the order of time; only those of the last `window` are held at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from reranker.events.events import HistoryEvent
from reranker.feedback.followed import LoggedEvents
from reranker.feedback.records import LoggedRanking
from reranker.histories.histories import Shopper

GRADES: Final[Mapping[str, float]] = {"view": 1.0, "click": 1.0, "cart": 2.0, "purchase": 3.0}


@dataclass(frozen=True)
class JoinRules:
    """grades: of event types; others say nothing. window: seconds after a ranking in which an
    event that names no ranking may belong to it."""

    grades: Mapping[str, float] = field(default_factory=lambda: GRADES)
    window: float = 1800.0


class JoinCounts(msgspec.Struct):
    """What became of every ranking and of the events that could belong to one."""

    rankings: int = 0
    joined: int = 0
    without_events: int = 0
    empty: int = 0  # nothing was shown: left out
    repeated: int = 0  # a ranking's id again: left out
    out_of_order: int = 0  # by more than the window: an event may have gone to another ranking
    without_shopper: int = 0  # neither user nor session: joined by the ranking's id alone
    events_by_id: int = 0
    events_by_window: int = 0
    events_of_items_not_shown: int = 0  # they name a ranking that did not show their item
    events_of_other_rankings: int = 0  # they name a ranking that is not there


@dataclass(frozen=True)
class JoinedRanking:
    """A ranking and the types of what was done with each of its items afterwards."""

    ranking: LoggedRanking
    who: Shopper  # as the histories name them
    followed: dict[str, set[str]]

    def grades(self, grades: Mapping[str, float]) -> dict[str, float]:
        """The best grade of each item that something was done with, in the order shown."""
        return {
            item: max(grades[kind] for kind in self.followed[item])
            for item in self.ranking.items
            if item in self.followed
        }


class RankingJoin:
    """Joins rankings with events and counts what it did."""

    def __init__(self, events: LoggedEvents, rules: JoinRules) -> None:
        self.counts = JoinCounts()
        self._events, self._rules = events, rules
        self._held: dict[Shopper, list[LoggedRanking]] = {}  # of the last window, by owner
        self._ids: set[int] = set()

    def __call__(self, rankings: Iterable[LoggedRanking]) -> Iterator[JoinedRanking]:
        """Every ranking once, joined or not, in the order in which they come."""
        waiting: deque[LoggedRanking] = deque()
        newest = float("-inf")
        for ranking in rankings:
            if not self._is_new(ranking):
                continue
            self.counts.out_of_order += ranking.at < newest - self._rules.window
            newest = max(newest, ranking.at)
            waiting.append(ranking)
            self._held.setdefault(self._owner(ranking), []).append(ranking)
            while waiting[0].at + self._rules.window <= newest:
                yield self._joined(waiting.popleft())
        while waiting:
            yield self._joined(waiting.popleft())
        self.counts.events_of_other_rankings = self._events.naming_others

    def _is_new(self, ranking: LoggedRanking) -> bool:
        if not ranking.items:
            self.counts.empty += 1
            return False
        key = hash(ranking.id)
        if key in self._ids:
            self.counts.repeated += 1
            return False
        self._ids.add(key)
        return True

    def _owner(self, ranking: LoggedRanking) -> Shopper:
        return self._events.owner(self._events.named(ranking))

    def _joined(self, ranking: LoggedRanking) -> JoinedRanking:
        followed: dict[str, set[str]] = {}
        for event in (*self._naming(ranking), *self._near(ranking)):
            followed.setdefault(event.item or "", set()).add(event.type)
        self._let_go(ranking)
        self.counts.rankings += 1
        self.counts.joined += bool(followed)
        self.counts.without_events += not followed
        return JoinedRanking(ranking, self._events.named(ranking), followed)

    def _naming(self, ranking: LoggedRanking) -> list[HistoryEvent]:
        events = self._events.naming(ranking)
        fit = [event for event in events if event.item in ranking.items]
        self.counts.events_by_id += len(fit)
        self.counts.events_of_items_not_shown += len(events) - len(fit)
        return fit

    def _near(self, ranking: LoggedRanking) -> list[HistoryEvent]:
        """Events without a ranking's id for which this is the last ranking that showed the item."""
        owner = self._owner(ranking)
        if owner == Shopper(None, None):
            self.counts.without_shopper += 1
            return []
        events = [
            event
            for event in self._events.after(owner, ranking.at, ranking.at + self._rules.window)
            if event.ranking is None
            and event.item in ranking.items
            and not self._shown_later(owner, ranking, event)
        ]
        self.counts.events_by_window += len(events)
        return events

    def _shown_later(self, owner: Shopper, than: LoggedRanking, event: HistoryEvent) -> bool:
        return any(
            than.at < other.at <= event.time and event.item in other.items
            for other in self._held[owner]
        )

    def _let_go(self, ranking: LoggedRanking) -> None:
        owner = self._owner(ranking)
        rankings = self._held[owner]
        rankings.remove(ranking)
        if not rankings:
            del self._held[owner]
