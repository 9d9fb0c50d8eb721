"""known_keys.py: keys of a catalogue as they come, some thousand at a time -> which came before.

Sorted runs of arrays, merged while they are small against the next: 8 or 16 bytes a key and one for
its number, instead of the hundred of a Python set.
"""

from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

_FEWEST: Final = 65_536  # keys of the first run
_GROWTH: Final = 4  # a run takes up the next one until that is so many times as long

K = TypeVar("K", bound=np.generic)
NEW: Final = -1
Keys = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


class KnownKeys(Generic[K]):
    """Keys of one type, each with the number under which it came first."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._runs: list[tuple[Keys, npt.NDArray[np.uint32]]] = []

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def find(self, keys: npt.NDArray[K]) -> Numbers:
        """The number of each (n,); NEW where it did not come."""
        numbers = np.full(len(keys), NEW, np.int64)
        for known, own in self._runs:
            at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            met = known[at] == keys
            numbers[met] = own[at[met]]
        return numbers

    def add(self, keys: npt.NDArray[K], numbers: Numbers) -> None:
        """Remember keys (n,) that are new, each once, with their numbers below 2^32 (n,)."""
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        run = keys[order].astype(self._dtype), numbers[order].astype(np.uint32)
        while self._runs and len(self._runs[-1][0]) < max(_FEWEST, _GROWTH * len(run[0])):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)


def _merged(
    one: tuple[Keys, npt.NDArray[np.uint32]], other: tuple[Keys, npt.NDArray[np.uint32]]
) -> tuple[Keys, npt.NDArray[np.uint32]]:
    keys = np.concatenate([one[0], other[0]])
    order = np.argsort(keys, kind="stable")  # of two sorted runs: a merge
    return keys[order], np.concatenate([one[1], other[1]])[order]
