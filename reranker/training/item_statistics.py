"""item_statistics.py: all sequences -> what shoppers do: met together, popular, repeated.

Counted by `reranker train` and published with the model, so that signals only look numbers up. They
must not tell what one shopper did: what too few did is left out, kind by kind, times count as days,
and numbers are rounded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import sparse

from indexes.storage.arrays import Floats, Ints
from reranker.model.card import ARRAYS, NONE, STATISTICS_CARD, ItemStatisticsCard
from reranker.model.settings import TrainSettings
from reranker.training.sequences import Sequences, met_by

DEFAULTS: Final = TrainSettings()
HALF_LIFE_DAYS: Final = 90.0
_NEAR: Final = 20  # item events of one shopper this close to each other count as met together
_DECAY: Final = 0.9  # each event further away counts this much of the one before
_BACKWARD: Final = 0.5  # what came before says less of what comes next than what came after
_NEIGHBOURS: Final = 100  # kept of each item
_LOOK_BACK: Final = 50  # item events in which a repeated item is looked for
_LARGEST_LIFT: Final = 5.0
_DAY: Final = 86_400.0
# Binary digits of published numbers. Of counts: 64 steps from one to its double, 1.4 days of decay.
_COUNT_DIGITS: Final = 7
_SHARE_DIGITS: Final = 11


@dataclass(frozen=True, eq=False)
class CountedStatistics:
    """neighbours (m, m): what an item's meeting says for another, at most 100 a row.
    counts (m, types): decayed counts. rows (m,): of the catalogue."""

    card: ItemStatisticsCard
    neighbours: sparse.csr_matrix
    counts: npt.NDArray[np.float32]
    rows: Ints

    def numbers(self, items: int) -> Ints:
        """The number of each of so many catalogue rows (items,); NONE for one that is left out."""
        numbers = np.full(items, NONE)
        numbers[self.rows] = np.arange(len(self.rows))
        return numbers

    def save(self, folder: Path) -> None:
        """Write both files; safetensors and JSON."""
        from safetensors.numpy import save_file

        arrays = {
            "at": self.neighbours.indptr.astype(np.int64),
            "numbers": self.neighbours.indices.astype(np.int32),
            "shares": self.neighbours.data.astype(np.float32),
            "counts": self.counts,
        }
        save_file(
            {name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / ARRAYS
        )
        (folder / STATISTICS_CARD).write_bytes(msgspec.json.encode(self.card))


def count_statistics(
    sequences: Sequences, catalogue_ids: list[str], settings: TrainSettings = DEFAULTS
) -> CountedStatistics:
    """sequences: their items are rows of the catalogue.

    settings: min_users, of each item and of each type of event with it; min_users_together, of each
    two items: what fewer shoppers did is nobody's habit.
    """
    wanted = np.array([weight > 0 for weight in sequences.weights.values()])
    positions = np.flatnonzero(wanted[sequences.types] & (sequences.items != NONE))
    enough = met_by(sequences.items[positions], sequences.owner[positions], settings.min_users)
    positions = positions[np.isin(sequences.items[positions], enough)]
    rows, numbers = np.unique(sequences.items[positions], return_inverse=True)
    met = Met(
        shoppers=sequences.owner[positions],
        items=numbers.astype(np.int64),
        types=sequences.types[positions],
        times=sequences.times[positions],
        count=len(rows),
    )
    names = list(sequences.weights)
    least = settings.min_users
    card = ItemStatisticsCard(
        item_ids=[catalogue_ids[row] for row in rows],
        types=names,
        lifts=repeat_lifts(met, names, least),
        newest=_DAY * float(days(met.times).max()) if len(positions) else 0.0,
    )
    near = neighbours(met, settings.min_users_together)
    return CountedStatistics(card, near, decayed_counts(met, len(names), least), rows)


@dataclass(frozen=True, eq=False)
class Met:
    """Item events that count above 0 (n,), shopper by shopper, oldest first; items 0..count - 1."""

    shoppers: Ints
    items: Ints
    types: Ints
    times: Floats
    count: int


def neighbours(met: Met, least: int = 1) -> sparse.csr_matrix:
    """Sum of _DECAY ** (distance - 1) over meetings, through sqrt(how often each was met).

    least: shoppers who have met two items together; pairs of fewer are left out.
    """
    shape = (met.count, met.count)
    total = sparse.csr_matrix(shape, dtype=np.float32)
    for distance in range(1, min(_NEAR, len(met.items) - 1) + 1):
        same = met.shoppers[distance:] == met.shoppers[:-distance]
        first, then = met.items[:-distance][same], met.items[distance:][same]
        size = np.full(len(first), _DECAY ** (distance - 1), np.float32)
        ahead = sparse.csr_matrix((size, (first, then)), shape=shape)
        total = total + ahead + ahead.T * np.float32(_BACKWARD)
    if least > 1:
        total = total.multiply(_met_by(met, least)).tocsr()
    often = 1.0 / np.sqrt(np.maximum(np.bincount(met.items, minlength=met.count), 1.0))
    scale = sparse.diags(often.astype(np.float32))
    near = _strongest((scale @ total @ scale).tocsr())
    near.data = rounded(near.data, _SHARE_DIGITS).astype(np.float32)
    return near


def _met_by(met: Met, least: int) -> sparse.csr_matrix:
    """1 for each two items that so many different shoppers met near to each other."""
    meetings = []
    for distance in range(1, min(_NEAR, len(met.items) - 1) + 1):
        same = met.shoppers[distance:] == met.shoppers[:-distance]
        first, then = met.items[:-distance][same], met.items[distance:][same]
        pair = np.minimum(first, then) * met.count + np.maximum(first, then)
        meetings.append(np.stack([pair, met.shoppers[distance:][same]]))
    every = np.concatenate(meetings, axis=1) if meetings else np.zeros((2, 0), np.int64)
    pairs = met_by(every[0], every[1], least)
    first, other = pairs // met.count, pairs % met.count
    ones = np.ones(len(pairs), np.float32)
    half = sparse.csr_matrix((ones, (first, other)), shape=(met.count, met.count))
    return half.maximum(half.T)


def _strongest(near: sparse.csr_matrix) -> sparse.csr_matrix:
    """At most _NEIGHBOURS a row, and no item its own neighbour."""
    near.setdiag(0)
    near.eliminate_zeros()
    rows = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    order = np.lexsort((-near.data, rows))
    place = np.arange(len(order)) - near.indptr[rows[order]]
    strongest = order[place < _NEIGHBOURS]
    cut = sparse.csr_matrix(
        (near.data[strongest], (rows[strongest], near.indices[strongest])), shape=near.shape
    )
    return cut.tocsr()


def decayed_counts(met: Met, types: int, least: int = 1) -> npt.NDArray[np.float32]:
    """How often each item was met (m, types), each event halved every HALF_LIFE_DAYS; rounded.

    least: shoppers who have met the item by this type; else it counts as never. Ages are whole
    days before the newest one: from a sum of exact ages a single time could be worked out.
    """
    kinds = met.items * types + met.types
    enough = np.isin(kinds, met_by(kinds, met.shoppers, least))
    ages = days(met.times).max(initial=0) - days(met.times)
    worth = np.where(enough, np.exp2(-ages / HALF_LIFE_DAYS), 0.0)
    totals = np.bincount(kinds, worth, minlength=met.count * types)
    return rounded(totals, _COUNT_DIGITS).reshape(met.count, types).astype(np.float32)


def days(times: Floats) -> Ints:
    """The day of each time, in UTC."""
    return np.floor(times / _DAY).astype(np.int64)


def rounded(values: npt.NDArray[Any], digits: int) -> Floats:
    """To so many binary digits each, whatever the size."""
    parts, sizes = np.frexp(values.astype(np.float64))
    steps = 2.0**digits
    return np.asarray(np.ldexp(np.round(parts * steps) / steps, sizes), np.float64)


def repeat_lifts(met: Met, names: list[str], least: int = 1) -> dict[str, float]:
    """log of (how often an event's item is that of an earlier event) / (how often by chance).

    By chance: items drawn as often as they are met at all. Both plus 1: few events say little.
    least: shoppers who went on after an event of the type; of fewer it says 0, as if by chance.
    """
    share = np.bincount(met.items, minlength=met.count) / max(len(met.items), 1)
    same, chance = np.zeros(len(names)), np.zeros(len(names))
    for distance in range(1, min(_LOOK_BACK, len(met.items) - 1) + 1):
        pair = met.shoppers[distance:] == met.shoppers[:-distance]
        earlier, kind = met.items[:-distance][pair], met.types[:-distance][pair]
        again = earlier == met.items[distance:][pair]
        same += np.bincount(kind, again, minlength=len(names))
        chance += np.bincount(kind, share[earlier], minlength=len(names))
    lifts = np.log((same + 1) / (chance + 1)).clip(-_LARGEST_LIFT, _LARGEST_LIFT)
    goes_on = met.shoppers[1:] == met.shoppers[:-1]
    usual = met_by(met.types[:-1][goes_on], met.shoppers[:-1][goes_on], least)
    lifts[~np.isin(np.arange(len(names)), usual)] = 0.0
    published = rounded(lifts, _SHARE_DIGITS).tolist()
    return dict(zip(names, published, strict=True))
