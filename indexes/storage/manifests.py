"""manifests.py: a folder of files -> its manifest, and what differs from it later."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from indexes.storage import durable

MANIFEST: Final = "manifest.json"
# A change within one clock tick of the file system leaves no new ctime; the kernel's longest tick
# is 10 ms.
_TICK_NS: Final = 12_000_000


class FileSum(msgspec.Struct, frozen=True):
    """What a file has to be."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is made of. sha256: of this manifest itself, without that key."""

    id: str
    created: str
    files: dict[str, FileSum]
    about: dict[str, Any]
    sha256: str = ""


class FileStat(NamedTuple):
    """What changes with every write to a file, even when its mtime is set back."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


Stats = dict[str, FileStat]


class Unfit(ValueError):
    """Something in a folder that no version can hold; the message names it."""


def sealed(manifest: Manifest) -> bytes:
    """The bytes of a manifest.json, its own sha256 among them."""
    return _written(msgspec.structs.replace(manifest, sha256=_self_sum(manifest)))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version; ValueError says what is wrong with it."""
    raw = _read(folder)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} cannot be read: {error}") from None
    if manifest.sha256 != _self_sum(manifest) or raw != _written(manifest):
        raise ValueError(f"{MANIFEST} was changed: its own sha256 does not fit")
    if manifest.id != folder.name:
        raise ValueError(f"{MANIFEST} belongs to version {manifest.id}")
    return manifest


def _read(folder: Path) -> bytes:
    try:
        if (folder / MANIFEST).is_symlink():
            raise ValueError(f"{MANIFEST} is not a plain file")
        return (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ValueError(f"{MANIFEST} cannot be read: {error.strerror}") from None


def _self_sum(manifest: Manifest) -> str:
    fields = msgspec.to_builtins(manifest)
    del fields["sha256"]
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def _written(manifest: Manifest) -> bytes:
    text = msgspec.json.encode(msgspec.to_builtins(manifest), order="sorted")
    return msgspec.json.format(text, indent=2) + b"\n"


def stats_of(folder: Path) -> Stats:
    """Every file in the folder and its subfolders but the manifest, which is read anyway.

    Unfit names what no version can hold.
    """
    stats = dict(_stats(folder, ""))
    stats.pop(MANIFEST, None)
    return stats


def _stats(folder: Path, prefix: str) -> Iterator[tuple[str, FileStat]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = prefix + entry.name
            if not name.isascii() and not _is_utf8(name):
                raise Unfit(f"{name!r} is not a name in UTF-8")
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _stats(folder / entry.name, f"{name}/")
            elif stat.S_ISREG(status.st_mode):
                times = status.st_mtime_ns, status.st_ctime_ns
                yield name, FileStat(status.st_size, *times, status.st_ino)
            else:
                raise Unfit(f"{name} is not a plain file")


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def settle(stats: Stats) -> bool:
    """Wait until a later write to these files must show in their ctime; False: it never will."""
    newest = max((file.ctime_ns for file in stats.values()), default=0)
    wait = newest + _TICK_NS - time.time_ns()
    if 0 < wait <= _TICK_NS:
        time.sleep(wait / 1e9)
    return newest + _TICK_NS <= time.time_ns()


def settled(folder: Path) -> tuple[Stats, bool]:
    """The files as they are, and whether any later write to them must show."""
    try:
        stats = stats_of(folder)
    except (OSError, Unfit):  # differences() says what is wrong
        return {}, False
    return stats, settle(stats)


def file_sum(path: Path) -> FileSum:
    """Read a file once."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileSum(digest, file.tell())


def differences(folder: Path, files: Mapping[str, FileSum]) -> list[str]:
    """Where the folder's files differ from what they have to be; each difference names its file."""
    try:
        stats = stats_of(folder)
    except (OSError, Unfit) as error:
        return [f"{folder.name} cannot be read: {error}"]
    problems = [f"{name} is missing" for name in files if name not in stats]
    problems += [f"{name} does not belong here" for name in stats if name not in files]
    for name, wanted in files.items():
        if name in stats and (problem := _difference(folder / name, stats[name].size, wanted)):
            problems.append(f"{name} {problem}")
    return problems


def _difference(path: Path, size: int, wanted: FileSum) -> str | None:
    if size != wanted.bytes:
        return f"has {size} bytes instead of {wanted.bytes}"
    try:
        same = file_sum(path) == wanted
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if same else "was changed: its sha256 does not fit"


class _Note(msgspec.Struct, frozen=True):
    """The manifest's own sha256, and the files as they were when they were hashed."""

    manifest: str
    files: Stats


class VerifiedNotes:
    """One small file a version, outside of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, manifest: Manifest, files: Stats) -> None:
        """Remember, where that is possible: a serving process may have a read-only disk."""
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            content = msgspec.json.encode(_Note(manifest.sha256, files))
            durable.replace_synced(self._path(manifest.id), content)

    def vouch_for(self, manifest: Manifest, folder: Path) -> bool:
        """Whether every file is as it was when all hashes fitted."""
        try:
            note = msgspec.json.decode(self._path(manifest.id).read_bytes(), type=_Note)
            return note == _Note(manifest.sha256, stats_of(folder))
        except (OSError, ValueError, RecursionError):
            return False

    def drop(self, version_id: str) -> None:
        """Forget a version."""
        with suppress(OSError):
            for path in self._folder.glob(f"{version_id}.json*"):  # and what a crash left of one
                path.unlink(missing_ok=True)

    def _path(self, version_id: str) -> Path:
        return self._folder / f"{version_id}.json"
