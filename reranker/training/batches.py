"""batches.py: windows of sequences -> packed columns of real events, as a model reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from indexes.storage.arrays import Floats, Ints
from reranker.model.card import NONE
from reranker.model.served_model import bucket
from reranker.training.sequences import Sequences

_WITHIN: Final = 32  # batches of which the histories are sorted by length together
COPIED: float = 1.0  # of a target that is the item of the event before it
SEARCHED: float = 1.0  # of a target that is foreseen right after a search

Scores = npt.NDArray[np.float32]


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


def target_weights(sequences: Sequences, following: Ints) -> Scores:
    """How much the target that follows each event counts (events,). following: its position."""
    weights = np.ones(len(following), np.float32)
    copied = (sequences.items != NONE) & (sequences.items[following] == sequences.items)
    weights[copied] = COPIED
    weights[sequences.queries != NONE] = SEARCHED
    return weights


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


class Targets(NamedTuple):
    """What is foreseen at each event of a batch. rows (p,): of the catalogue. weights (p,)."""

    rows: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Targets":
        return Targets(*(column.to(device) for column in self))


@dataclass(frozen=True, eq=False)
class TrainingWindows:
    """What is trained on: of each history at most `length` events before its stop, and what
    followed them."""

    sequences: Sequences
    length: int
    begins: Ints  # the shopper's first event
    stops: Ints  # the newest target event, exclusive
    following: Ints  # (events,) position of the next target
    weights: Scores  # (events,) how much that target counts

    @classmethod
    def before(cls, sequences: Sequences, limits: Ints, length: int) -> "TrainingWindows":
        """limits (s,): nothing at or after this position of a shopper is seen."""
        stops = sequences.last_target_before(limits)
        useful = (stops != NONE) & (stops > sequences.at[:-1])
        following = sequences.next_target()
        weights = target_weights(sequences, following)
        begins = sequences.at[:-1][useful]
        return cls(sequences, length, begins, stops[useful], following, weights)

    def __len__(self) -> int:
        return len(self.stops)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Batch, Targets]]:
        """A window of every history, in random order, and what is foreseen at each event (p,)."""
        starts, stops = self._drawn(rng)
        for chosen in self._shuffled(stops - starts, size, rng):
            now = self.sequences.times[stops[chosen]]
            batch, places = batch_of(self.sequences, starts[chosen], stops[chosen], now)
            # The target that ends a window is before its limit, and so are all before it.
            rows = self.sequences.items[self.following[places]]
            weights = self.weights[places]
            yield batch, Targets(torch.from_numpy(rows), torch.from_numpy(weights))

    def _drawn(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Start and stop of each history's window: anywhere in it, where it is longer than one."""
        starts = np.maximum(self.begins, self.stops - self.length)
        back = rng.integers(0, starts - self.begins, endpoint=True)
        return starts - back, self.stops - back

    def _shuffled(self, lengths: Ints, size: int, rng: np.random.Generator) -> list[Ints]:
        """Similar lengths together within each stretch, so that little padding is needed."""
        order = rng.permutation(len(self))
        batches: list[Ints] = []
        for first in range(0, len(order), size * _WITHIN):
            stretch = order[first : first + size * _WITHIN]
            stretch = stretch[np.argsort(lengths[stretch], kind="stable")]
            batches += [stretch[at : at + size] for at in range(0, len(stretch), size)]
        return [batches[number] for number in rng.permutation(len(batches))]
