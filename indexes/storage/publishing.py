"""publishing.py: a staged folder -> a version's: hashed, read-only, on the disk, moved in."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexes.storage import durable
from indexes.storage.durable import crash_point
from indexes.storage.locks import release, try_lock, waiting
from indexes.storage.manifests import (
    MANIFEST,
    FileSum,
    Manifest,
    Stats,
    Unfit,
    file_sum,
    sealed,
    settle,
    stats_of,
)

_STAGED, _DELETED, _ASIDE = "staged-", "deleted-", "current-"


def finish_files(staged: Path) -> tuple[Stats, dict[str, FileSum]]:
    """Close every file for writing, bring it to the disk and hash it."""
    names = stats_of(staged)
    if not names or (staged / MANIFEST).exists():
        raise Unfit(f"{staged} holds {'a manifest already' if names else 'no file'}")
    for name in names:
        (staged / name).chmod(durable.READ_ONLY_FILE)
        durable.sync(staged / name)
    crash_point("files_synced")
    stats = stats_of(staged)
    settle(stats)
    return stats, {name: file_sum(staged / name) for name in names}


def move_in(
    staged: Path, moved: Path, files: dict[str, FileSum], about: Mapping[str, Any], now: datetime
) -> None:
    """The manifest last, then everything on the disk, then one rename to its final place."""
    manifest = Manifest(moved.name, f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", files, dict(about))
    move_in_sealed(staged, moved, sealed(manifest))


def move_in_sealed(staged: Path, moved: Path, manifest: bytes) -> None:
    """The same with the bytes of the manifest, which may have been sealed elsewhere."""
    durable.write_synced(staged / MANIFEST, manifest, durable.READ_ONLY_FILE)
    crash_point("manifest_written")
    for folder in durable.folders_of(staged):
        if folder != staged:  # which has to be writable to be moved
            folder.chmod(durable.READ_ONLY_FOLDER)
        durable.sync(folder)
    crash_point("folders_synced")
    staged.rename(moved)
    crash_point("folder_moved")
    moved.chmod(durable.READ_ONLY_FOLDER)
    for folder in (moved, moved.parent, staged.parent):
        durable.sync(folder)
    crash_point("version_synced")


class WorkFolder:
    """Staged folders with a lock beside each, and folders on their way out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, waiting: for the short steps that change what is published."""
        durable.make_folder(self.path)
        with waiting(self.path / "publish.lock"):
            yield

    def fresh(self) -> tuple[Path, int]:
        """An empty folder and the lock that keeps others from clearing it."""
        with self.alone():
            self._clear_orphans()
            staged = self.path / f"{_STAGED}{os.getpid()}-{secrets.token_hex(4)}"
            fd = try_lock(_lock_of(staged))
            assert fd is not None, "nobody else knows the name"
            staged.mkdir()
        return staged, fd

    def clear(self, staged: Path, fd: int) -> None:
        """Remove a staged folder, if it is still there, and its lock."""
        with suppress(OSError):  # the next fresh() clears what could not be removed
            durable.remove_tree(staged)
            _lock_of(staged).unlink(missing_ok=True)
        release(fd)

    def free_link_name(self) -> Path:
        """A name for a new symlink before it takes its place; only for who is alone()."""
        return self.path / f"{_ASIDE}{os.getpid()}"

    def take_out(self, folder: Path) -> None:
        """Delete a version: out of sight in one step, then its files; only for who is alone()."""
        doomed = self.path / f"{_DELETED}{folder.name}"
        durable.remove_tree(doomed)
        folder.chmod(durable.WRITABLE_FOLDER)  # a folder that moves has to be writable
        folder.rename(doomed)
        durable.sync(folder.parent)
        durable.sync(self.path)
        durable.crash_point("prune_renamed")
        durable.remove_tree(doomed)
        durable.crash_point("prune_removed")

    def _clear_orphans(self) -> None:
        for path in sorted(self.path.iterdir()):
            if path.name.startswith((_DELETED, _ASIDE)):
                with suppress(OSError):  # another user's: no reason to stop
                    durable.remove_tree(path)
            elif path.name.startswith(_STAGED) and path.is_dir():
                self._clear_if_dead(path)
        for lock in self.path.glob(f"{_STAGED}*.lock"):
            if not lock.with_suffix("").exists():
                lock.unlink(missing_ok=True)

    def _clear_if_dead(self, staged: Path) -> None:
        fd = try_lock(_lock_of(staged))
        if fd is not None:
            self.clear(staged, fd)


def _lock_of(staged: Path) -> Path:
    return staged.with_name(f"{staged.name}.lock")
