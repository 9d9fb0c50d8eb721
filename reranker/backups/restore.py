"""restore.py: a backup -> a home, in a folder where nothing is yet; checked before it is there."""

import os
from pathlib import Path, PurePosixPath
from typing import Final

from indexes.errors import Failure
from indexes.progress import Progress, bars
from indexes.storage import durable
from indexes.storage.manifests import file_sum
from indexes.storage.versions import failing
from reranker.backups.contents import ANOTHER, STORES, Backup, BadBackup, read_backup
from reranker.backups.copies import copy_file

_PART: Final = ".restoring"


def restore(source: Path, home: Path, *, progress: Progress = bars) -> Backup:
    """Make the home that was backed up. BadBackup names a file that is missing or was changed.

    The home must not exist, or be empty (a volume just mounted). What is served is moved in last.
    """
    backup = read_backup(source)
    _check(backup, source, progress)
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Failure(
            f"{home} is not empty; nothing was restored.",
            hint="Move it aside, or name a new folder with --home.",
        )
    with failing("Nothing was restored.", home):
        durable.make_folder(home)
        part = home / _PART
        part.mkdir(durable.OWN_FOLDER)
        try:
            _fill(part, backup, source, progress)
            _move_in(part, home)
        finally:
            durable.remove_tree(part)
    return backup


def _check(backup: Backup, source: Path, progress: Progress) -> None:
    for name in (*backup.links, *backup.links.values(), *backup.files):
        _check_name(name, source)
    with progress("checking", len(backup.files)) as done:
        for name, wanted in backup.files.items():
            try:
                same = file_sum(source / name) == wanted
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
                raise BadBackup(f"{source / name} {problem}.", hint=ANOTHER) from None
            if not same:
                raise BadBackup(
                    f"{source / name} was changed: its sha256 does not fit.", hint=ANOTHER
                )
            done(1)


def _check_name(name: str, source: Path) -> None:
    """No name leads out of the home."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BadBackup(f"{source} names {name!r}, which is outside of it.", hint=ANOTHER)


def _fill(part: Path, backup: Backup, source: Path, progress: Progress) -> None:
    with progress("copying", len(backup.files)) as done:
        for name in backup.files:
            copy_file(source, Path(name), part)
            done(1)
    for link, target in backup.links.items():
        os.symlink(target, part / link)
    for store in STORES:
        for folder in durable.folders_of(part / store / "versions"):
            inside = folder.relative_to(part / store / "versions").parts
            if inside:  # a version, or a folder in it
                folder.chmod(durable.READ_ONLY_FOLDER)
    for folder in durable.folders_of(part):
        durable.sync(folder)


def _move_in(part: Path, home: Path) -> None:
    """Keys and histories before the index: without an index nothing is served."""
    for path in sorted(part.iterdir(), key=lambda path: path.name in STORES):
        path.rename(home / path.name)
        durable.crash_point("restored_part")
    durable.sync(home)
