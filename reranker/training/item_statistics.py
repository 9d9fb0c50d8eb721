"""item_statistics.py: all sequences -> what shoppers do: met together, popular, repeated.

Counted by `reranker train` and published with the model, so that signals only look numbers up. They
must not tell what one shopper did: what too few did is left out, kind by kind, times count as days,
and numbers are rounded.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import sparse

from indexes.items.columns import Hashes
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Ints
from reranker.events.settings import EventSettings
from reranker.model.card import (
    ARRAYS,
    NONE,
    SEEN,
    SINCE,
    STATISTICS_CARD,
    ItemStatisticsCard,
)
from reranker.model.settings import TrainSettings
from reranker.training.first_seen import FirstSeen, first_seen
from reranker.training.sequences import Sequences, met_by

DEFAULTS: Final = TrainSettings()
EVENTS: Final = EventSettings()
HALF_LIFE_DAYS: Final = 90.0
_NEAR: Final = 20  # items that one shopper met this close to each other count as met together
_DECAY: Final = 0.9  # each item further away counts this much of the one before
_BACKWARD: Final = 0.5  # what came before says less of what comes next than what came after
_NEIGHBOURS: Final = 100  # kept of each item
_LOOK_BACK: Final = 50  # items met in which a repeated one is looked for
_LARGEST_LIFT: Final = 5.0
_DAY: Final = 86_400.0
# Binary digits of published numbers. Of counts: 64 steps from one to its double, 1.4 days of decay.
COUNT_DIGITS: Final = 7
_SHARE_DIGITS: Final = 11


@dataclass(frozen=True, eq=False)
class CountedStatistics:
    """neighbours (m, m): what an item's meeting says for another, at most 100 a row.
    counts (m, types): decayed counts. rows (m,): of the catalogue. seen: every item that was in the
    index then."""

    card: ItemStatisticsCard
    neighbours: sparse.csr_matrix
    counts: npt.NDArray[np.float32]
    rows: Ints
    seen: FirstSeen | None = None

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
        if self.seen is not None:
            arrays |= {SEEN: self.seen.hashes, SINCE: self.seen.days}
        save_file(
            {name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / ARRAYS
        )
        (folder / STATISTICS_CARD).write_bytes(msgspec.json.encode(self.card))


def count_statistics(
    sequences: Sequences,
    catalogue_ids: list[str],
    settings: TrainSettings = DEFAULTS,
    shelves: Ints | None = None,
    gap_minutes: float = EVENTS.session_minutes,
) -> CountedStatistics:
    """sequences: their items are rows of the catalogue.

    shelves: the category of each row of the catalogue, in any numbers; None: all of one.
    gap_minutes: a longer silence begins a new visit.
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
        visits=visits_of(sequences, gap_minutes)[positions],
        items=numbers.astype(np.int64),
        types=sequences.types[positions],
        times=sequences.times[positions],
        shelves=np.zeros(len(rows), np.int64) if shelves is None else shelves[rows],
    )
    once = once_a_visit(met, len(sequences.weights))
    names = list(sequences.weights)
    least = settings.min_users
    card = ItemStatisticsCard(
        item_ids=[catalogue_ids[row] for row in rows],
        types=names,
        lifts=repeat_lifts(once, names, least),
        newest=_DAY * float(days(met.times).max()) if len(positions) else 0.0,
    )
    near = neighbours(once, settings.min_users_together)
    return CountedStatistics(card, near, decayed_counts(met, len(names), least), rows)


@dataclass(frozen=True, eq=False)
class Met:
    """Item events that count above 0 (n,), shopper by shopper, oldest first; items 0..count - 1.

    shelves (count,): the category of each item."""

    shoppers: Ints
    visits: Ints
    items: Ints
    types: Ints
    times: Floats
    shelves: Ints

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.shelves)


@dataclass(frozen=True, eq=False)
class MetOnce:
    """Items met (k,), each once a visit, where it was first met; in the order of `Met`.

    types (k, types): by which events. A view, a cart and a purchase of one item in one visit are
    one meeting."""

    shoppers: Ints
    visits: Ints
    items: Ints
    types: npt.NDArray[np.bool_]
    shelves: Ints

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.shelves)


def visits_of(sequences: Sequences, gap_minutes: float) -> Ints:
    """The visit of each event (events,), counted over all shoppers."""
    begins = np.ones(len(sequences.times), bool)
    begins[1:] = np.diff(sequences.times) > gap_minutes * 60.0
    begins[sequences.at[:-1]] = True
    return np.asarray(np.cumsum(begins) - 1, np.int64)


def shelves_of(index: ItemIndex) -> Ints:
    """The narrowest category of each row of the index (n,), as a number; 0 for an item without."""
    levels, owner = index.columns.categories.gather(np.arange(len(index), dtype=np.int64))
    _, number, items = np.unique(levels, return_inverse=True, return_counts=True)
    order = np.lexsort((number, items[number], owner))
    shelves = np.zeros(len(index), np.int64)
    shelves[owner[order][::-1]] = 1 + number[order][::-1]  # of one owner the first in order stays
    return shelves


def once_a_visit(met: Met, types: int) -> MetOnce:
    """Every item once for each visit in which it was met."""
    key = met.visits * met.count + met.items
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    by_type = np.zeros((len(first), types), bool)
    by_type[place, met.types] = True
    order = np.argsort(first)
    first = first[order]
    return MetOnce(
        met.shoppers[first], met.visits[first], met.items[first], by_type[order], met.shelves
    )


def neighbours(met: MetOnce, least: int = 1) -> sparse.csr_matrix:
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


def _met_by(met: MetOnce, least: int) -> sparse.csr_matrix:
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


def with_first_seen(
    statistics: CountedStatistics, hashes: Hashes, before: FirstSeen | None
) -> CountedStatistics:
    """The same, with the items of the index, by hash; before: of the model before."""
    newest = int(statistics.card.newest // _DAY)
    return replace(statistics, seen=first_seen(hashes, newest, before))


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
    return rounded(totals, COUNT_DIGITS).reshape(met.count, types).astype(np.float32)


def days(times: Floats) -> Ints:
    """The day of each time, in UTC."""
    return np.floor(times / _DAY).astype(np.int64)


def rounded(values: npt.NDArray[Any], digits: int) -> Floats:
    """To so many binary digits each, whatever the size."""
    parts, sizes = np.frexp(values.astype(np.float64))
    steps = 2.0**digits
    return np.asarray(np.ldexp(np.round(parts * steps) / steps, sizes), np.float64)


def repeat_lifts(met: MetOnce, names: list[str], least: int = 1) -> dict[str, float]:
    """log of (how often an item met in a later visit is that of an earlier one) / (by chance).

    Looked at are pairs of items of one category that a shopper met in different visits: what is
    done with one item in one visit is no coming back. By chance: the later item is drawn from all
    other meetings with items of that category. Both plus 1: few pairs say little.
    least: shoppers who came back to the category after an event of the type; of fewer it says 0, as
    if by chance.
    """
    shelf = met.shelves[met.items]
    meetings = np.bincount(met.items, minlength=met.count) - 1.0
    others = np.bincount(shelf, minlength=1) - 1.0
    chance_of = meetings[met.items] / np.maximum(others[shelf], 1.0)
    same, chance = np.zeros(len(names)), np.zeros(len(names))
    returned = np.zeros(len(met.items), bool)
    for distance in range(1, min(_LOOK_BACK, len(met.items) - 1) + 1):
        pair = np.flatnonzero(
            (met.shoppers[distance:] == met.shoppers[:-distance])
            & (met.visits[distance:] != met.visits[:-distance])
            & (shelf[distance:] == shelf[:-distance])
        )
        again = met.items[pair] == met.items[pair + distance]
        same += again.astype(np.float64) @ met.types[pair]
        chance += chance_of[pair] @ met.types[pair]
        returned[pair] = True
    lifts = np.log((same + 1) / (chance + 1)).clip(-_LARGEST_LIFT, _LARGEST_LIFT)
    who, kind = np.nonzero(met.types & returned[:, None])
    usual = met_by(kind, met.shoppers[who], least)
    lifts[~np.isin(np.arange(len(names)), usual)] = 0.0
    published = rounded(lifts, _SHARE_DIGITS).tolist()
    return dict(zip(names, published, strict=True))
