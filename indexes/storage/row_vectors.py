"""row_vectors.py: rows that were asked for lately -> a vector of each, worked out once."""

import threading
from collections.abc import Callable

import numpy as np

from indexes.storage.arrays import Rows, Vectors


class RowVectors:
    """A vector (d,) of each row that was asked for lately, at most `size` of them.

    of: rows (m,) -> vectors (m, d), each by itself, so that it does not matter with which others it
    was worked out. Safe between threads: what was written is never written again.
    """

    def __init__(self, size: int, dimensions: int, of: Callable[[Rows], Vectors]) -> None:
        self._size, self._dimensions, self._of = size, dimensions, of
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """With nothing; pages of the array take memory once they are written to."""
        vectors = np.zeros((self._size, self._dimensions), np.float32)
        self._kept: tuple[dict[int, int], Vectors] = ({}, vectors)

    def __call__(self, rows: Rows) -> Vectors:
        """The vectors (n, d) of rows (n,), n at most `size`."""
        slots, vectors = self._kept
        try:
            places = np.array([slots[row] for row in rows.tolist()], np.int64)
        except KeyError:
            return self._worked_out(rows)
        return vectors.take(places, axis=0)

    def _worked_out(self, rows: Rows) -> Vectors:
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in self._kept[0]]
        found = self._of(np.array(new, np.int64))
        with self._lock:
            if len(self._kept[0]) + len(new) > self._size:
                self._begin()
            slots, vectors = self._kept
            for row, vector in zip(new, found, strict=True):
                if row not in slots:
                    vectors[len(slots)] = vector
                    slots[row] = len(slots)  # seen by others once the vector is whole
        if any(row not in slots for row in rows.tolist()):  # what was known before went meanwhile
            return self._of(rows)
        return vectors[[slots[row] for row in rows.tolist()]]
