"""trained_shoppers.py: whose events a model learned from, and until when: what a leak is told by.

Names are kept as pseudonyms: a model version outlives `reranker forget`. They are those of the keys
of their time, and are carried on to the newest key when they are read.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from indexes.errors import Failure
from reranker.pseudonym_keys import PseudonymKeys
from reranker.pseudonyms import Pseudonyms
from reranker.sequences import Sequences

TRAINED_SHOPPERS: Final = "shoppers.safetensors"
_BYTES: Final = 16  # of a pseudonym


def save_trained_shoppers(sequences: Sequences, folder: Path, names: Pseudonyms) -> None:
    """The newest time of each shopper's events. Shoppers are "u NAME" or "s NAME"."""
    there = np.diff(sequences.at) > 0
    newest = sequences.times[sequences.at[1:][there] - 1]
    shoppers = [who for who, some in zip(sequences.shoppers, there, strict=True) if some]
    made = [
        names.user(name) if kind == "u" else names.session(name)
        for kind, name in (who.split(" ", 1) for who in shoppers)
    ]
    digits = np.frombuffer(b"".join(_digits(name) for name in made), np.uint8)
    about = {"generation": f"{names.generation}", "fingerprint": names.fingerprint}
    arrays: dict[str, npt.NDArray[Any]] = {
        "names": digits.reshape(len(made), _BYTES),
        "newest": newest,
    }
    save_file(arrays, folder / TRAINED_SHOPPERS, about)


class TrainedShoppers:
    """Looked up by user or session. Failure where the home's keys are not those of its time."""

    def __init__(self, folder: Path, keys: PseudonymKeys) -> None:
        with safe_open(folder / TRAINED_SHOPPERS, framework="numpy") as file:
            about = file.metadata() or {}
            if "fingerprint" not in about:
                raise Failure(
                    f"Model {folder.name} was published by a release that noted by plain hashes "
                    "whose events it learned from.",
                    hint="Train it again with `reranker train`, or say --allow-leak.",
                )
            generation = int(about["generation"])
            keys.of(generation, about["fingerprint"])
            names = file.get_tensor("names")
            self._newest: npt.NDArray[np.float64] = file.get_tensor("newest")
        self._names = keys.open()
        kept = [f"~{generation:02x}{bytes(row).hex()}" for row in names]
        self._places = {self._names.user(name): place for place, name in enumerate(kept)}

    def knows_after(self, user: str | None, session: str | None, now: float) -> bool:
        """Whether the model learned from an event of theirs at or after this time."""
        asked = [self._names.user(user)] if user is not None else []
        asked += [self._names.session(session)] if session is not None else []
        found = [self._places[name] for name in asked if name in self._places]
        return any(bool(self._newest[place] >= now) for place in found)

    def __contains__(self, name: str) -> bool:
        """Whether the shopper of this pseudonym is among them."""
        return self._names.user(name) in self._places


def _digits(pseudonym: str) -> bytes:
    return bytes.fromhex(pseudonym[3:])
