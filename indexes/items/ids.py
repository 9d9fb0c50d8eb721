"""ids.py: item ids <-> rows, in files that are mapped and never copied into a worker.

A hash of each id, sorted, with the row beside it: a lookup is one binary search over a mapped
array, then a comparison with the stored id, so that a stranger's id is never taken for an item.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from indexes.errors import Failure
from indexes.storage import arrays
from indexes.storage.arrays import Rows, Runs

Hashes = npt.NDArray[np.uint64]
# Shops show few of their items most of the time, and a version never changes: a lookup in a dict is
# a tenth of hashing, searching and comparing. About 150 bytes an id.
_REMEMBERED: Final = 65_536
_NOT_MET: Final = -2


def id_hash(item_id: str) -> int:
    """64 bits; equal on every machine, unlike Python's own hash."""
    return int(xxhash.xxh3_64_intdigest(item_id.encode("utf-8", "surrogatepass")))


def save_ids(folder: Path, hashes: Hashes) -> None:
    """Write the lookup for ids in row order; their bytes are the `Runs` named "ids"."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    if len(ordered) > 1 and bool((ordered[1:] == ordered[:-1]).any()):
        raise Failure("Two item ids have the same 64-bit hash.", hint="Rename one of them.")
    arrays.save(folder / "id_hashes.npy", ordered)
    arrays.save(folder / "id_rows.npy", order.astype(np.uint32))


class _Met(dict[str, int]):
    """Rows of ids that were asked for."""

    def __missing__(self, item_id: str) -> int:
        return _NOT_MET


class ItemIds:
    """Both directions between ids and rows."""

    def __init__(self, folder: Path) -> None:
        self._ids = Runs(folder, "ids")
        self.hashes: Hashes = arrays.load(folder / "id_hashes.npy")
        self._rows = arrays.load(folder / "id_rows.npy")
        self._met = _Met()

    def __len__(self) -> int:
        return len(self._ids)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Rows (n,) of these ids; -1 where an id is not in the index."""
        if not item_ids:
            return np.empty(0, dtype=np.int64)
        rows = np.fromiter(map(self._met.__getitem__, item_ids), np.int64, len(item_ids))
        if np.minimum.reduce(rows) == _NOT_MET:
            new = np.flatnonzero(rows == _NOT_MET).tolist()
            rows[new] = self._looked_up([item_ids[at] for at in new])
        return rows

    def _looked_up(self, item_ids: Sequence[str]) -> Rows:
        """The rows of ids that were not asked for lately; those of items are remembered."""
        rows = self._searched(item_ids)
        if len(self._met) + len(item_ids) > _REMEMBERED:
            self._met = _Met()
        self._met.update(
            (item_id, row) for item_id, row in zip(item_ids, rows.tolist(), strict=True) if row >= 0
        )
        return rows

    def _searched(self, item_ids: Sequence[str]) -> Rows:
        encoded = [item_id.encode("utf-8", "surrogatepass") for item_id in item_ids]
        hashes = np.array([xxhash.xxh3_64_intdigest(item) for item in encoded], dtype=np.uint64)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        hash_matches = self.hashes[place] == hashes
        rows = self._rows[place].astype(np.int64)
        stored = self._ids.get_many(rows)
        same = np.array([a == b for a, b in zip(stored, encoded, strict=True)], dtype=bool)
        return np.where(hash_matches & same, rows, -1)

    def rows_of_hashes(self, hashes: Hashes) -> Rows:
        """Rows (n,) of ids with these hashes; -1 where the index has none."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, np.int64)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[place] == hashes, self._rows[place].astype(np.int64), -1)

    def ids(self, rows: Rows) -> list[str]:
        """The ids of these rows."""
        return [stored.decode("utf-8", "surrogatepass") for stored in self._ids.get_many(rows)]
