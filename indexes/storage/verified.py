"""verified.py: a version whose hashes all fitted -> a note of it, so that few processes hash it.

Afterwards it is enough that size, mtime, ctime and inode of every file are as they were. ctime
cannot be set back, so a later change is found all the same.
"""

from contextlib import suppress
from pathlib import Path

import msgspec

from indexes.storage import durable
from indexes.storage.manifests import Manifest, Stats, stats_of


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
