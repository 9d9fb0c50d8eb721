"""caches.py: what was worked out once -> kept for a while, for the next time.

Bounded in number and in time: what nobody asked for lately does not stay in memory. Or by the rows
of the index: four bytes each, of which only pages that were touched take memory.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Rows, Vectors

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
KEPT_SECONDS: Final = 900.0

Lengths = npt.NDArray[np.float32]


class CacheCounts:
    """Counted by the cache, under its lock; read by whoever wants to know."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = 0


class RecentlyUsed(Generic[K, V]):
    """At most `size` values by key, those used last; safe between threads."""

    def __init__(self, size: int, seconds: float = KEPT_SECONDS) -> None:
        self._size, self._seconds = size, seconds
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, if it is there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.counts.misses += 1
                return None
            self.counts.hits += 1
            self._entries[key] = (time.monotonic(), entry[1])
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: K, value: V) -> None:
        """Keep a value; the one that was not used for longest makes room."""
        now = time.monotonic()
        with self._lock:
            self._entries[key] = (now, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            self._drop_before(now - self._seconds)

    def drop(self, key: K) -> None:
        """Keep nothing under this key."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()

    def drop_unused(self) -> None:
        """Keep nothing that was not used for so many seconds."""
        with self._lock:
            self._drop_before(time.monotonic() - self._seconds)

    def _drop_before(self, when: float) -> None:
        while self._entries and next(iter(self._entries.values()))[0] < when:
            self._entries.popitem(last=False)


class RowMemo:
    """A number of each item's vector that never changes, worked out once a row.

    of: vectors (m, d) -> numbers (m,), never 0, which stands for "not asked yet".
    """

    def __init__(self, rows: int, of: Callable[[Vectors], Lengths]) -> None:
        self._numbers = np.zeros(rows + 1, np.float32)  # the last, of row -1, stays 0
        self._of = of

    def __call__(self, rows: Rows, vectors: Vectors) -> Lengths:
        """The numbers (n,) of rows (n,) with these vectors (n, d); -1: not in the index.

        Threads that meet a row at the same time both work it out, and write the same.
        """
        numbers = self._numbers[rows]
        if not np.minimum.reduce(numbers, initial=1.0):
            new = numbers == 0
            numbers[new] = self._of(vectors[new])
            lasting = new & (rows >= 0)
            self._numbers[rows[lasting]] = numbers[lasting]
        return numbers
