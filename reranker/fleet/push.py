"""push.py: a home -> what it serves as a set in a store; and back to an earlier set."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.progress import Progress
from indexes.storage.manifests import MANIFEST
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.fleet.object_store import ObjectStore
from reranker.fleet.sets import (
    FORM,
    SETS,
    Part,
    PublishedSet,
    object_name,
    point_to,
    read_pointer,
    read_set,
)
from reranker.model.versions import check_fits, model_store
from reranker.pseudonyms.keys import PseudonymKeys


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. changed: False where the store serves the same already."""

    set: str
    changed: bool
    files: int = 0
    bytes: int = 0


def push(workspace: Workspace, store: ObjectStore, progress: Progress) -> Pushed:
    """Publish what this home serves: files first, the pointer last.

    Failure where no sound index is published, the model does not fit it, or the store fails: then
    what was served before goes on.
    """
    versions = _served(workspace)
    before = _current(store)
    made = _made(workspace, versions, store)
    if made.same_parts(before) and before is not None:
        return Pushed(set=before.id, changed=False)
    files = dict(file for version in versions.values() for file in _files(version))
    lacking = {sha: path for sha, path in files.items() if not _is_there(store, sha, path)}
    size = 0
    with progress("uploading", len(lacking)) as advance:
        for sha, path in lacking.items():
            store.put(object_name(sha), path)
            size += path.stat().st_size
            advance(1)
    for version in versions.values():
        manifest = (version.folder / MANIFEST).read_bytes()
        store.write(object_name(hashlib.sha256(manifest).hexdigest()), manifest)
    content = msgspec.json.encode(made) + b"\n"
    store.write(f"{SETS}/{made.id}.json", content)
    point_to(store, made, content)
    return Pushed(set=made.id, changed=True, files=len(lacking), bytes=size)


def roll_back(store: ObjectStore, to: str | None = None) -> PublishedSet:
    """Serve the set before the served one, or `to`."""
    pointer = read_pointer(store)
    ids = [name.removesuffix(".json") for name in store.names(SETS)]
    older = [name for name in ids if pointer is None or name < pointer.set]
    chosen = to or (older[-1] if older else None)
    if chosen is None or chosen not in ids:
        there = f"there are {', '.join(ids)}" if ids else "there is none"
        what = f"The set {to!r} is not in {store.url}" if to else f"{store.url} has no earlier set"
        raise Failure(f"{what}; {there}.", hint="Name one with --set.")
    found = read_set(store, chosen)
    point_to(store, found)
    return found


def _served(workspace: Workspace) -> dict[str, Version]:
    """The sound versions that this home serves, by folder."""
    BlendStore(workspace.blends_root).published_or_default()
    versions = {"index": published_version(workspace)}
    model = model_store(workspace).current()
    if model is not None:
        model_store(workspace).ensure_verified(model)
        check_fits(model, ItemIndex(versions["index"]))
        versions["model"] = model
    blends = VersionStore(workspace.blends_root)
    blend = blends.current()
    if blend is None:
        raise Failure(
            f"No blend is published in {workspace.home}.", hint="Run `reranker blends publish`."
        )
    blends.ensure_verified(blend)
    return versions | {"blends": blend}


def _made(workspace: Workspace, versions: dict[str, Version], store: ObjectStore) -> PublishedSet:
    now = datetime.now(UTC)
    numbers = [int(name.partition("-")[0]) for name in store.names(SETS) if name[:1].isdigit()]
    parts = {name: _part(version) for name, version in versions.items()}
    pseudonyms, api_keys = fingerprints(workspace.home)
    return PublishedSet(
        form=FORM,
        id=f"{max(numbers, default=0) + 1:06}-{now:%Y%m%dT%H%M%SZ}",
        created=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        index=parts["index"],
        blends=parts["blends"],
        model=parts.get("model"),
        pseudonyms=pseudonyms,
        api_keys=api_keys,
    )


def fingerprints(home: Path) -> tuple[str, str]:
    """By which two machines see whether they have the same pseudonym keys and API keys."""
    names = PseudonymKeys(home).read()
    try:
        api_keys = hashlib.sha256((home / "keys" / "keys.json").read_bytes()).hexdigest()[:16]
    except OSError:
        api_keys = ""
    return names.fingerprint if names else "", api_keys


def _part(version: Version) -> Part:
    manifest = (version.folder / MANIFEST).read_bytes()
    return Part(version=version.id, manifest=hashlib.sha256(manifest).hexdigest())


def _files(version: Version) -> list[tuple[str, Path]]:
    files = version.manifest.files if version.manifest else {}
    return [(found.sha256, version.folder / name) for name, found in files.items()]


def _is_there(store: ObjectStore, sha256: str, path: Path) -> bool:
    return store.has(object_name(sha256), path.stat().st_size)


def _current(store: ObjectStore) -> PublishedSet | None:
    try:
        pointer = read_pointer(store)
        return read_set(store, pointer.set, pointer.sha256) if pointer else None
    except Failure:  # a new one takes its place
        return None
