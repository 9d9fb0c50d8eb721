"""staging.py: a work folder -> fresh folders to write in; what dead processes left is cleared."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indexes.storage import durable
from indexes.storage.locks import release, try_lock, waiting

_STAGED, _DELETED, _ASIDE = "staged-", "deleted-", "current-"


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
