"""faiss_lists.py: vectors, some at a time -> a FAISS file of inverted lists, in bounded memory.

Which list a vector is of, and its code, depend on the vector alone once an index is trained. The
codes go to scratch files, each of some lists; when all have come, each is read once, put in the
order of its lists, and written. In memory are 4 bytes a vector, at the end some 30, and the codes
of one scratch file.
"""

import os
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Vectors

_TOTAL_AT: Final = 8  # after the kind and the dimensions, 4 bytes each
_U64: Final = struct.Struct("<Q")
_KIND: Final = b"ilar"
_EMPTY: Final = struct.Struct("<4sQQ4sQ")  # how lists begin, and without any vector end
_SCRATCH_BYTES: Final = 128 * 1024 * 1024  # of codes, about, in each scratch file
_MOST_FILES: Final = 256
_TRIED: Final = 200
Ints = npt.NDArray[np.int64]


class Head(NamedTuple):
    """The bytes of an empty index before its lists. map_at: where the number of rows in its direct
    map is; the map follows."""

    before: bytes
    map_at: int


def lists_head(trial: Path, index: Any, sample: Vectors) -> Head | None:
    """How this kind is written; None where it is no plain inverted file with a direct map, or
    FAISS writes other bytes. trial: a path that may be written to."""
    if not isinstance(index, faiss.IndexIVF):
        return None
    head = _head(index)
    if head is None:
        return None
    index.add(sample[:_TRIED])
    expected = faiss.serialize_index(index).tobytes()
    index.reset()
    file = ListsFile(trial, index, head, len(sample[:_TRIED]))
    try:
        file.add(sample[:_TRIED])
        file.finish()
        return head if trial.read_bytes() == expected else None
    except RuntimeError:  # FAISS: a kind that cannot encode by itself
        return None
    finally:
        file.close()
        trial.unlink(missing_ok=True)


def _head(index: Any) -> Head | None:
    mapped = faiss.serialize_index(index).tobytes()
    index.set_direct_map_type(faiss.DirectMap.NoMap)  # type: ignore[attr-defined]
    plain = faiss.serialize_index(index).tobytes()
    index.set_direct_map_type(faiss.DirectMap.Array)  # type: ignore[attr-defined]
    differ = [
        at for at, (one, other) in enumerate(zip(mapped, plain, strict=False)) if one != other
    ]
    size = _EMPTY.size
    if len(mapped) != len(plain) or len(differ) != 1 or mapped[-size:][:4] != _KIND:
        return None
    return Head(mapped[:-size], differ[0] + 1)


class ListsFile:
    """index: trained and empty, with a direct map. count: of vectors to come."""

    def __init__(self, path: Path, index: Any, head: Head, count: int) -> None:
        self._path, self._index, self._head = path, index, head
        self._lists = np.empty(count, np.int32)
        self._count = 0
        files = max(1, -(-count * index.code_size // _SCRATCH_BYTES))
        files = min(files, _MOST_FILES, index.nlist)
        self._bounds = np.linspace(0, index.nlist, files + 1).astype(np.int64)
        self._open = ExitStack()
        self._scratch = [self._new_file(number) for number in range(files)]

    def _new_file(self, number: int) -> BinaryIO:
        path = self._path.with_suffix(f".lists{number}")
        self._open.callback(_remove, path)
        return self._open.enter_context(path.open("w+b"))

    def add(self, vectors: Vectors) -> None:
        """Add vectors (n, d) as the next rows."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        lists = self._index.quantizer.search(vectors, 1)[1][:, 0]
        codes = np.empty((len(vectors), self._index.code_size), np.uint8)
        pointers = faiss.swig_ptr(vectors), faiss.swig_ptr(lists), faiss.swig_ptr(codes)
        self._index.encode_vectors(len(vectors), *pointers)
        self._lists[self._count : self._count + len(vectors)] = lists
        self._count += len(vectors)
        for file, low, high in zip(self._scratch, self._bounds[:-1], self._bounds[1:], strict=True):
            file.write(codes[(lists >= low) & (lists < high)].tobytes())

    def finish(self) -> None:
        """Put all in order; the file is whole then."""
        lists = self._lists[: self._count]
        order = np.argsort(lists, kind="stable")
        sizes = np.bincount(lists, minlength=self._index.nlist)
        with self._path.open("wb") as file:
            self._write_head(file, lists, order, sizes)
            ids = np.split(order, np.cumsum(sizes)[:-1])
            for scratch, low, high in zip(
                self._scratch, self._bounds[:-1], self._bounds[1:], strict=True
            ):
                self._write_lists(file, scratch, lists, ids[low:high], low, high)
        self.close()

    def _write_head(self, file: BinaryIO, lists: Any, order: Ints, sizes: Ints) -> None:
        before, map_at = self._head
        head = bytearray(before)
        _U64.pack_into(head, _TOTAL_AT, self._count)
        _U64.pack_into(head, map_at, self._count)
        file.write(head[: map_at + _U64.size])
        starts = np.cumsum(sizes) - sizes
        places = np.empty(self._count, np.int64)  # of each row: its list, and where in it
        places[order] = np.arange(self._count) - starts[lists[order]]
        places |= lists.astype(np.int64) << 32
        file.write(places.data)
        file.write(head[map_at + _U64.size :])
        filled = np.flatnonzero(sizes)
        if len(filled) > len(sizes) // 2:
            kind, told = b"full", sizes
        else:
            kind, told = b"sprs", np.stack([filled, sizes[filled]], axis=1).reshape(-1)
        file.write(_EMPTY.pack(_KIND, len(sizes), self._index.code_size, kind, len(told)))
        file.write(told.astype(np.uint64).tobytes())

    def _write_lists(
        self, file: BinaryIO, scratch: BinaryIO, lists: Any, ids: list[Ints], low: int, high: int
    ) -> None:
        scratch.seek(0)
        codes = np.frombuffer(scratch.read(), np.uint8).reshape(-1, self._index.code_size)
        here = np.flatnonzero((lists >= low) & (lists < high))  # the rows of these codes
        for rows in ids:
            if len(rows):
                file.write(codes[np.searchsorted(here, rows)].tobytes())
                file.write(rows.astype(np.int64).tobytes())
        scratch.truncate(0)  # its place on the disk is needed

    def close(self) -> None:
        """Let go of the scratch files."""
        self._open.close()


def _remove(path: Path) -> None:
    with suppress(OSError):
        os.unlink(path)
