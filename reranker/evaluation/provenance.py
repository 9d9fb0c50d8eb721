"""provenance.py: what a result was made from -> hashes, and what has changed since.

A result says something about exactly these blends, files, versions and this code. When one of them
changes the result is stale, and `stale` names it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

import indexes
import reranker
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.release import VERSION
from indexes.storage.manifests import file_sum
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import Blend
from reranker.blends.store import BlendStore
from reranker.errors import UnknownBlend
from reranker.model.versions import (
    ModelMismatch,
    ModelOutdated,
    check_fits,
    check_whole,
    model_store,
)
from reranker.ranking.state import ServedState

_PACKAGES: Final = (indexes, reranker)
_REMARKS: Final = frozenset({"note", "author", "version"})


class FileHash(msgspec.Struct, frozen=True):
    """A file as it was. path: absolute."""

    path: str
    sha256: str


class VersionHash(msgspec.Struct, frozen=True):
    """A version of index, model or code as it was: the manifest's own sha256, or the sources'."""

    version: str
    sha256: str


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a result follows from. blends: SHA-256 of each one's JSON, by name."""

    requests: FileHash
    judgments: FileHash | None
    blends: dict[str, str]
    index: VersionHash
    model: VersionHash | None
    code: VersionHash


class SavedResult(msgspec.Struct, frozen=True):
    """The part of a saved result that says what it was made from."""

    hashes: Hashes


def hashes_of(
    workspace: Workspace,
    state: ServedState,
    blends: Iterable[str],
    requests: Path,
    judgments: Path | None = None,
) -> Hashes:
    """The hashes of a result with these blends, by the names that they were asked for."""
    index = VersionStore(workspace.index_root).get(state.index.version)
    model = model_store(workspace).get(state.model.version) if state.model else None
    return Hashes(
        requests=file_hash(requests),
        judgments=file_hash(judgments) if judgments else None,
        blends={name: blend_hash(state.blend(name)[0]) for name in blends},
        index=_version_hash(index),
        model=_version_hash(model) if model else None,
        code=code_hash(),
    )


def stale(hashes: Hashes, workspace: Workspace) -> list[str]:
    """What has changed since, each in a sentence that names it; nothing: the result still holds.

    hashes: of a result; from JSON by `msgspec.convert(result["hashes"], Hashes)`.
    """
    return [
        *_file_changes("requests", hashes.requests),
        *(_file_changes("judgments", hashes.judgments) if hashes.judgments else ()),
        *_blend_changes(hashes.blends, BlendStore(workspace.blends_root)),
        *_version_changes(hashes, workspace),
        *_code_changes(hashes.code),
    ]


def read_saved(path: Path) -> Hashes:
    """The hashes of a result that `reranker evaluate` saved."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedResult).hashes
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(
            f"{path} is no saved result: {error}.",
            hint="Make one with `reranker evaluate --requests FILE --save-result FILE`.",
        ) from None


def file_hash(path: Path) -> FileHash:
    """A file as it is now."""
    return FileHash(str(path.absolute()), file_sum(path).sha256)


def blend_hash(blend: Blend) -> str:
    """SHA-256 of the blend's JSON with sorted keys, without what ranks nothing."""
    fields: dict[str, Any] = msgspec.to_builtins(blend)
    ranking = {name: value for name, value in fields.items() if name not in _REMARKS}
    return hashlib.sha256(msgspec.json.encode(ranking, order="sorted")).hexdigest()


@cache
def code_hash() -> VersionHash:
    """The running code: the release, and a hash over the sources that rank and measure.

    Read once a process: what is on the disk later is not what runs.
    """
    return VersionHash(VERSION, sources_hash(Path(package.__path__[0]) for package in _PACKAGES))


def sources_hash(folders: Iterable[Path]) -> str:
    """SHA-256 over names and contents of the Python files in these folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(file_sum(path).sha256.encode())
    return digest.hexdigest()


def _version_hash(version: Version) -> VersionHash:
    return VersionHash(version.id, version.manifest.sha256 if version.manifest else "")


def _file_changes(name: str, was: FileHash) -> Iterator[str]:
    try:
        if file_sum(Path(was.path)).sha256 != was.sha256:
            yield f"{name}: {was.path} has changed"
    except OSError as error:
        yield f"{name}: {was.path} cannot be read: {error.strerror}"


def _blend_changes(was: dict[str, str], store: BlendStore) -> Iterator[str]:
    published, number = store.published_or_default()
    for name, sha256 in was.items():
        if "@" in name:  # a version by number never changes
            continue
        try:
            now = (published, number) if name == published.name else store.newest(name)
        except UnknownBlend:
            yield f"blend {name} is gone"
            continue
        if blend_hash(now[0]) != sha256:
            yield f"blend {name} has changed: it is version {now[1]} now"


def _version_changes(was: Hashes, workspace: Workspace) -> Iterator[str]:
    index = VersionStore(workspace.index_root).current()
    yield from _version_change("index", was.index, index)
    yield from _version_change("model", was.model, _served_model(workspace, index))


def _version_change(kind: str, was: VersionHash | None, now: Version | None) -> Iterator[str]:
    if was == (_version_hash(now) if now else None):
        return
    then = f"the result is of {was.version}" if was else "the result is without one"
    if now is None:
        yield f"{kind}: none is served now; {then}"
    elif was and was.version == now.id:
        yield f"{kind}: version {now.id} is another one under the same name"
    else:
        yield f"{kind}: {now.id} is served now; {then}"


def _served_model(workspace: Workspace, index: Version | None) -> Version | None:
    """The model that answers: none where it does not fit the index, as when serving."""
    model = model_store(workspace).current()
    if model is None or index is None:
        return None
    try:
        check_fits(model, ItemIndex(index))
        check_whole(model)
    except (ModelMismatch, ModelOutdated):
        return None
    return model


def _code_changes(was: VersionHash) -> Iterator[str]:
    now = code_hash()
    if was.version != now.version:
        yield f"code: reranker {now.version} runs now; the result is of {was.version}"
    elif was.sha256 != now.sha256:
        yield f"code: the sources of reranker {now.version} have changed"
