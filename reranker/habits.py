"""habits.py: the published habits of shoppers -> what they say for candidates, by index row."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.item_index import ItemIndex
from reranker.columns import Values
from reranker.habits_card import ARRAYS, HABITS_CARD, HabitsCard

Rows = npt.NDArray[np.int64]


class Habits:
    """Of one model version, for the rows of one index."""

    def __init__(self, folder: Path, index: ItemIndex) -> None:
        self.card = msgspec.json.decode((folder / HABITS_CARD).read_bytes(), type=HabitsCard)
        arrays = load_file(folder / ARRAYS)
        self._at, self._near = arrays["at"], arrays["numbers"]
        self._shares, self.counts = arrays["shares"], arrays["counts"]
        self._numbers = np.full(len(index), -1, np.int32)
        rows = index.rows(self.card.item_ids)
        there = rows >= 0
        self._numbers[rows[there]] = np.flatnonzero(there)

    def numbers(self, rows: Rows) -> Rows:
        """The habits' own number of each row (n,); -1 for an item that nobody met."""
        found = self._numbers[np.maximum(rows, 0)]
        return np.where(rows >= 0, found, -1).astype(np.int64)

    def together(self, history: Rows, worth: npt.NDArray[Any], candidates: Rows) -> Values:
        """For each candidate row (n,) the sum of what meeting the history's rows (h,) says."""
        numbers = self.numbers(history)
        met = numbers >= 0
        starts = self._at[numbers[met]]
        lengths = self._at[numbers[met] + 1] - starts
        ends = np.cumsum(lengths)
        flat = np.repeat(starts - (ends - lengths), lengths) + np.arange(int(lengths.sum()))
        said = self._shares[flat] * np.repeat(worth[met], lengths)
        return _summed(self._near[flat], said, self.numbers(candidates))

    def popularity(self, rows: Rows, weights: Values) -> tuple[Values, dict[str, Values]]:
        """log(1 + decayed events, each counting its type's weight) of rows (n,), and by type."""
        numbers = self.numbers(rows)
        counts = np.where((numbers >= 0)[:, None], self.counts[numbers], 0.0).astype(np.float64)
        by_type = {
            name: counts[:, at]
            for at, name in enumerate(self.card.types)
            if self.counts[:, at].any()
        }
        return np.log1p(counts @ np.maximum(weights, 0.0)), by_type


def _summed(
    numbers: npt.NDArray[np.int32], amounts: npt.NDArray[np.float64], wanted: Rows
) -> Values:
    """Amounts (m,) of these numbers, added up for each wanted number (n,)."""
    order = np.argsort(wanted, kind="stable")
    ordered = wanted[order]
    place = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
    hit = ordered[place] == numbers
    found = np.zeros(len(wanted))
    found[order] = np.bincount(place[hit], amounts[hit], minlength=len(wanted))
    return found
