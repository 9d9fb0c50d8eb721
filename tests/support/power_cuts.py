"""power_cuts.py: what a program does to files -> what a disk may hold if the power goes right then.

Only what was synced is surely there: a file's content as of its last fsync, a folder's names as of
the folder's. Two disks are made after every step: one that lost all that was not synced, and one
that brought names out at once and contents only when synced, as journals do.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

STEPS = ("fsync", "rename", "replace", "mkdir", "symlink", "link", "unlink", "rmdir")
Entry = tuple[str, Any]  # ("link", its target) or ("file" or "folder", its token)


class Disk:
    """What is durable below a folder. A token stands for one file, though inodes come again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tokens: dict[int, int] = {}
        self.counter = count()
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, Entry]] = {}
        for folder, _, files in os.walk(root):  # what is there before is on the disk
            self.names[self.token(os.stat(folder))] = self.entries(Path(folder))
            for name in files:
                self.synced(Path(folder, name))

    def token(self, found: os.stat_result) -> int:
        return self.tokens.setdefault(found.st_ino, next(self.counter))

    def entries(self, folder: Path) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in os.scandir(folder):
            if entry.is_symlink():
                found[entry.name] = "link", os.readlink(entry.path)
            else:
                kind = "folder" if entry.is_dir() else "file"
                found[entry.name] = kind, self.token(entry.stat())
        return found

    def synced(self, path: Path) -> None:
        found = path.stat() if path.exists() else None
        if found and path.is_dir():
            self.names[self.token(found)] = self.entries(path)
        elif found and not path.is_symlink():
            self.contents[self.token(found)] = path.read_bytes()

    def gone(self, inode: int) -> None:
        self.tokens.pop(inode, None)  # whoever gets the inode next is another file

    def lost(self, target: Path) -> None:
        """The disk that kept nothing that was not synced."""
        self._write(self.token(self.root.stat()), target)

    def _write(self, folder: int, target: Path) -> None:
        target.mkdir()
        for name, (kind, what) in self.names.get(folder, {}).items():
            if kind == "link":
                (target / name).symlink_to(what)
            elif kind == "folder":
                self._write(what, target / name)
            else:
                (target / name).write_bytes(self.contents.get(what, b""))

    def names_first(self, target: Path) -> None:
        """The disk that knows every name already, and contents only where they were synced."""
        target.mkdir()
        for folder, _, files in os.walk(self.root):
            inside = target / Path(folder).relative_to(self.root)
            inside.mkdir(exist_ok=True)
            for name, (kind, what) in self.entries(Path(folder)).items():
                if kind == "link":
                    (inside / name).symlink_to(what)
                elif name in files:
                    (inside / name).write_bytes(self.contents.get(what, b""))


@contextmanager
def cuts(root: Path, after_each: Callable[[Disk], None]) -> Iterator[Disk]:
    """Call after_each with the disk after every step that the block takes below root."""
    disk = Disk(root)
    looking = False

    def noted(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def step(*args: Any, **more: Any) -> Any:
            nonlocal looking
            if looking:
                return real(*args, **more)
            inode = None
            if name in ("unlink", "rmdir"):
                found = os.stat(args[0], dir_fd=more.get("dir_fd"), follow_symlinks=False)
                inode = found.st_ino if found.st_nlink == 1 or name == "rmdir" else None
            done = real(*args, **more)
            looking = True
            try:
                if name == "fsync":
                    disk.synced(Path(os.readlink(f"/proc/self/fd/{args[0]}")))
                if inode is not None:
                    disk.gone(inode)
                after_each(disk)
            finally:
                looking = False
            return done

        return step

    with patch.multiple(os, **{name: noted(name) for name in STEPS}):
        yield disk
