"""look_space.py: an index's vectors that no text made -> the items nearest to some of them.

One vector an item: its whitened vectors of all modalities, one behind the other, each times the
root of its modality's weight; zeros where it has none, which say neither near nor far.
"""

import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Mask, Rows, Values, Vectors
from reranker.applications.recommendations.item_space import NearestVectors
from reranker.signals.looks import weighed


class LookSpace:
    """Of the items that have a vector of any modality. Safe between threads once it is built."""

    def __init__(self, index: ItemIndex) -> None:
        self._modalities = weighed(index)
        every, known = np.arange(len(index)), np.zeros(len(index), bool)
        for modality in self._modalities:
            known |= modality.known(every)
        self._rows = np.flatnonzero(known)
        self._nearest = NearestVectors(len(self._rows), self._of_places) if known.any() else None

    def vectors(self, rows: Rows) -> Vectors:
        """Vectors (n, d) of rows (n,) of the index."""
        blocks = []
        for modality in self._modalities:
            vectors, known = modality.rows(rows)
            white = modality.whitening(vectors) * np.float32(np.sqrt(modality.weight))
            blocks.append(np.where(known[:, None], white, np.float32(0.0)))
        return np.concatenate(blocks, axis=1)

    def alike(self, rows: Rows, worth: Values, allowed: Mask | None, n: int) -> Rows:
        """Items nearest to the mean of these rows (h,), each counting its worth, nearest first.

        None that is farther than items are on average, and none where no row has a vector. allowed
        (items,): those that may be named.
        """
        if self._nearest is None or not len(rows):
            return np.empty(0, np.int64)
        mean = np.asarray(worth @ self.vectors(rows), np.float32)
        if not mean.any():
            return np.empty(0, np.int64)
        may = None if allowed is None else allowed[self._rows]
        cosines, places = self._nearest.nearest(mean[None], n, may)
        near = places[0][(places[0] >= 0) & (cosines[0] > 0)]
        return np.asarray(self._rows[near])

    def _of_places(self, places: Rows) -> Vectors:
        return self.vectors(self._rows[places])
