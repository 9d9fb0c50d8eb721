"""first_seen.py: the index and the model before -> since when each item can have been met.

An item that came after the last training was met by nobody because nobody could. Statistics of it
begin to say something once it has stood in the shop for a while.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.items.columns import Hashes
from indexes.storage.versions import VersionStore
from reranker.model.card import ARRAYS, SEEN, SINCE


class FirstSeen(NamedTuple):
    """Hashes of ids (n,), sorted, and the day of the newest event when training first saw each.

    Day 0: it was there at the first training, so that it may have been there all the time.
    """

    hashes: Hashes
    days: npt.NDArray[np.int32]


def first_seen(hashes: Hashes, newest_day: int, before: FirstSeen | None) -> FirstSeen:
    """That of an index with these ids. before: of the model before, None for the first one."""
    hashes = np.array(hashes)
    if before is None:
        return FirstSeen(hashes, np.zeros(len(hashes), np.int32))
    days = np.full(len(hashes), newest_day, np.int32)
    _, now, then = np.intersect1d(hashes, before.hashes, return_indices=True, assume_unique=True)
    days[now] = before.days[then]
    return FirstSeen(hashes, days)


def published_first_seen(store: VersionStore) -> FirstSeen | None:
    """That of the published model; None without one, or where it is damaged or does not say."""
    version = store.current()
    if version is None or store.verify(version):
        return None
    return _read(version.folder)


def _read(folder: Path) -> FirstSeen | None:
    if not (folder / ARRAYS).is_file():
        return None
    arrays = load_file(folder / ARRAYS)
    return FirstSeen(arrays[SEEN], arrays[SINCE]) if SEEN in arrays else None
