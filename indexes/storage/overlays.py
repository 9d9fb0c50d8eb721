"""overlays.py: rows of a mapped column that changed since it was written -> their values now.

A change appends a value and then points its row to it: whoever reads meanwhile sees each row as it
was or as it is, without a lock. Memory grows with the changes, never with the column: of an array
as long as the column only pages that were touched are there.
"""

from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)
Ints = npt.NDArray[np.int64]

_FIRST: Final = 64  # entries for which room is made at first


class RowSlots:
    """Which rows of a column (items,) changed, and in which slot the value of each is."""

    def __init__(self, rows: int, before: "RowSlots | None" = None) -> None:
        """before: those in whose place they come; no version of theirs is given again."""
        self._slots = np.zeros(rows, np.int32)  # from 1; 0: as it was written
        self.taken = 0  # slots, those that no row points to any more among them
        self._versions: int = before._versions + before.taken if before else 0

    def point(self, row: int) -> None:
        """The value of a row is what was appended last."""
        self.taken += 1
        self._slots[row] = self.taken

    def reset(self, row: int) -> None:
        """The row is as it was written again."""
        self._slots[row] = 0

    def versions(self, rows: Ints) -> Ints:
        """A number for each row (n,) that is another one after each change; 0: as written."""
        slots = self._slots[rows].astype(np.int64)
        return np.where(slots > 0, slots + self._versions, 0)

    def find(self, rows: Ints) -> tuple[Ints, Ints] | None:
        """Places (m,) of changed ones among rows (n,), -1 for none, and their slots from 0; None
        without any."""
        slots = self._slots[rows]
        slots[rows < 0] = 0
        if not np.logical_or.reduce(slots):
            return None
        places = np.flatnonzero(slots)
        return places, slots[places].astype(np.int64) - 1


class GrowingRuns(Generic[T]):
    """A run of numbers a slot, appended one after the other."""

    def __init__(self, slots: RowSlots, dtype: type[T]) -> None:
        self.slots = slots
        self._values: npt.NDArray[T] = np.zeros(_FIRST, dtype)
        self._at = np.zeros(_FIRST, np.int64)
        self._count = 0

    def append(self, numbers: npt.NDArray[T]) -> None:
        """The run of the next slot; seen once a row points to it."""
        start = int(self._at[self._count])
        end = start + len(numbers)
        self._values, self._at = _roomy(self._values, end), _roomy(self._at, self._count + 2)
        self._values[start:end] = numbers
        self._at[self._count + 1] = end
        self._count += 1

    def run(self, slot: int) -> npt.NDArray[T]:
        """The numbers of one slot, from 0."""
        return self._values[self._at[slot] : self._at[slot + 1]]

    def runs(self) -> tuple[npt.NDArray[T], Ints]:
        """The numbers of slot s are values[at[s]:at[s + 1]]; of slots that were found before."""
        at = self._at  # first: what came later is longer, never shorter
        return self._values, at


class GrowingVectors:
    """A vector (d,) a slot, as float16: half the memory, and an error of 1e-6 in cosine."""

    def __init__(self, slots: RowSlots, dimensions: int) -> None:
        self.slots = slots
        self._vectors = np.zeros((_FIRST, dimensions), np.float16)
        self._count = 0

    def append(self, vector: npt.NDArray[Any]) -> None:
        """The vector of the next slot; seen once a row points to it."""
        self._vectors = _roomy(self._vectors, self._count + 1)
        self._vectors[self._count] = vector
        self._count += 1

    def get(self, slots: Ints) -> npt.NDArray[np.float32]:
        """The vectors (m, d) of slots (m,) that were found before."""
        return self._vectors[slots].astype(np.float32)


def _roomy(values: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    """The same with room for `size` entries; a new array where it has to grow."""
    if size <= len(values):
        return values
    larger = np.zeros((max(size, 2 * len(values)), *values.shape[1:]), values.dtype)
    larger[: len(values)] = values
    return larger
