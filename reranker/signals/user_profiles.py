"""user_profiles.py: a history -> what signals read of it; kept for the next request.

A shopper searches, turns the page, sorts, searches again: in between nothing is new in the history,
or one event. What is worked out of all of it is kept for as long as the history is the same.
"""

import itertools
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexes.cached import lazily
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Rows, Values, Vectors
from indexes.storage.row_vectors import Kept
from reranker.events.events import SEARCH, TYPES, HistoryEvent
from reranker.model.item_statistics import CoOccurrences
from reranker.model.learned import Learned
from reranker.model.served_model import Prefix
from reranker.runtime.caches import CacheCounts, QueryVectors, RecentlyUsed

Keys = npt.NDArray[np.unsignedinteger[Any]]
RECENT: Final = 20  # items of a history that candidates are held against
DECAY: Final = 0.9  # each earlier item counts this much of the one after it
_LONGEST: Final = 200  # characters of a search after which a state is kept
_STATES: Final = 4  # searches after which the encoder's state is kept, of each shopper


_numbers: Final = itertools.count()  # an id would be given again


class Shares(NamedTuple):
    """Keys (k,), sorted, and what share of a history each has (k,)."""

    keys: Keys
    shares: Values

    def of(self, wanted: Keys) -> Values:
        """The share of each wanted key (n,); 0 for one that is not there."""
        if not len(self.keys):
            return np.zeros(len(wanted))
        at = np.minimum(self.keys.searchsorted(wanted), len(self.keys) - 1)
        return np.where(self.keys[at] == wanted, self.shares[at], 0.0)


class UserProfile:
    """One history, oldest event first, against one index and what was learned on it.

    times: epoch seconds of each event (e,). All else is worked out when first asked for. Threads
    may work out the same at once, and come to the same.
    """

    def __init__(self, events: list[HistoryEvent], index: ItemIndex, learned: Learned | None):
        self.events, self.index, self._learned = events, index, learned
        self._revision = index.revision  # before anything is read
        self.weights = learned.model.weights if learned else TYPES
        self.times = np.array([event.time for event in events], np.float64)
        self._number = next(_numbers)
        self._states: dict[tuple[str | None, int], Vectors] = {}

    @lazily
    def learned(self) -> Learned:
        """For what is asked only where something was learned."""
        assert self._learned is not None
        return self._learned

    @property
    def met(self) -> list[HistoryEvent]:
        """Events with an item and a type that counts above 0, newest first, each item once.

        Not kept: `rows` are.
        """
        newest = {
            event.item: event
            for event in self.events
            if event.item is not None and self.weights.get(event.type, 0.0) > 0
        }
        met = sorted(
            enumerate(newest.values()), key=lambda pair: (pair[1].time, pair[0]), reverse=True
        )
        return [event for _, event in met]

    @lazily
    def rows(self) -> Rows:
        """Index rows (h,) of the items met, newest first, without those that the index lacks."""
        rows = self.index.rows([event.item or "" for event in self.met])
        return rows[rows >= 0]

    def fits(self) -> bool:
        """Whether nothing that this was made of changed in the catalogue since."""
        now = self.index.revision
        if now != self._revision:
            if self.index.changed_since(self._rows_met, self._revision):
                return False
            self._revision = now
        return True

    @lazily
    def _rows_met(self) -> Rows:
        """Rows of the items met, those that are taken away for the moment among them."""
        rows = self.index.ids.rows([event.item or "" for event in self.met])
        return rows[rows >= 0]

    @lazily
    def items(self) -> tuple[str, ...]:
        """Every item that an event is about, once."""
        return tuple({event.item for event in self.events if event.item is not None})

    @property
    def vectors(self) -> Vectors:
        """Item vectors (r, d) of the newest of `rows`; not kept, they would fill the memory."""
        return self.index.vectors(self.rows[:RECENT])

    @property
    def places(self) -> dict[str, list[int]]:
        """Of each item, which of the events (e,) are about it; not kept: few searches ask."""
        places: dict[str, list[int]] = {}
        for place, event in enumerate(self.events):
            if event.item is not None:
                places.setdefault(event.item, []).append(place)
        return places

    @lazily
    def worth(self) -> Values:
        """How much each of `rows` counts (h,): the newest most, all together 1."""
        worth = np.power(DECAY, np.arange(len(self.rows)), dtype=np.float64)
        return np.asarray(worth / worth.sum())

    @lazily
    def brands(self) -> Shares:
        """Share of each brand in the history."""
        keys = self.index.columns.brand_keys[self.rows]
        return _shares(keys[keys != 0], self.worth[keys != 0])

    @lazily
    def categories(self) -> Shares:
        """Share of the history that stands at or below each level of a category."""
        keys, owner = self.index.columns.categories.gather(self.rows)
        return _shares(keys, self.worth[owner])

    @lazily
    def price(self) -> float | None:
        """Median of the logarithms of the prices; None without any."""
        prices = self.index.columns.price[self.rows]
        prices = prices[prices > 0]
        return float(np.median(np.log(prices))) if len(prices) else None

    @property
    def nearest(self) -> Kept:
        """The newest items met, as `ServedModel.towards` has them.

        The model keeps them, since shoppers meet the same items."""
        return self.learned.model.towards(self.rows[:RECENT])

    @lazily
    def together(self) -> CoOccurrences:
        """What the newest items met say for others, by who else met both."""
        rows = self.rows[:RECENT]
        return self.learned.statistics.co_occurrences(rows, DECAY ** np.arange(len(rows)))

    @lazily
    def read(self) -> list[HistoryEvent]:
        """Events that the encoder reads, oldest first."""
        return self.learned.model.read(self.events)

    def user_vector(self, query: str, now: float, query_vectors: QueryVectors) -> Vectors:
        """What the model makes of the events and of this search (d,).

        A model that has read searches reads this one as the newest event: what comes next is then
        foreseen among what is searched for.
        """
        model = self.learned.model
        read = self.read
        searched = self._searched(query, now)
        if searched is None:
            if not read:
                return np.zeros(model.dimensions, np.float32)
            before, newest = read[:-1], read[-1]
        else:
            before, newest = read[len(read) - min(len(read), model.length - 1) :], searched
        return model.vector(
            self._state(before, newest, searched is not None, query_vectors), now - newest.time
        )

    def _prefix(
        self, before: list[HistoryEvent], searched: bool, query_vectors: QueryVectors
    ) -> Prefix:
        """Of those who search now: it is many times as large as all else that is kept here."""
        prefixes, key = self.learned.model.prefixes, (self._number, searched)
        prefix = prefixes.get(key)
        if prefix is None:
            prefix = self.learned.model.prefix(before, query_vectors)
            prefixes.put(key, prefix)
        return prefix

    def _searched(self, query: str, now: float) -> HistoryEvent | None:
        """This search as an event, where the model reads it."""
        model = self.learned.model
        if not query or not model.reads_searches or self.events[-1].query == query:
            return None
        return HistoryEvent(type=SEARCH, query=query, time=now) if SEARCH in model.types else None

    def _state(
        self,
        before: list[HistoryEvent],
        newest: HistoryEvent,
        searched: bool,
        query_vectors: QueryVectors,
    ) -> Vectors:
        model = self.learned.model
        gap = model.gap(before[-1].time if before else None, newest.time)
        key = newest.query if searched else None, gap
        state = self._states.get(key)
        if state is None:
            state = model.state(
                self._prefix(before, searched, query_vectors), newest, query_vectors
            )
            if len(self._states) >= _STATES:
                self._states = {}
            if len(newest.query or "") <= _LONGEST:
                self._states[key] = state
        return state


def _shares(keys: Keys, worth: Values) -> Shares:
    distinct, place = np.unique(keys, return_inverse=True)
    return Shares(distinct, np.asarray(np.bincount(place, worth, len(distinct)), np.float64))


class UserProfiles:
    """The profiles of the shoppers who searched last; safe between threads.

    Nobody is recognised by name alone: a profile counts only for the very same events, so what was
    forgotten, or came meanwhile, is never answered from here.
    """

    def __init__(self, size: int) -> None:
        self._profiles: RecentlyUsed[Hashable, UserProfile] = RecentlyUsed(size)
        self.counts = CacheCounts()

    def of(
        self,
        shopper: Hashable,
        events: list[HistoryEvent],
        index: ItemIndex,
        learned: Learned | None,
    ) -> UserProfile:
        """The profile of these events, of this shopper."""
        profile = self._profiles.get(shopper)
        same = profile is not None and (profile.events is events or profile.events == events)
        if profile is not None and same and profile.fits():
            self.counts.hits += 1
            return profile
        self.counts.misses += 1
        profile = UserProfile(events, index, learned)
        self._profiles.put(shopper, profile)
        return profile

    def has(self, shopper: Hashable, events: object) -> bool:
        """Whether the shopper's profile is of this very list."""
        profile = self._profiles.get(shopper)
        return profile is not None and profile.events is events and profile.fits()

    def drop(self, shopper: Hashable) -> None:
        """Keep nothing of a shopper who has no history any more."""
        self._profiles.drop(shopper)

    def drop_unused(self) -> None:
        """Keep nothing of those who were not asked for lately."""
        self._profiles.drop_unused()
