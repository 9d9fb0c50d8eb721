"""faiss_file.py: vectors, some at a time -> a FAISS file, with only those in memory.

FAISS writes an index that is whole in memory. Where the codes of all vectors are one array at the
end of the file, as in flat and scalar-quantised ones, the same bytes can be written as they come:
two numbers before them say how many there are. Whether a kind of index is written so is tried on
one vector, never assumed.
"""

import struct
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from indexes.storage.arrays import Vectors

_TOTAL_AT: Final = 8  # after the kind and the dimensions, 4 bytes each
_U64: Final = struct.Struct("<Q")


class FaissFile:
    """A FAISS index on its way to a file. index: trained and empty."""

    def __init__(self, path: Path, index: Any, first: Vectors) -> None:
        """first: some vectors, to see how this kind of index is written."""
        self._index, self._path = index, path
        self._layout = _streamed_layout(index, first[:1])
        self._count = 0
        self._file = path.open("wb") if self._layout else None
        if self._file and self._layout:
            self._file.write(self._layout.head)

    def add(self, vectors: Vectors) -> None:
        """Add vectors (n, d) as the next rows."""
        self._index.add(vectors)
        if self._file:
            self._file.write(_codes(self._index))
            self._index.reset()
            self._count += len(vectors)

    def finish(self) -> None:
        """Write what is left; the file is whole then."""
        if self._file is None or self._layout is None:
            faiss.write_index(self._index, str(self._path))
            return
        self._file.seek(_TOTAL_AT)
        self._file.write(_U64.pack(self._count))
        self._file.seek(len(self._layout.head) - _U64.size)
        self._file.write(_U64.pack(self._count * self._layout.units))
        self._file.close()

    def close(self) -> None:
        """Let go of a file that is not finished."""
        if self._file is not None:
            self._file.close()


class _Layout:
    """head: the bytes before the codes, of an empty index. units: by which one vector's codes are
    counted."""

    def __init__(self, head: bytes, units: int) -> None:
        self.head, self.units = head, units


def _streamed_layout(index: Any, vector: Vectors) -> _Layout | None:
    """How this kind is written; None where its codes are not one array at the end."""
    if not isinstance(index, faiss.IndexFlatCodes):
        return None
    head = faiss.serialize_index(index).tobytes()
    index.add(vector)
    whole, codes = faiss.serialize_index(index).tobytes(), _codes(index)
    index.reset()
    (units,) = _U64.unpack_from(whole, len(head) - _U64.size)
    made = bytearray(head + codes)
    _U64.pack_into(made, _TOTAL_AT, 1)
    _U64.pack_into(made, len(head) - _U64.size, units)
    return _Layout(head, units) if bytes(made) == whole else None


def _codes(index: Any) -> bytes:
    size = index.ntotal * index.code_size
    return np.asarray(faiss.rev_swig_ptr(index.codes.data(), size)).tobytes() if size else b""
