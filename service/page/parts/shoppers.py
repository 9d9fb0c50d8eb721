"""shoppers.py: the kept histories -> shoppers by what they did, with their number of events."""

import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

from indexes.items.index import ItemIndex
from indexes.items.words import fold
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Histories, Shopper
from service.page.parts.item_views import describe

MOST: Final = 2_000  # shoppers that are looked through
_SECONDS: Final = 60.0  # for which what was read is good enough
_SHORT: Final = range(1, 6)
_READ: Final = 1_000  # newest events that are counted of who is found by name


class ShopperFound(NamedTuple):
    """One shopper. user: a pseudonym. last: epoch seconds. did: a few events, newest first."""

    user: str
    events: int
    last: float
    did: list[str]


class ShopperMatches(NamedTuple):
    """Who was found. looked: how many were looked through; everybody: whether these are all."""

    shoppers: list[ShopperFound]
    looked: int
    everybody: bool


class _Known(NamedTuple):
    user: str
    last: float
    events: list[tuple[str, str]]  # what was done, and the same folded; oldest first

    def found(self, matching: list[str] | None = None) -> ShopperFound:
        """With the newest two of these events, or of all."""
        matching = matching or [text for text, _ in self.events]
        return ShopperFound(self.user, len(self.events), self.last, matching[::-1][:2])


class Shoppers:
    """The first MOST users of a home, read at most once a minute; any other by the whole id."""

    def __init__(self, histories: Histories, index: Callable[[], ItemIndex]) -> None:
        self._histories, self._index = histories, index
        self._lock = threading.Lock()
        self._known: list[_Known] = []
        self._everybody = True
        self._until = 0.0

    def names(self) -> list[str]:
        """The pseudonyms of those who are looked through."""
        return [one.user for one in self._read()]

    def search(self, words: str, most: int = 20) -> ShopperMatches:
        """Those one of whose events has all of these words, those with the most such events first.

        Words are parts of titles, queries, ids or types of event. Without words: a sample. Before
        them who has this very name, whether looked through or not.
        """
        known = self._read()
        found = self._searched(words, known)[:most] if words.strip() else self.sample()
        named = self._named(words.strip())
        others = [one for one in found if named is None or one.user != named.user]
        shoppers = others if named is None else [named, *others]
        return ShopperMatches(shoppers, len(known), self._everybody)

    def _named(self, name: str) -> ShopperFound | None:
        """The shopper of this name or pseudonym, by the store's own look-up."""
        if not name:
            return None
        events = self._histories.recent(name, None, _READ)
        if not events:
            return None
        user = self._histories.hidden(Shopper(name, None)).user or name
        return _known(user, events, self._index()).found()

    def _searched(self, words: str, known: list[_Known]) -> list[ShopperFound]:
        wanted = fold(words).split()
        found = []
        for one in known:
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
        return [shopper for *_, shopper in found]

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
        known = [_known(user, events, index) for user, events in islice(users, MOST)]
        self._everybody = next(users, None) is None
        return known


def _known(user: str, events: list[HistoryEvent], index: ItemIndex) -> _Known:
    items = [event.item for event in events if event.item]
    titles = {item["id"]: item["title"] for item in describe(index, items)}
    did = []
    for event in events:
        what = titles.get(event.item or "", "") or f"“{event.query or event.item or ''}”"
        did.append((f"{event.type} {what}", fold(f"{event.type} {what} {event.item or ''}")))
    return _Known(user, events[-1].time, did)
