"""trained_shoppers.py: whose events a model learned from, and until when: what a leak is told by.

Names are kept as hashes: a model version outlives `reranker forget`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from reranker.sequences import Sequences

TRAINED_SHOPPERS: Final = "shoppers.safetensors"


def save_trained_shoppers(sequences: Sequences, folder: Path) -> None:
    """The newest time of each shopper's events."""
    there = np.diff(sequences.at) > 0
    newest = sequences.times[sequences.at[1:][there] - 1]
    names = [name for name, some in zip(sequences.shoppers, there, strict=True) if some]
    keys = _keys(names)
    order = np.argsort(keys)
    save_file({"keys": keys[order], "newest": newest[order]}, folder / TRAINED_SHOPPERS)


class TrainedShoppers:
    """Looked up by user or session."""

    def __init__(self, folder: Path) -> None:
        arrays = load_file(folder / TRAINED_SHOPPERS)
        self._keys, self._newest = arrays["keys"], arrays["newest"]

    def knows_after(self, user: str | None, session: str | None, now: float) -> bool:
        """Whether the model learned from an event of theirs at or after this time."""
        names = [f"u {user}"] if user is not None else []
        names += [f"s {session}"] if session is not None else []
        if not names or not len(self._keys):
            return False
        keys = _keys(names)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return bool(((self._keys[place] == keys) & (self._newest[place] >= now)).any())


def _keys(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for name in names
    )
    return np.frombuffer(b"".join(digests), np.uint64)
