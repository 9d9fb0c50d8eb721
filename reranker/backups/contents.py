"""contents.py: a home -> which of its files a backup holds, and what it says of itself.

BACKUP/             laid out as the home is
BACKUP/backup.json  the SHA-256 of every other file, the links, and its own
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from indexes.errors import Failure
from indexes.items import changes
from indexes.release import VERSION
from indexes.storage.current import VERSIONS
from indexes.storage.manifests import FileSum
from reranker.histories.files import FILE

NOTE: Final = "backup.json"
FORM: Final = 1
STORES: Final = ("index", "model", "blends", "encoder")
HISTORIES: Final = f"events/{FILE}"
CHANGES: Final = f"{changes.FOLDER}/{changes.FILE}"
LOGS: Final = ("rankings", "shadows")  # processes append lines to them
SECRETS: Final = ("pseudonyms", "keys", "keys_required")
NESTED: Final = ("demo", "demo-small")  # homes of their own
_UNSAVED: Final = (
    *(f"{store}/{name}" for store in STORES for name in ("work", "verified", "current", VERSIONS)),
    *(f"{name}{suffix}" for name in (HISTORIES, CHANGES) for suffix in ("", "-wal", "-shm")),
    *(*SECRETS, *NESTED, NOTE),
)


ANOTHER: Final = "Restore another backup."


class BadBackup(Failure):
    """A folder that is no whole backup, or not what it was when it was made."""

    code = "bad_backup"


class Backup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup is. Paths are relative to it.

    links: the served version of each store. events: how many the histories hold. keys: whether
    the keys of pseudonyms and the API keys are in it. left_out: damaged versions, links, and the
    demo's home.
    sha256: of the rest, as JSON with sorted keys.
    """

    form: int
    release: str
    created: str
    files: dict[str, FileSum]
    links: dict[str, str]
    events: int
    keys: bool
    left_out: list[str]
    sha256: str = ""


def sealed(backup: Backup) -> bytes:
    """The bytes of backup.json, its own sum among them."""
    whole = msgspec.structs.replace(backup, sha256=_own_sum(backup))
    return msgspec.json.format(msgspec.json.encode(whole, order="sorted"), indent=2) + b"\n"


def read_backup(folder: Path) -> Backup:
    """What the backup in this folder says of itself; BadBackup where it cannot be relied on."""
    path = folder / NOTE
    try:
        raw = path.read_bytes()
        form = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("form")
        if form is not None and bytes(form) != str(FORM).encode():
            raise BadBackup(
                f"{path} has the form {bytes(form).decode()}; release {VERSION} reads {FORM}.",
                hint="Restore it with the release that made it, or a later one.",
            )
        backup = msgspec.json.decode(raw, type=Backup)
    except OSError as error:
        raise BadBackup(
            f"{folder} is no backup: {NOTE} cannot be read: {error.strerror}.",
            hint="Name a folder that `reranker backup` made.",
        ) from None
    except msgspec.DecodeError as error:
        raise BadBackup(f"{path} cannot be read: {error}.", hint=ANOTHER) from None
    if backup.sha256 != _own_sum(backup):
        raise BadBackup(f"{path} was changed: its own sha256 does not fit.", hint=ANOTHER)
    return backup


def other_files(home: Path) -> Iterator[Path]:
    """What is neither a version, nor histories, nor keys: rankings, settings, vectors, ...

    Relative to the home. Links are named, too, and not followed. Without what only a process at
    work needs: locks, files half written, notes of hashes.
    """
    for folder, folders, names in os.walk(home):
        inner = Path(folder).relative_to(home)
        folders[:] = sorted(name for name in folders if _saved(inner / name))
        links = [name for name in folders if (home / inner / name).is_symlink()]
        yield from (inner / name for name in [*links, *sorted(names)] if _saved(inner / name))


def secret_files(home: Path) -> Iterator[Path]:
    """The keys of pseudonyms and the API keys, relative to the home."""
    for place in (home / name for name in SECRETS):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not _passing(path.name):
                yield path.relative_to(home)


def _saved(path: Path) -> bool:
    return path.as_posix() not in _UNSAVED and not _passing(path.name)


def _passing(name: str) -> bool:
    return name.startswith(".") or name == "lock" or name.endswith(".lock")


def _own_sum(backup: Backup) -> str:
    fields = msgspec.to_builtins(backup)
    del fields["sha256"]
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
