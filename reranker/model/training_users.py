"""training_users.py: whose events a model learned from, until when, on which items: leaks' tell.

Names are kept as pseudonyms: a model version outlives `reranker forget`. They are those of the keys
of their time, and are carried on to the newest key when they are read.

What a shopper did is told to nobody who lacks the home's keys. With them made, from each shopper's
pseudonym and a salt of the file, is a secret of the shopper:

    newest          the newest event's time, exact, its bits crossed with the secret's
    owner           of a session that became a user's: the user's row, crossed likewise
    items           a 64-bit hash by the secret for each item that the shopper met, all shoppers'
                    hashes in one sorted list: whose they are, and of what, only the secret tells
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Ints
from reranker.model.card import NONE
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms

TRAINING_USERS: Final = "shoppers.safetensors"
_BYTES: Final = 16  # of a pseudonym
_SALT: Final = 16
_HASH: Final = 8
_NO_HASHES: Final = np.zeros(0, np.uint64)
_END: Final = np.uint64(2**64 - 1)  # behind the last hash

Hashes = npt.NDArray[np.uint64]


class ShoppersEvents(Protocol):
    """Sequences, as far as they are read here: events of shopper n are items[at[n]:at[n + 1]]."""

    @property
    def at(self) -> Ints: ...
    @property
    def times(self) -> Floats: ...
    @property
    def items(self) -> Ints: ...
    @property
    def shoppers(self) -> Sequence[str]: ...
    @property
    def item_ids(self) -> Sequence[str]: ...


def save_training_users(
    sequences: ShoppersEvents,
    folder: Path,
    names: Pseudonyms,
    item_ids: Sequence[str] | None = None,
    sessions: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Newest time and items of each shopper's events. Shoppers are "u NAME" or "s NAME".

    item_ids: by the numbers that the sequences' items are; default: the sequences' own.
    sessions: those that became a shopper's, who is asked for in their stead.
    """
    present = np.flatnonzero(np.diff(sequences.at) > 0)
    newest = sequences.times[sequences.at[present + 1] - 1]
    pseudonyms = [_pseudonym(sequences.shoppers[place], names) for place in present.tolist()]
    salt = secrets.token_bytes(_SALT)
    own = [_secret(name, salt, names) for name in pseudonyms]
    rows = {sequences.shoppers[place]: row for row, place in enumerate(present.tolist())}
    later = {
        names.session(session): rows[shopper]
        for session, shopper in sessions.items()
        if shopper in rows
    }
    hidden = np.fromiter(later.values(), np.uint64, len(later))
    digits = np.frombuffer(b"".join(map(_digits, (*pseudonyms, *later))), np.uint8)
    about = {
        "generation": f"{names.generation}",
        "fingerprint": names.fingerprint,
        "salt": salt.hex(),
    }
    ids = sequences.item_ids if item_ids is None else item_ids
    hashes = np.fromiter(_item_hashes(sequences, present.tolist(), own, ids), np.uint64)
    hashes.sort()
    arrays: dict[str, npt.NDArray[Any]] = {
        "names": digits.reshape(-1, _BYTES),
        "newest": newest.view(np.uint64) ^ _pads(own),
        "owner": hidden ^ _pads([_secret(name, salt, names) for name in later]),
        "items": np.append(hashes, _END),
    }
    save_file(arrays, folder / TRAINING_USERS, about)


class TrainingUsers:
    """Looked up by user or session. Failure where the home's keys are not those of its time."""

    def __init__(self, folder: Path, keys: PseudonymKeys) -> None:
        self._path = folder / TRAINING_USERS
        with safe_open(self._path, framework="numpy") as file:
            about = file.metadata() or {}
            if "fingerprint" not in about:
                raise Failure(
                    f"Model {folder.name} was published by a release that noted by plain hashes "
                    "whose events it learned from.",
                    hint="Train it again with `reranker train`, or say --allow-leak.",
                )
            generation = int(about["generation"])
            self._then = keys.of(generation, about["fingerprint"])
            names = file.get_tensor("names")
            self._newest: npt.NDArray[Any] = file.get_tensor("newest")
            self._owner: Hashes = file.get_tensor("owner") if "salt" in about else _NO_HASHES
        self._salt = bytes.fromhex(about["salt"]) if "salt" in about else None
        self._names = keys.open()
        self._pseudonyms = [f"~{generation:02x}{bytes(row).hex()}" for row in names]
        self._places = {
            self._names.user(name): place for place, name in enumerate(self._pseudonyms)
        }

    @property
    def knows_items(self) -> bool:
        """Whether it was noted which items the shoppers met: releases of before did not."""
        return self._salt is not None

    def newest(self, user: str | None, session: str | None) -> float | None:
        """The time of the newest event of theirs that was learned from; None without any."""
        times = [self._time(place) for place in self._rows_of(user, session)]
        return max(times, default=None)

    def met(self, user: str | None, session: str | None, items: Iterable[str]) -> bool:
        """Whether the model learned from an event of theirs on one of these items.

        Where the file does not tell, the answer is yes.
        """
        if self._salt is None:
            return True
        user_secrets = [
            _secret(self._pseudonyms[place], self._salt, self._then)
            for place in self._rows_of(user, session)
        ]
        wanted = np.array(
            [_item_hash(secret, item) for item in items for secret in user_secrets], np.uint64
        )
        return bool((self._items[np.searchsorted(self._items, wanted)] == wanted).any())

    @cached_property
    def _items(self) -> Hashes:
        """The sorted hashes, read when they are first asked for."""
        with safe_open(self._path, framework="numpy") as file:
            hashes: Hashes = file.get_tensor("items")
        return hashes

    def __contains__(self, name: str) -> bool:
        """Whether the shopper of this pseudonym is among them."""
        return self._names.user(name) in self._places

    def _rows_of(self, user: str | None, session: str | None) -> list[int]:
        names = [self._names.user(user)] if user is not None else []
        names += [self._names.session(session)] if session is not None else []
        return [self._row(self._places[name]) for name in names if name in self._places]

    def _row(self, place: int) -> int:
        """Where a shopper's newest time is: behind all of them come sessions of users."""
        if place < len(self._newest) or self._salt is None:
            return place
        [pad] = _pads([_secret(self._pseudonyms[place], self._salt, self._then)])
        return int(self._owner[place - len(self._newest)] ^ pad)

    def _time(self, place: int) -> float:
        if self._salt is None:  # of a release that kept it open
            return float(self._newest[place])
        pad = _pads([_secret(self._pseudonyms[place], self._salt, self._then)])
        return float((self._newest[place : place + 1] ^ pad).view(np.float64)[0])


def _pseudonym(shopper: str, names: Pseudonyms) -> str:
    kind, name = shopper.split(" ", 1)
    return names.user(name) if kind == "u" else names.session(name)


def _digits(pseudonym: str) -> bytes:
    return bytes.fromhex(pseudonym[3:])


def _secret(pseudonym: str, salt: bytes, names: Pseudonyms) -> bytes:
    return names.tag(salt + _digits(pseudonym))


def _pads(user_secrets: Sequence[bytes]) -> Hashes:
    """64 bits of each secret (n,), of which its item hashes tell nothing."""
    parts = [
        hashlib.blake2b(key=secret, digest_size=_HASH, person=b"newest").digest()
        for secret in user_secrets
    ]
    return np.frombuffer(b"".join(parts), np.uint64)


def _item_hash(own: bytes, item: str) -> int:
    text = item.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, key=own, digest_size=_HASH).digest(), "little")


def _item_hashes(
    sequences: ShoppersEvents, shoppers: list[int], own: Sequence[bytes], item_ids: Sequence[str]
) -> Iterator[int]:
    """Each shopper's different items, hashed."""
    for place, secret in zip(shoppers, own, strict=True):
        met = sequences.items[sequences.at[place] : sequences.at[place + 1]]
        for item in np.unique(met[met != NONE]).tolist():
            yield _item_hash(secret, item_ids[item])
