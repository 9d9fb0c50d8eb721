"""row_vectors.py: rows that were asked for lately -> a vector of each, worked out once."""

import threading
from collections.abc import Callable

import numpy as np

from indexes.storage.arrays import Rows, Vectors


class RowVectors:
    """A vector (d,) of each row that was asked for lately, at most `size` of them.

    of: rows (m,) -> vectors (m, d), each by itself, so that it does not matter with which others it
    was worked out. versions: rows (n,) -> numbers (n,), another one when a row's vector is another.
    Safe between threads: what was written is never written again.
    """

    def __init__(
        self,
        size: int,
        dimensions: int,
        of: Callable[[Rows], Vectors],
        versions: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        self._size, self._dimensions, self._of, self._versions = size, dimensions, of, versions
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """With nothing; pages of the array take memory once they are written to."""
        vectors = np.zeros((self._size, self._dimensions), np.float32)
        self._kept: tuple[dict[int, int], Vectors] = ({}, vectors)

    def __call__(self, rows: Rows) -> Vectors:
        """The vectors (n, d) of rows (n,), n at most `size`."""
        keys = self._versions(rows).tolist()  # before the vectors: those may be newer, never older
        slots, vectors = self._kept
        try:
            places = np.array([slots[key] for key in keys], np.int64)
        except KeyError:
            return self._worked_out(rows, keys)
        return vectors.take(places, axis=0)

    def _worked_out(self, rows: Rows, keys: list[int]) -> Vectors:
        slots = self._kept[0]
        new = {key: row for key, row in zip(keys, rows.tolist(), strict=True) if key not in slots}
        vectors_of_new = self._of(np.array(list(new.values()), np.int64))
        with self._lock:
            if len(self._kept[0]) + len(new) > self._size:
                self._begin()
            slots, vectors = self._kept
            for key, vector in zip(new, vectors_of_new, strict=True):
                if key not in slots:
                    vectors[len(slots)] = vector
                    slots[key] = len(slots)  # seen by others once the vector is whole
        if any(key not in slots for key in keys):  # what was known before went meanwhile
            return self._of(rows)
        return vectors[[slots[key] for key in keys]]
