"""followed.py: histories -> what shoppers did before and after a logged ranking.

One pass over the histories notes what only all of them tell: which session is whose, which events
name a ranking, which purchases and carts were taken back. Everything else is looked up when it is
asked for.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from indexes.progress import bars
from indexes.storage.durable import make_own_folder
from indexes.workspace import Workspace
from reranker.events.events import TAKEN_BACK, HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.feedback.records import LoggedRanking
from reranker.histories.histories import Histories, Shopper
from reranker.histories.store import SqliteHistories, open_histories
from reranker.ingestion.importer import Importer
from reranker.pseudonyms.keys import PseudonymKeys

_MOST_AFTER: Final = 500  # events of one shopper after one ranking; who has more is no person
_GIVEN: Final = frozenset(TAKEN_BACK.values())

Cancelled = tuple[Shopper, str, str, float]  # whose, which type, which item, when


class LoggedEvents:
    """The events that rankings are joined with.

    types: those that say something about an item that was shown. since: shoppers without an event
    from this time on are not remembered; nothing of theirs could follow a ranking.
    """

    def __init__(
        self,
        histories: Histories,
        types: Collection[str],
        since: float,
    ) -> None:
        self._histories = histories
        self._types = frozenset(types)
        self._owners: dict[str, str] = {}  # session -> the user it became
        self._following: dict[str, list[tuple[Shopper, HistoryEvent]]] = {}
        self._named_since: dict[tuple[Shopper, str], float] = {}  # the first event with a ranking
        self._cancelled: set[Cancelled] = set()
        for shopper, events in histories.stream():
            if events[-1].time >= since:
                self._meet(shopper, {event.session for event in events if event.session})
            self._note(shopper, events)

    def _meet(self, shopper: Shopper, sessions: set[str]) -> None:
        if shopper.user is not None:
            self._owners |= dict.fromkeys(sessions, shopper.user)

    def _note(self, shopper: Shopper, events: Sequence[HistoryEvent]) -> None:
        # Type and item -> times of purchases and carts that were not taken back yet.
        open_times: dict[tuple[str, str], list[float]] = {}
        for event in events:
            if event.item is not None and event.type in _GIVEN:
                open_times.setdefault((event.type, event.item), []).append(event.time)
            elif event.item is not None and event.type in TAKEN_BACK:
                kind = TAKEN_BACK[event.type]
                if times := open_times.get((kind, event.item)):
                    self._cancelled.add((shopper, kind, event.item, times.pop()))
            if event.ranking is not None:
                self._named_since.setdefault((shopper, event.ranking), event.time)
            if event.ranking is not None and event.item is not None and event.type in self._types:
                self._following.setdefault(event.ranking, []).append((shopper, event))

    def named(self, ranking: LoggedRanking) -> Shopper:
        """User and session as the histories name them."""
        return self._histories.hidden(Shopper(ranking.user or None, ranking.session or None))

    def owner(self, who: Shopper) -> Shopper:
        """Among whose events a shopper's are: the session's user, if it became known."""
        if who.user is not None or who.session is None:
            return Shopper(who.user, None)
        user = self._owners.get(who.session)
        return Shopper(None, who.session) if user is None else Shopper(user, None)

    def naming(self, ranking: LoggedRanking) -> list[HistoryEvent]:
        """Events that name the ranking, each time once: who asks takes them."""
        pairs = self._following.pop(ranking.id, [])
        return [event for shopper, event in pairs if not self._is_cancelled(shopper, event)]

    @property
    def naming_others(self) -> int:
        """Events that name a ranking nobody asked for so far."""
        return sum(len(events) for events in self._following.values())

    def after(self, owner: Shopper, since: float, until: float) -> list[HistoryEvent]:
        """What the shopper did with items in this time, without what was taken back."""
        if owner == Shopper(None, None):
            return []
        events = self._histories.recent(owner.user, owner.session, n=_MOST_AFTER, before=until)
        return [
            event
            for event in events
            if event.time >= since
            and event.type in self._types
            and not self._is_cancelled(owner, event)
        ]

    def before(self, who: Shopper, ranking: LoggedRanking, most: int) -> list[HistoryEvent]:
        """The newest events strictly before this ranking, oldest first, of who was known then.

        A session's later user was not known then: only its own events count. What names the
        ranking came after it whatever its clock says, and so did all that came later still.
        """
        if who == Shopper(None, None):
            return []
        time = min(ranking.at, self._named_since.get((self.owner(who), ranking.id), math.inf))
        events = self._histories.recent(who.user, who.session, n=most, before=time)
        if who.user is None:
            events = [event for event in events if event.session == who.session]
        return events

    def _is_cancelled(self, shopper: Shopper, event: HistoryEvent) -> bool:
        return (shopper, event.type, event.item, event.time) in self._cancelled


@contextmanager
def histories_of(workspace: Workspace, events: Path | None) -> Iterator[Histories]:
    """The home's histories, or those of an events file for as long as this lasts."""
    if events is None:
        with closing(open_histories(workspace)) as histories:
            yield histories
        return
    work = workspace.home / "events"
    make_own_folder(work)
    with TemporaryDirectory(prefix="join-", dir=work) as folder:
        settings = workspace.section(HistorySettings)
        with closing(
            SqliteHistories(Path(folder), settings, PseudonymKeys(workspace.home))
        ) as imported:
            Importer(workspace, events, bars).run(imported)
            yield imported
