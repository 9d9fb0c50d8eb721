"""shoppers.py: the kept histories -> shoppers by what they did, with their number of events."""

import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

from indexes.items.index import ItemIndex
from indexes.items.words import fold
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Histories
from service.page.parts.item_views import describe

MOST: Final = 2_000  # shoppers that are looked through
_SECONDS: Final = 60.0  # for which what was read is good enough
_SHORT: Final = range(1, 6)


class ShopperFound(NamedTuple):
    """One shopper. user: a pseudonym. last: epoch seconds. did: a few events, newest first."""

    user: str
    events: int
    last: float
    did: list[str]


class _Known(NamedTuple):
    user: str
    last: float
    events: list[tuple[str, str]]  # what was done, and the same folded; oldest first

    def found(self, matching: list[str] | None = None) -> ShopperFound:
        """With the newest two of these events, or of all."""
        matching = matching or [text for text, _ in self.events]
        return ShopperFound(self.user, len(self.events), self.last, matching[::-1][:2])


class Shoppers:
    """The first MOST users of a home, read at most once a minute."""

    def __init__(self, histories: Histories, index: Callable[[], ItemIndex]) -> None:
        self._histories, self._index = histories, index
        self._lock = threading.Lock()
        self._known: list[_Known] = []
        self._until = 0.0

    def search(self, words: str, most: int = 20) -> list[ShopperFound]:
        """Those one of whose events has all of these words, those with the most such events first.

        Words are parts of titles, queries, ids or types of event. Without words: a sample.
        """
        wanted = fold(words).split()
        if not wanted:
            return self.sample()
        found = []
        for one in self._read():
            matching = [text for text, folded in one.events if all(w in folded for w in wanted)]
            if matching or fold(words) in fold(one.user):
                found.append(
                    (
                        len(matching),
                        one.last,
                        one.found(matching or [text for text, _ in one.events]),
                    )
                )
        found.sort(key=lambda entry: entry[:2], reverse=True)
        return [shopper for *_, shopper in found[:most]]

    def sample(self) -> list[ShopperFound]:
        """A short history, one of middling length, and the longest."""
        known = sorted(self._read(), key=lambda one: len(one.events))
        short = [one for one in known if len(one.events) in _SHORT]
        chosen = [*short[-1:], *known[len(known) // 2 :][:1], *known[-1:]]
        unique = {one.user: one for one in chosen}
        return [one.found() for one in unique.values()]

    def _read(self) -> list[_Known]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = self._fresh()
                self._until = time.monotonic() + _SECONDS
            return self._known

    def _fresh(self) -> list[_Known]:
        index = self._index()
        users = (
            (shopper.user, events)
            for shopper, events in self._histories.stream()
            if shopper.user is not None and events
        )
        return [_known(user, events, index) for user, events in islice(users, MOST)]


def _known(user: str, events: list[HistoryEvent], index: ItemIndex) -> _Known:
    items = [event.item for event in events if event.item]
    titles = {item["id"]: item["title"] for item in describe(index, items)}
    did = []
    for event in events:
        what = titles.get(event.item or "", "") or f"“{event.query or event.item or ''}”"
        did.append((f"{event.type} {what}", fold(f"{event.type} {what} {event.item or ''}")))
    return _Known(user, events[-1].time, did)
