"""sets.py: index, model and blend that belong together -> a set, sealed, under one id.

    objects/ab/<sha256>     every file of every version, and every manifest, once
    sets/<id>.json          which manifests make a set
    current.json            the pointer: which set is served

Whoever writes goes down this list, whoever reads comes up it: a pointer never names what is not
there yet.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final

import msgspec

from reranker.fleet.object_store import ObjectStore, StoreFailure

POINTER: Final = "current.json"
SETS: Final = "sets"
PARTS: Final = ("index", "model", "blends")
FORM: Final = 1


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version. manifest: SHA-256 of its manifest, under which that is an object."""

    version: str
    manifest: str


class PublishedSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is served together. model: None where nothing is learned yet.

    pseudonyms, api_keys: by which a machine sees whether it has the same keys; they tell no key.
    """

    form: int
    id: str
    created: str
    index: Part
    blends: Part
    model: Part | None = None
    pseudonyms: str = ""
    api_keys: str = ""

    def parts(self) -> dict[str, Part | None]:
        """By the name of their folder in a home."""
        return {"index": self.index, "model": self.model, "blends": self.blends}

    def same_parts(self, other: "PublishedSet | None") -> bool:
        """Whether both serve the same."""
        return other is not None and self.parts() == other.parts()


class Pointer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The served set. sha256: of its file."""

    set: str
    sha256: str
    at: str


def object_name(sha256: str) -> str:
    """Where the object with this content is."""
    return f"objects/{sha256[:2]}/{sha256}"


def read_set(store: ObjectStore, set_id: str, sha256: str | None = None) -> PublishedSet:
    """One set; StoreFailure names what is wrong with it."""
    name = f"{SETS}/{set_id}.json"
    content = store.read(name)
    if content is None:
        raise StoreFailure(
            f"{store.url}: {name} is not there.",
            hint=f"There are {', '.join(store.names(SETS)[-5:]) or 'none'}.",
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(store, name)
    try:
        found = msgspec.json.decode(content, type=PublishedSet)
    except msgspec.DecodeError as error:
        raise damaged(store, name) from error
    if found.form != FORM or found.id != set_id:
        raise damaged(store, name)
    return found


def read_pointer(store: ObjectStore) -> Pointer | None:
    """Which set is served; None before the first one."""
    content = store.read(POINTER)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Pointer)
    except msgspec.DecodeError as error:
        raise damaged(store, POINTER) from error


def point_to(store: ObjectStore, published: PublishedSet, content: bytes | None = None) -> Pointer:
    """Serve this set from now on."""
    if content is None:
        content = store.read(f"{SETS}/{published.id}.json") or b""
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    pointer = Pointer(set=published.id, sha256=hashlib.sha256(content).hexdigest(), at=at)
    store.write(POINTER, msgspec.json.encode(pointer) + b"\n")
    return pointer


def damaged(store: ObjectStore, name: str) -> StoreFailure:
    """What to say of an object that is not what it has to be."""
    return StoreFailure(
        f"{store.url}: {name} is damaged. What was served goes on.",
        hint="Publish again, or roll back: `reranker publish --to URL --rollback`.",
    )
