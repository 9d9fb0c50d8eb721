"""row_vectors.py: rows asked for lately -> a vector and a number of each, worked out once."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from indexes.storage.arrays import Rows, Vectors, aligned


class Kept(NamedTuple):
    """Some rows' vectors and numbers, where they stand: table[places] (n, d), numbers[places]."""

    table: Vectors
    numbers: Vectors
    places: Rows


class RowVectors:
    """A vector (d,) and a number of each row that was asked for lately, at most `size` of them.

    of: rows (m,) -> vectors (m, d) and numbers (m,), each by itself, so that it does not matter
    with which others it was worked out. versions: rows (n,) -> numbers (n,), another one when a
    row's vector is another. Safe between threads: what was written is never written again.
    """

    def __init__(
        self,
        size: int,
        dimensions: int,
        of: Callable[[Rows], tuple[Vectors, Vectors]],
        versions: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        self._size, self._dimensions, self._of, self._versions = size, dimensions, of, versions
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """With nothing; pages of the arrays take memory once they are written to."""
        vectors = aligned(self._size * self._dimensions).reshape(self._size, self._dimensions)
        self._kept: tuple[dict[int, int], Vectors, Vectors]
        self._kept = {}, vectors, np.zeros(self._size, np.float32)

    def __call__(self, rows: Rows) -> Kept:
        """Those of rows (n,), n at most `size`; what comes back stays as it is."""
        keys = self._versions(rows).tolist()  # before the vectors: those may be newer, never older
        slots, vectors, numbers = self._kept
        try:
            places = np.array(list(map(slots.__getitem__, keys)), np.int64)
        except KeyError:
            return self._worked_out(rows, keys)
        return Kept(vectors, numbers, places)

    def _worked_out(self, rows: Rows, keys: list[int]) -> Kept:
        slots = self._kept[0]
        new = {key: row for key, row in zip(keys, rows.tolist(), strict=True) if key not in slots}
        of_new = zip(*self._of(np.array(list(new.values()), np.int64)), strict=True)
        with self._lock:
            if len(self._kept[0]) + len(new) > self._size:
                self._begin()
            slots, vectors, numbers = self._kept
            for key, (vector, number) in zip(new, of_new, strict=True):
                if key not in slots:
                    vectors[len(slots)], numbers[len(slots)] = vector, number
                    slots[key] = len(slots)  # seen by others once the vector is whole
        if any(key not in slots for key in keys):  # what was known before went meanwhile
            return Kept(*self._of(rows), np.arange(len(rows)))
        return Kept(vectors, numbers, np.array([slots[key] for key in keys], np.int64))
