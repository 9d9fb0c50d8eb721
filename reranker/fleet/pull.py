"""pull.py: a store -> what it serves in this home: what is lacking is fetched, checked, swapped in.

Three links name what a home serves. They are swapped while nobody reads them (`swapping`), after
<home>/set.json says what they are to be: whoever is killed in between, the next one ends it.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from indexes.build.settings import RebuildSettings
from indexes.errors import Failure
from indexes.items.changes import ChangesFailure, ItemChanges
from indexes.items.settings import ItemSettings
from indexes.storage import durable
from indexes.storage.current import is_version_id
from indexes.storage.locks import release, sharing, try_lock, waiting
from indexes.storage.manifests import Manifest
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.fleet.object_store import ObjectStore, StoreFailure
from reranker.fleet.sets import (
    PARTS,
    Part,
    PublishedSet,
    damaged,
    object_name,
    read_pointer,
    read_set,
)

log = logging.getLogger("reranker")

SET_FILE: Final = "set.json"
_SWAP: Final = "swap.lock"
_PULL: Final = "pull.lock"
_SUM: Final = re.compile("[0-9a-f]{64}")


@contextmanager
def reading_links(home: Path) -> Iterator[None]:
    """While what a home serves is looked up and opened, nothing of it is swapped."""
    with sharing(home / _SWAP):
        yield


def pull(workspace: Workspace, store: ObjectStore) -> PublishedSet | None:
    """Serve here what the store serves; the set where that changed anything, else None.

    Failure where the store cannot be read or something in it is damaged: then what was served goes
    on. None, too, while another process of this home does the same.
    """
    home = workspace.home
    durable.make_folder(home)
    lock = try_lock(home / _PULL)
    if lock is None:
        return None
    try:
        ended = _end_swap(home)
        pointer = read_pointer(store)
        here = local_set(home)
        if pointer is None or (here is not None and here.id == pointer.set):
            return here if ended else None
        wanted = read_set(store, pointer.set, pointer.sha256)
        for name, part in wanted.parts().items():
            if part is not None:
                _take(store, VersionStore(home / name), part)
        durable.replace_synced(home / SET_FILE, msgspec.json.encode(wanted) + b"\n")
        _end_swap(home)
        _clear_changes(workspace)
        _prune(workspace)
        return wanted
    finally:
        release(lock)


def local_set(home: Path) -> PublishedSet | None:
    """The set that this home was told to serve; None where it never was."""
    try:
        return msgspec.json.decode((home / SET_FILE).read_bytes(), type=PublishedSet)
    except (OSError, msgspec.DecodeError):
        return None


def _end_swap(home: Path) -> bool:
    """Let all three links name the local set; whether any did not."""
    wanted = local_set(home)
    if wanted is None:
        return False
    stores = {name: VersionStore(home / name) for name in PARTS}
    parts = wanted.parts()
    differ = {name for name in PARTS if _named(home, name) != _version(parts[name])}
    if not differ:
        return False
    with waiting(home / _SWAP):
        for name in sorted(differ):
            part = parts[name]
            if part is None:
                (home / name / "current").unlink(missing_ok=True)
            else:
                stores[name].switch_to(part.version)
    return True


def _version(part: Part | None) -> str | None:
    return None if part is None else part.version


def _named(home: Path, name: str) -> str | None:
    link = home / name / "current"
    return Path(os.readlink(link)).name if link.is_symlink() else None


def _take(store: ObjectStore, versions: VersionStore, part: Part) -> None:
    """See to it that this version is here, whole."""
    raw = store.read(object_name(part.manifest))
    if raw is None or hashlib.sha256(raw).hexdigest() != part.manifest:
        raise damaged(store, object_name(part.manifest))
    manifest = _sound(store, part, raw)
    if versions.holds(raw, manifest):
        return
    here = versions.files_by_sum()
    try:
        _assemble(store, versions, raw, manifest, here)
    except ValueError:
        try:  # a file that is here may be the one that rotted: all is fetched
            _assemble(store, versions, raw, manifest, {})
        except ValueError as error:
            sums = {name: wanted.sha256 for name, wanted in manifest.files.items()}
            spoilt = object_name(sums.get(str(error), part.manifest))
            raise damaged(store, f"{spoilt} ({error} of {manifest.id})") from None


def _sound(store: ObjectStore, part: Part, raw: bytes) -> Manifest:
    """A manifest that leads to its own version's folder and nowhere else; else StoreFailure."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (ValueError, RecursionError):
        raise damaged(store, object_name(part.manifest)) from None
    inside = all(
        _is_inside(name) and _SUM.fullmatch(wanted.sha256)
        for name, wanted in manifest.files.items()
    )
    if not inside or not is_version_id(manifest.id) or manifest.id != part.version:
        raise damaged(store, f"{object_name(part.manifest)} ({part.version})")
    return manifest


def _is_inside(name: str) -> bool:
    """Whether a file of this name lies in the folder of its version, written as a manifest has
    it."""
    path = PurePosixPath(name)
    plain = path.as_posix() == name and bool(path.parts) and "\0" not in name
    return plain and not path.is_absolute() and ".." not in path.parts


def _assemble(
    store: ObjectStore,
    versions: VersionStore,
    raw: bytes,
    manifest: Manifest,
    here: Mapping[str, Path],
) -> None:
    """The version of this manifest, of files that are here and others of the store."""
    with versions.stage() as staged:
        for name, wanted in manifest.files.items():
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = here.get(wanted.sha256)
            if source is None or not _linked(source, target):
                store.fetch(object_name(wanted.sha256), target)
        versions.adopt(staged, raw, manifest)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # gone meanwhile, or a file system without links
        return False
    return True


def _clear_changes(workspace: Workspace) -> None:
    """Forget the changes of items that are in what is served now."""
    version = VersionStore(workspace.index_root).current()
    changes = ItemChanges(workspace.home, workspace.section(ItemSettings).changed_items)
    try:
        if version is not None and (number := changes.folded(version.about)):
            changes.clear(number)
    except ChangesFailure as failure:  # the version says what it holds: nothing is served twice
        log.warning("changes of items that are in the set stay listed: %s", failure)
    finally:
        changes.close()


def _prune(workspace: Workspace) -> None:
    keep = workspace.section(RebuildSettings).keep
    for name in PARTS:
        if (workspace.home / name).is_dir():
            VersionStore(workspace.home / name).prune(keep)


def pull_at_start(workspace: Workspace, store: ObjectStore) -> Failure | None:
    """Serve what the store serves. Where it is away and something is here, that goes on: why it is
    away comes back. Failure where nothing is here."""
    try:
        pull(workspace, store)
    except StoreFailure as failure:
        if local_set(workspace.home) is None:
            raise
        return failure
    if local_set(workspace.home) is None:
        raise StoreFailure(
            f"{store.url} serves no set yet.",
            hint=f"Run `reranker publish --to {store.url}` where the index is built.",
        )
    return None
