"""batches.py: windows of sequences -> packed columns of real events, as a model reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from indexes.storage.arrays import Floats, Ints
from reranker.model.card import NONE
from reranker.model.served_model import bucket
from reranker.training.sequences import Sequences

_WITHIN: Final = 32  # batches of which the histories are sorted by length together


class Batch(NamedTuple):
    """Windows laid end to end: columns (p,), and how many events each window has (b,)."""

    lengths: torch.Tensor
    items: torch.Tensor  # catalogue rows; NONE
    queries: torch.Tensor  # NONE
    types: torch.Tensor
    gaps: torch.Tensor  # since the event before
    ages: torch.Tensor  # until the moment for which is foreseen

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(column.to(device) for column in self))

    @property
    def last(self) -> torch.Tensor:
        """Place (b,) of each window's newest event."""
        return self.lengths.cumsum(0) - 1


@dataclass(frozen=True, eq=False)
class Cases:
    """Moments at which the next item is foreseen from what came before.

    shoppers (n,), stops (n,): where the history ends (exclusive), now (n,): time of the request,
    targets (n,): catalogue row of the item that came.
    """

    shoppers: Ints
    stops: Ints
    now: Floats
    targets: Ints

    def __len__(self) -> int:
        return len(self.stops)

    def of(self, chosen: Ints) -> "Cases":
        return Cases(
            self.shoppers[chosen], self.stops[chosen], self.now[chosen], self.targets[chosen]
        )


def cases_at(sequences: Sequences, positions: Ints) -> Cases:
    """The cases whose answers are the target events at these positions (n,)."""
    owner = sequences.shoppers_at(positions)
    return Cases(owner, positions, sequences.times[positions], sequences.items[positions])


def flat_places(starts: Ints, stops: Ints) -> Ints:
    """start..stop of each window, one after the other (p,)."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    shifts: Ints = np.repeat(starts - (ends - lengths), lengths)
    return shifts + np.arange(len(shifts))


def batch_of(sequences: Sequences, starts: Ints, stops: Ints, now: Floats) -> tuple[Batch, Ints]:
    """Windows (b,) of at least one event, and the places (p,) of their events in the sequences."""
    places = flat_places(starts, stops)
    lengths = stops - starts
    ends = np.cumsum(lengths)
    times = sequences.times[places]
    gaps = np.zeros(len(places), np.int64)
    gaps[1:] = bucket(np.diff(times))
    gaps[ends - lengths] = 0  # what came before the window is not read, so it has no time either
    until = np.append(times[1:], 0.0)
    until[ends - 1] = now
    columns = (
        lengths,
        sequences.items[places],
        sequences.queries[places],
        sequences.types[places],
        gaps,
        bucket(until - times),
    )
    return Batch(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns)), places


def case_batches(
    sequences: Sequences, cases: Cases, length: int, size: int
) -> Iterator[tuple[Ints, Batch]]:
    """Cases that have a history, similar lengths together: which ones (b,), and their batch."""
    starts = np.maximum(sequences.at[cases.shoppers], cases.stops - length)
    lengths = cases.stops - starts
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    for first in range(0, len(order), size):
        chosen = order[first : first + size]
        yield chosen, batch_of(sequences, starts[chosen], cases.stops[chosen], cases.now[chosen])[0]


@dataclass(frozen=True, eq=False)
class TrainingWindows:
    """What is trained on: of each history the newest events before its stop, and what followed.

    sequences: as they are read. What is to be foreseen does not depend on it.
    """

    sequences: Sequences
    starts: Ints
    stops: Ints  # the target event, exclusive
    following: Ints  # (events,) the next target's item, by catalogue row

    @classmethod
    def before(cls, sequences: Sequences, limits: Ints, length: int) -> "TrainingWindows":
        """limits (s,): nothing at or after this position of a shopper is seen."""
        stops = sequences.last_target_before(limits)
        useful = (stops != NONE) & (stops > sequences.at[:-1])
        starts = np.maximum(sequences.at[:-1], stops - length)
        following = sequences.items[sequences.next_target()]
        return cls(sequences, starts[useful], stops[useful], following)

    def __len__(self) -> int:
        return len(self.stops)

    def batches(
        self, size: int, events: int, rng: np.random.Generator
    ) -> Iterator[tuple[Batch, torch.Tensor]]:
        """All windows in random order, with the row to foresee at each event (p,); NONE: none.

        At most `size` windows at a time, and at most so many events where one window is not more.
        """
        for chosen in self._shuffled(size, events, rng):
            stops = self.stops[chosen]
            now = self.sequences.times[stops]
            batch, places = batch_of(self.sequences, self.starts[chosen], stops, now)
            # The target that ends a window is before its limit, and so are all before it.
            yield batch, torch.from_numpy(self.following[places])

    def _shuffled(self, size: int, events: int, rng: np.random.Generator) -> list[Ints]:
        """Similar lengths together within each stretch, so that little padding is needed."""
        order = rng.permutation(len(self))
        lengths = self.stops - self.starts
        batches: list[Ints] = []
        for first in range(0, len(order), size * _WITHIN):
            stretch = order[first : first + size * _WITHIN]
            stretch = stretch[np.argsort(lengths[stretch], kind="stable")]
            batches += _cut(stretch, lengths[stretch], size, events)
        return [batches[number] for number in rng.permutation(len(batches))]


def _cut(windows: Ints, lengths: Ints, size: int, events: int) -> list[Ints]:
    """Windows (n,) of these lengths (n,) in their order, as many at a time as are allowed."""
    ends, parts, first = np.cumsum(lengths), [], 0
    while first < len(windows):
        before = ends[first] - lengths[first]
        fitting = int(np.searchsorted(ends, before + events, side="right")) - first
        stop = first + min(max(fitting, 1), size)
        parts.append(windows[first:stop])
        first = stop
    return parts
