"""item_statistics.py: published item statistics -> co-occurrence, popularity, by candidate."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.items.index import ItemIndex
from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import AMOUNT, LOOKED_UP, TAKEN, Program
from indexes.storage.arrays import Rows, Values
from reranker.model.card import ARRAYS, SEEN, SINCE, STATISTICS_CARD, ItemStatisticsCard

CHANCE_DAYS: Final = 14  # in the shop before it says something that nobody met an item
_DAY: Final = 86_400.0
NEW: Final = -2  # in the shop for too short a time to be met, or outside the index
_UNMET: Final = -1


class ItemStatistics:
    """Those of one model version, for the rows of one index."""

    def __init__(self, folder: Path, index: ItemIndex) -> None:
        self.card = msgspec.json.decode(
            (folder / STATISTICS_CARD).read_bytes(), type=ItemStatisticsCard
        )
        arrays = load_file(folder / ARRAYS)
        self._at, self._near = arrays["at"], arrays["numbers"]
        self._shares, self.counts = arrays["shares"], arrays["counts"]
        self._popular: tuple[Values, Values] | None = None
        self._numbers = np.full(len(index) + 1, NEW, np.int32)  # the last: of row -1, outside
        self._numbers[_long_there(arrays, self.card.newest, index)] = _UNMET
        rows = index.rows(self.card.item_ids)
        indexed = rows >= 0
        self._numbers[rows[indexed]] = np.flatnonzero(indexed)

    def numbers(self, rows: Rows) -> Rows:
        """The statistics' own number of each row (n,); -1 for an item that nobody met."""
        return np.maximum(self._numbers[rows], _UNMET).astype(np.int64)

    def co_occurrences(self, history: Rows, worth: npt.NDArray[Any]) -> "CoOccurrences":
        """What meeting the history's rows (h,), each counting its worth, says for other items."""
        numbers = self.numbers(history)
        met = numbers >= 0
        starts = self._at[numbers[met]]
        lengths = self._at[numbers[met] + 1] - starts
        ends = np.cumsum(lengths)
        flat = np.repeat(starts - (ends - lengths), lengths) + np.arange(int(lengths.sum()))
        amounts = self._shares[flat] * np.repeat(worth[met], lengths)
        neighbours, place = np.unique(self._near[flat], return_inverse=True)
        sums = np.bincount(place, amounts, len(neighbours))
        return CoOccurrences(neighbours, np.asarray(sums, np.float32))

    def shares_with(self, history: Rows, wanted: Rows) -> Values:
        """What meeting each of these rows (h,) alone says for each of the wanted (n,): (n, h)."""
        numbers, place = np.unique(self.numbers(wanted), return_inverse=True)
        of_history = self.numbers(history)
        met = np.flatnonzero(of_history >= 0)
        starts = self._at[of_history[met]]
        lengths = self._at[of_history[met] + 1] - starts
        flat = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        flat = flat + np.arange(len(flat))
        near, whose = self._near[flat], np.repeat(met, lengths)
        at = np.minimum(np.searchsorted(numbers, near), len(numbers) - 1)
        hit = np.flatnonzero(numbers[at] == near) if len(numbers) else at
        shares = np.zeros((len(numbers), len(history)))
        np.add.at(shares, (at[hit], whose[hit]), self._shares[flat[hit]].astype(np.float64))
        return np.asarray(shares[place])

    def amounts_of(self, met: "CoOccurrences", candidates: Rows) -> Values:
        """That, for each candidate row (n,)."""
        return np.asarray(kernels.filled(candidates, [self.amounts(met)])[0])

    def amounts(self, met: "CoOccurrences") -> Program:
        """The same as a program of the kernel."""
        return AMOUNT, self._numbers, met.numbers, met.amounts

    @property
    def known(self) -> Program:
        """Each row's number, as a program of the kernel; NEW for what could not be met."""
        return TAKEN, self._numbers

    def popularity(self, weights: Values) -> Program:
        """log(1 + decayed events, each counting its type's weight), as a program of the kernel."""
        known = self._popular
        if known is None or (known[0] is not weights and not np.array_equal(known[0], weights)):
            totals = np.log1p(self.counts.astype(np.float64) @ np.maximum(weights, 0.0))
            self._popular = known = weights, totals
        return LOOKED_UP, self._numbers, known[1]

    def counts_by_type(self, rows: Rows) -> dict[str, Values]:
        """Decayed events of rows (n,), by type."""
        if not len(self.counts):  # nobody met anything that enough others met, too
            return {}
        numbers = self.numbers(rows)
        counts = np.where((numbers >= 0)[:, None], self.counts[numbers], 0.0).astype(np.float64)
        return {
            name: counts[:, at]
            for at, name in enumerate(self.card.types)
            if self.counts[:, at].any()
        }


def _long_there(arrays: dict[str, npt.NDArray[Any]], newest: float, index: ItemIndex) -> Rows:
    """The rows of the index that were there so long before the newest event that counts."""
    if SEEN not in arrays:  # a model of before
        return np.arange(len(index), dtype=np.int64)
    long = newest / _DAY - arrays[SINCE] >= CHANCE_DAYS
    rows = index.ids.rows_of_hashes(arrays[SEEN][long])
    return rows[rows >= 0]


class CoOccurrences(NamedTuple):
    """Items by the statistics' own numbers (m,), sorted, and how much speaks for each (m,)."""

    numbers: npt.NDArray[np.int32]
    amounts: npt.NDArray[np.float32]
