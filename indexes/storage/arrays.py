"""arrays.py: columns of numbers and runs of bytes <-> files that workers share by mapping them."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import COUNTED, Program
from indexes.storage.overlays import GrowingRuns

Values = npt.NDArray[np.float64]

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


class Rooms:
    """Room for vectors that live as long as one request, lent to one after another.

    What is asked of the allocator and given back each time leaves holes between what lasts, and
    costs a page fault for every 4 kB.
    """

    def __init__(self, most: int, largest: int) -> None:
        """most: rooms that are kept, each of at most so many numbers."""
        self._largest = largest
        self._free: deque[Vectors] = deque(maxlen=most)

    def take(self, size: int) -> Vectors:
        """Room for so many numbers (>= size,), for as long as it is not given back."""
        try:
            room = self._free.pop()
        except IndexError:
            room = np.empty(0, np.float32)
        return room if room.size >= size else aligned(size)

    def give(self, room: Vectors) -> None:
        """Nobody reads it any more."""
        if room.size <= self._largest:
            self._free.append(room)


def aligned(size: int) -> Vectors:
    """Zeros (size,) that begin where a cache line does: a load that reads of two takes twice as
    long, and a product of rows does little but load. Pages take memory once they are written to."""
    line = 64 // 4
    whole = np.zeros(size + line, np.float32)
    start = -(whole.ctypes.data // 4) % line
    return whole[start : start + size]


def save(path: Path, values: npt.NDArray[Any]) -> None:
    """Write one column as .npy; objects are impossible, so nothing is ever pickled."""
    np.save(path, values, allow_pickle=False)


def load(path: Path) -> npt.NDArray[Any]:
    """Map one column. A plain ndarray: np.memmap's subclass makes each small read slower."""
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty")
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(mapped).view(np.ndarray)


def load_own(path: Path) -> npt.NDArray[Any]:
    """Map one column so that it can be written to: what is written is this process's alone, and
    costs it a page of memory for each that is touched. The file stays as it is."""
    mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    return np.asarray(mapped).view(np.ndarray)


def _bytes_of(path: Path) -> npt.NDArray[np.uint8]:
    if path.stat().st_size == 0:  # an empty file cannot be mapped, and is legitimate here
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r")).view(np.ndarray)


class Runs:
    """A run of bytes for each row: `NAME.bin`, and `NAME.at.npy` with n + 1 offsets."""

    def __init__(self, folder: Path, name: str) -> None:
        self.values = _bytes_of(folder / f"{name}.bin")
        self.at: Ints = load(folder / f"{name}.at.npy").view(np.int64)
        self._bytes = self.values.data

    def __len__(self) -> int:
        return len(self.at) - 1

    def get(self, row: int) -> bytes:
        """The bytes of one row."""
        return bytes(self._bytes[int(self.at[row]) : int(self.at[row + 1])])

    def get_many(self, rows: Rows) -> list[bytes]:
        """The bytes of these rows; two gathers, then plain slicing."""
        starts, ends = self.at[rows].tolist(), self.at[rows + 1].tolist()
        return [bytes(self._bytes[a:b]) for a, b in zip(starts, ends, strict=True)]


class Ragged(Generic[T]):
    """A few numbers for each row: `NAME.npy`, and `NAME.at.npy` with n + 1 offsets.

    Those of row r are values[at[r]:at[r + 1]]. changed: what lies over them since.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._values: npt.NDArray[T] = load(folder / f"{name}.npy")
        self._at: Ints = load(folder / f"{name}.at.npy").view(np.int64)
        self.changed: GrowingRuns[T] | None = None

    def gather(self, rows: Rows) -> tuple[npt.NDArray[T], npt.NDArray[np.int64]]:
        """All numbers of these rows (m,), and to which of the rows each belongs (m,)."""
        values, owner = _gathered(self._values, self._at, rows)
        changed = self.changed
        found = changed.slots.find(rows) if changed else None
        if changed is None or found is None:
            return values, owner
        places, slots = found
        new, of = _gathered(*changed.runs(), slots)
        same = ~np.isin(owner, places)
        owner = np.concatenate([owner[same], places[of]])
        order = np.argsort(owner, kind="stable")
        return np.concatenate([values[same], new])[order], owner[order]

    def count(self, rows: Rows, wanted: npt.NDArray[T]) -> Values:
        """How many of each row's numbers are wanted (sorted) (n,); 0 of row -1."""
        return np.asarray(filled(rows, [(COUNTED, self, wanted)])[0])

    @property
    def written(self) -> tuple[npt.NDArray[T], Ints]:
        """The numbers of row r are values[at[r]:at[r + 1]], as they were written."""
        return self._values, self._at


def filled(rows: Rows, programs: Sequence[Program]) -> Values:
    """`kernels.filled`: a column (k, n) of rows (n,) for each program. A `Ragged` may stand in one
    after its kind, and is read with what lies over it."""
    columns = kernels.filled(rows, [_as_written(program) for program in programs])
    for column, (kind, *given) in zip(columns, programs, strict=True):
        changed = given[0].changed if isinstance(given[0], Ragged) else None
        found = changed.slots.find(rows) if changed else None
        if changed is not None and found is not None:
            places, slots = found
            column[places] = kernels.filled(slots, [(kind, *changed.runs(), *given[1:])])[0]
    return columns


def _as_written(program: Program) -> Program:
    kind, first, *others = program
    return (kind, *first.written, *others) if isinstance(first, Ragged) else program


def _gathered(values: npt.NDArray[T], at: Ints, rows: Rows) -> tuple[npt.NDArray[T], Ints]:
    starts = at[rows]
    lengths = at[rows + 1] - starts
    ends = np.add.accumulate(lengths)
    places = np.arange(int(ends[-1]) if len(ends) else 0)
    places += np.repeat(starts - ends + lengths, lengths)
    return values[places], np.repeat(np.arange(len(rows)), lengths)


def save_ragged(
    folder: Path, name: str, values: Sequence[int], lengths: Sequence[int], dtype: type[np.generic]
) -> None:
    """Write a `Ragged` column from its numbers in row order and how many each row has."""
    # One number too many at the end: np.load cannot map an empty array, and no offset reaches it.
    save(folder / f"{name}.npy", np.append(np.asarray(values, dtype=dtype), dtype(0)))
    save(folder / f"{name}.at.npy", offsets(lengths))


def offsets(lengths: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Lengths (n,) -> where each run starts, and where the last one ends (n + 1,)."""
    at = np.zeros(len(lengths) + 1, dtype=np.uint64)
    np.cumsum(np.asarray(lengths, dtype=np.uint64), out=at[1:])
    return at
