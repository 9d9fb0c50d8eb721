"""sequences.py: events -> sequences: the events of every shopper in order, as flat columns."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from indexes.readers.bad_lines import BadLine
from indexes.readers.rows import read_rows
from indexes.storage.arrays import Floats, Ints, Mask
from indexes.times import TimeSettings
from reranker.events.cleaning import BadEvent, Cleaner, NoConsent
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings
from reranker.histories.histories import Histories
from reranker.model.card import NONE

Named = tuple[str, HistoryEvent]  # who, what


@dataclass(frozen=True, eq=False)
class Sequences:
    """Every shopper's events, one shopper after the other, oldest first; equal times as they came.

    at (s + 1,): where each shopper's events begin; the columns are (events,). NONE: not there.
    """

    shoppers: list[str]
    item_ids: list[str]
    query_texts: list[str]
    at: Ints
    items: Ints  # number in item_ids
    queries: Ints  # number in query_texts
    types: Ints  # number in type_names
    times: Floats
    weights: dict[str, float]  # by type, in the order of their numbers

    def __len__(self) -> int:
        return len(self.shoppers)

    @property
    def owner(self) -> Ints:
        """The shopper's number (events,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.at))

    @property
    def targets(self) -> Ints:
        """Positions of the events whose item should be foreseen: of a type that counts above 0."""
        wanted = np.array([weight > 0 for weight in self.weights.values()])
        return np.flatnonzero(wanted[self.types] & (self.items != NONE))

    @property
    def searches(self) -> Ints:
        """Positions of the events that are searches: words, and no item."""
        return np.flatnonzero((self.queries != NONE) & (self.items == NONE))

    def with_rows(self, rows: Ints) -> "Sequences":
        """The same with items as rows of a catalogue: rows (items,), NONE where it lacks one."""
        known = np.append(rows, NONE)  # so that NONE stays NONE
        return replace(self, items=known[self.items])

    def before(self, limits: Ints) -> "Sequences":
        """The same shoppers with only their events before limits (s,)."""
        kept = self.is_before(limits)
        return replace(
            self,
            at=np.append(0, np.cumsum(limits - self.at[:-1])),
            items=self.items[kept],
            queries=self.queries[kept],
            types=self.types[kept],
            times=self.times[kept],
        )

    def is_before(self, limits: Ints) -> Mask:
        """Which events (events,) stand before their shopper's limit (s,)."""
        return np.asarray(np.arange(len(self.items)) < np.repeat(limits, np.diff(self.at)))

    def shoppers_at(self, positions: Ints) -> Ints:
        """Whose event is at each of these positions (n,)."""
        return np.searchsorted(self.at, positions, side="right") - 1

    def limits_at(self, time: float) -> Ints:
        """For each shopper the position of the first event at or after this time (s,)."""
        before = np.append(0, np.cumsum(self.times < time))
        limits: Ints = self.at[:-1] + before[self.at[1:]] - before[self.at[:-1]]
        return limits

    def last_target_before(self, stops: Ints) -> Ints:
        """For each shopper the newest target event before stops (s,); NONE without one."""
        targets = self.targets
        if not len(targets):
            return np.full(len(self), NONE)
        place = np.searchsorted(targets, stops) - 1
        last = targets[np.maximum(place, 0)]
        return np.where((place >= 0) & (last >= self.at[:-1]), last, NONE)

    def next_target(self) -> Ints:
        """For each event the position of the same shopper's next target event; NONE without."""
        return self.first_target(
            np.arange(1, len(self.items) + 1), np.repeat(self.at[1:], np.diff(self.at))
        )

    def first_target(self, starts: Ints, ends: Ints) -> Ints:
        """The first target event from each start to before its end (n,); NONE without one."""
        targets = self.targets
        if not len(targets):
            return np.full(len(starts), NONE)
        place = np.searchsorted(targets, starts)
        first = targets[np.minimum(place, len(targets) - 1)]
        return np.where((place < len(targets)) & (first < ends), first, NONE)


class SequenceBuilder:
    """Takes events in any order, a few numbers each."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._types = {name: number for number, name in enumerate(weights)}
        self._weights = dict(weights)
        self._shoppers: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._queries: dict[str, int] = {}
        self._columns = [array("q") for _ in range(4)]
        self._times = array("d")

    def add(self, shopper: str, event: HistoryEvent) -> None:
        """Take one event; one whose type is no longer in the settings is passed over."""
        kind = self._types.get(event.type)
        if kind is None:
            return
        row = (
            _number(self._shoppers, shopper),
            _number(self._items, event.item),
            _number(self._queries, event.query),
            kind,
        )
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._times.append(event.time)

    def build(self) -> Sequences:
        """Everything that was taken, sorted by shopper and time."""
        owner, items, queries, types = (np.array(column, np.int64) for column in self._columns)
        times = np.array(self._times, np.float64)
        order = np.lexsort((times, owner))  # stable: equal times keep their order
        return Sequences(
            shoppers=list(self._shoppers),
            item_ids=list(self._items),
            query_texts=list(self._queries),
            at=np.append(0, np.cumsum(np.bincount(owner, minlength=len(self._shoppers)))),
            items=items[order],
            queries=queries[order],
            types=types[order],
            times=times[order],
            weights=self._weights,
        )


def sequences_of(events: Iterable[Named], weights: Mapping[str, float]) -> Sequences:
    """All events as sequences; items of types with a weight above 0 are what is foreseen."""
    builder = SequenceBuilder(weights)
    for shopper, event in events:
        builder.add(shopper, event)
    return builder.build()


def kept_events(
    histories: Histories, most: int | None = None, until: float | None = None
) -> Iterator[Named]:
    """The imported events of every shopper before `until`; of each the newest `most`."""
    for shopper, events in histories.stream():
        if until is not None:
            events = [event for event in events if event.time < until]
        name = f"u {shopper.user}" if shopper.user is not None else f"s {shopper.session}"
        for event in events if most is None else events[-most:]:
            yield name, event


def noting_sessions(events: Iterable[Named], sessions: dict[str, str]) -> Iterator[Named]:
    """The same events; sessions: filled with those of users, and whose they are."""
    for shopper, event in events:
        if event.session is not None and shopper.startswith("u "):
            sessions[event.session] = shopper
        yield shopper, event


def file_events(
    path: Path, settings: EventSettings, times: TimeSettings, on_bad: Callable[[BadLine], Any]
) -> Iterator[Named]:
    """The events of a file, cleaned as `reranker events import` cleans them."""
    cleaner = Cleaner(settings, times)
    for line, row in read_rows(path, ("type", "time"), on_bad):
        try:
            event = cleaner.clean(row)
        except NoConsent:
            continue
        except BadEvent as error:
            on_bad(BadLine(line, error.message))
            continue
        name = f"u {event.user}" if event.user is not None else f"s {event.session}"
        yield name, event


def _number(numbers: dict[str, int], name: str | None) -> int:
    return NONE if name is None else numbers.setdefault(name, len(numbers))


def met_by(things: Ints, shoppers: Ints, least: int) -> Ints:
    """Those of these things (n,) that at least so many different shoppers (n,) met, in order."""
    order = np.lexsort((shoppers, things))
    things, shoppers = things[order], shoppers[order]
    new = np.ones(len(things), bool)
    new[1:] = (things[1:] != things[:-1]) | (shoppers[1:] != shoppers[:-1])
    distinct, users = np.unique(things[new], return_counts=True)
    return distinct[users >= least]
