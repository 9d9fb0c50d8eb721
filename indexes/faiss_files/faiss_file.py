"""faiss_file.py: vectors, some at a time -> a FAISS file, with only those in memory.

FAISS writes an index that is whole in memory. Where the codes of all vectors are one array at the
end of the file, as in flat and scalar-quantised ones, the same bytes can be written as they come:
two numbers before them say how many there are. Those of inverted files: faiss_lists.py. Whether a
kind of index is written so is tried on some vectors, never assumed.
"""

import struct
from pathlib import Path
from typing import Any, Final, Protocol

import faiss
import numpy as np

from indexes.faiss_files.faiss_lists import ListsFile, lists_head
from indexes.storage.arrays import Vectors

TOTAL_AT: Final = 8  # after the kind and the dimensions, 4 bytes each
_U64: Final = struct.Struct("<Q")


class FaissFile(Protocol):
    """A FAISS index on its way to a file."""

    def add(self, vectors: Vectors) -> None:
        """Add vectors (n, d) as the next rows."""

    def finish(self) -> None:
        """Write what is left; the file is whole then."""

    def close(self) -> None:
        """Let go of a file that is not finished."""


def faiss_file(path: Path, index: Any, sample: Vectors, count: int) -> FaissFile:
    """The way to a file that needs the least memory, for this kind of index.

    index: trained and empty. sample: some vectors, to try it on. count: of vectors to come.
    """
    if isinstance(index, faiss.IndexFlatCodes):
        layout = _streamed_layout(index, sample[:1])
        if layout is not None:
            return _CodesFile(path, index, layout)
    head = lists_head(path.with_suffix(".trial"), index, sample)
    if head is not None:
        return ListsFile(path, index, head, count)
    return _WholeFile(path, index)


class _WholeFile:
    """Any kind: the whole index in memory."""

    def __init__(self, path: Path, index: Any) -> None:
        self._path, self._index = path, index

    def add(self, vectors: Vectors) -> None:
        self._index.add(vectors)

    def finish(self) -> None:
        faiss.write_index(self._index, str(self._path))

    def close(self) -> None:
        pass


class _Layout:
    """head: the bytes before the codes, of an empty index. units: by which one vector's codes are
    counted."""

    def __init__(self, head: bytes, units: int) -> None:
        self.head, self.units = head, units


class _CodesFile:
    """Flat and scalar-quantised: the codes in the order of rows."""

    def __init__(self, path: Path, index: Any, layout: _Layout) -> None:
        self._index, self._layout = index, layout
        self._count = 0
        self._file = path.open("wb")
        self._file.write(layout.head)

    def add(self, vectors: Vectors) -> None:
        self._index.add(vectors)
        self._file.write(_codes(self._index))
        self._index.reset()
        self._count += len(vectors)

    def finish(self) -> None:
        self._file.seek(TOTAL_AT)
        self._file.write(_U64.pack(self._count))
        self._file.seek(len(self._layout.head) - _U64.size)
        self._file.write(_U64.pack(self._count * self._layout.units))
        self._file.close()

    def close(self) -> None:
        self._file.close()


def _streamed_layout(index: Any, vector: Vectors) -> _Layout | None:
    """How this kind is written; None where its codes are not one array at the end."""
    head = faiss.serialize_index(index).tobytes()
    index.add(vector)
    whole, codes = faiss.serialize_index(index).tobytes(), _codes(index)
    index.reset()
    (units,) = _U64.unpack_from(whole, len(head) - _U64.size)
    made = bytearray(head + codes)
    _U64.pack_into(made, TOTAL_AT, 1)
    _U64.pack_into(made, len(head) - _U64.size, units)
    return _Layout(head, units) if bytes(made) == whole else None


def _codes(index: Any) -> bytes:
    size = index.ntotal * index.code_size
    return np.asarray(faiss.rev_swig_ptr(index.codes.data(), size)).tobytes() if size else b""
