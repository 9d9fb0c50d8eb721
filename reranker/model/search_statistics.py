"""search_statistics.py: what shoppers took after searches -> what speaks for items in this search.

A query that nobody searched for backs off to those that mean nearly the same, by their vectors.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.items.columns import id_hash
from indexes.items.words import folded
from indexes.storage.arrays import Vectors
from reranker.model.item_statistics import CoOccurrences
from reranker.runtime.caches import RecentlyUsed

SEARCHES: Final = "searches.safetensors"
NEAREST: Final = 8  # other queries that count
_LEAST: Final = 0.7  # cosine from which on a query counts for another
_SMOOTHING: Final = 10.0  # weight of events below which a query says little
_KEPT: Final = 4096  # queries whose counts are kept


class SearchStatistics:
    """Those of one model version, by the numbers of its item statistics."""

    def __init__(self, folder: Path) -> None:
        arrays = load_file(folder / SEARCHES)
        self._keys: npt.NDArray[Any] = arrays["keys"].view(np.uint64)
        self._vectors, self._at = arrays["vectors"], arrays["at"]
        self._numbers, self._amounts = arrays["numbers"], arrays["amounts"].astype(np.float64)
        self._kept: RecentlyUsed[int, CoOccurrences] = RecentlyUsed(_KEPT)

    def taken(self, query: str, vector: Vectors) -> CoOccurrences:
        """What was taken after this search and those near it: the smoothed share of each item.

        vector (d,): of the query. Empty where no near query was searched by enough shoppers.
        """
        key = id_hash(folded(query))
        kept = self._kept.get(key)
        if kept is None:
            kept = self._taken(key, vector)
            self._kept.put(key, kept)
        return kept

    def _taken(self, key: int, vector: Vectors) -> CoOccurrences:
        nothing = CoOccurrences(np.zeros(0, np.int32), np.zeros(0, np.float32))
        if not len(self._keys):
            return nothing
        cosines = self._vectors @ vector
        same = int(np.searchsorted(self._keys, np.uint64(key)))
        if same < len(self._keys) and self._keys[same] == np.uint64(key):
            cosines[same] = 1.0
        near = np.argsort(-cosines, kind="stable")[: NEAREST + 1]
        near = near[cosines[near] > _LEAST]
        if not len(near):
            return nothing
        worth = np.square((cosines[near].astype(np.float64) - _LEAST) / (1.0 - _LEAST))
        places = np.concatenate([np.arange(self._at[row], self._at[row + 1]) for row in near])
        amounts = self._amounts[places] * np.repeat(worth, np.diff(self._at)[near])
        numbers, place = np.unique(self._numbers[places], return_inverse=True)
        sums = np.bincount(place, amounts, len(numbers))
        return CoOccurrences(numbers, np.asarray(sums / (sums.sum() + _SMOOTHING), np.float32))
