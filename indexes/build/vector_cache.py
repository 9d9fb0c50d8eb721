"""vector_cache.py: (model, item text) -> its vector, kept across rebuilds and interruptions.

One append-only file per encoder fingerprint, outside every version. Each block carries its own
checksum, so a write cut short by kill -9 costs that block alone: the next rebuild encodes it again.
Vectors are kept as float16 (cosine error below 1e-6), half the size of float32.
"""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import xxhash

from indexes.storage.arrays import Vectors

Digests = npt.NDArray[np.bytes_]  # (n,) of 16 bytes each
DIGEST: Final = np.dtype("S16")
_HEADER = struct.Struct("<8sIIQ")  # magic, vectors, dimensions, xxh3-64 of what follows
_MAGIC: Final = b"vectors1"
_SYNC_SECONDS: Final = 1.0  # what a power cut may cost; a disk takes some 10 ms for each sync


class VectorCache:
    """Item vectors by text digest, for one encoder; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._synced = time.monotonic()
        self._forget()
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def digests(self) -> Digests:
        """All texts that have a vector (n,), sorted."""
        self._sort_in()
        return self._keys

    def sync(self) -> None:
        """See to it that everything is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._keys) + sum(len(digests) for digests, _ in self._fresh)

    def _forget(self) -> None:
        self._keys: Digests = np.empty(0, dtype=DIGEST)  # sorted
        self._places = np.empty((0, 2), dtype=np.int64)  # byte offset of the vector, dimensions
        self._fresh: list[tuple[Digests, npt.NDArray[np.int64]]] = []  # appended, not yet sorted in

    def _load(self) -> None:
        """Read the blocks that are whole; cut off what follows the last whole one."""
        good = 0
        for start, end, digests, dimensions in self._blocks():
            self._note(start, digests, dimensions)
            good = end
        if good < self._file.seek(0, os.SEEK_END):
            self._file.truncate(good)

    def _note(self, start: int, digests: Digests, dimensions: int) -> None:
        """Remember where the vectors of the block at `start` lie."""
        at = start + _HEADER.size + digests.nbytes + np.arange(len(digests)) * dimensions * 2
        places = np.stack([at, np.full(len(at), dimensions)], axis=1)
        self._fresh.append((digests, places))

    def _sort_in(self) -> None:
        """Make everything appended so far searchable; once a rebuild, not once a block."""
        if not self._fresh:
            return
        keys = np.concatenate([self._keys, *(digests for digests, _ in self._fresh)])
        places = np.concatenate([self._places, *(places for _, places in self._fresh)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._places, self._fresh = keys[order], places[order], []

    def _blocks(self) -> Iterator[tuple[int, int, Digests, int]]:
        """Whole blocks in file order: start, end, digests (n,), dimensions."""
        size, start = self._file.seek(0, os.SEEK_END), 0
        while start + _HEADER.size <= size:
            self._file.seek(start)
            magic, count, dimensions, checksum = _HEADER.unpack(self._file.read(_HEADER.size))
            length = count * (DIGEST.itemsize + 2 * dimensions)
            if magic != _MAGIC or start + _HEADER.size + length > size:
                return
            payload = self._file.read(length)
            if xxhash.xxh3_64_intdigest(payload) != checksum:
                return
            end = start + _HEADER.size + length
            digests = np.frombuffer(payload, dtype=DIGEST, count=count)
            yield start, end, digests.copy(), dimensions  # not the whole payload with them
            start = end

    def _find(self, digests: Digests) -> npt.NDArray[np.int64]:
        """Position of each digest among the keys (n,), -1 where it is not there."""
        self._sort_in()
        if not len(self._keys):
            return np.full(len(digests), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._keys, digests), len(self._keys) - 1)
        return np.where(self._keys[at] == digests, at, -1)

    def known(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of these texts (n,) have a vector."""
        return self._find(digests) >= 0

    def append(self, digests: Digests, vectors: Vectors) -> None:
        """Add vectors (n, d) for texts (n,) as one block, which outlives this process at once.

        A power cut may cost the last second: a block that is not whole is not read.
        """
        payload = np.ascontiguousarray(digests).tobytes() + vectors.astype(np.float16).tobytes()
        header = _HEADER.pack(
            _MAGIC, len(digests), vectors.shape[1], xxhash.xxh3_64_intdigest(payload)
        )
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(header + payload)
        self._file.flush()
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        self._note(start, digests, vectors.shape[1])

    def vectors(self, digests: Digests) -> Vectors:
        """The vectors (n, d) of texts (n,), all of which are known."""
        rows = self._find(digests)
        if (rows < 0).any():
            raise KeyError(f"{int((rows < 0).sum())} texts have no vector in {self.path.name}")
        places = self._places[rows]
        dimensions = int(places[0, 1])
        halves = np.asarray(np.memmap(self.path, dtype=np.float16, mode="r"))
        # Every run of d numbers, as a view: gathering rows of it needs no index a number.
        runs = np.lib.stride_tricks.sliding_window_view(halves, dimensions)
        return runs[places[:, 0] // 2].astype(np.float32)

    def _copy(self, live: Digests, path: Path) -> None:
        with VectorCache(path) as smaller:
            for start in range(0, len(live), 16384):
                part = live[start : start + 16384]
                smaller.append(part, self.vectors(part))
            os.fsync(smaller._file.fileno())  # before it replaces what is on the disk

    def compact(self, live: Digests) -> bool:
        """Rewrite the file when most of it is no item's any more; says whether it did."""
        live = np.unique(live)
        if len(self) <= 2 * len(live):
            return False
        fresh = self.path.with_suffix(".compact")
        fresh.unlink(missing_ok=True)
        try:
            self._copy(live, fresh)
        except BaseException:
            fresh.unlink(missing_ok=True)  # on a full disk it would keep it full
            raise
        self.close()
        os.replace(fresh, self.path)
        self._file = self.path.open("a+b")
        self._forget()
        self._load()
        return True
