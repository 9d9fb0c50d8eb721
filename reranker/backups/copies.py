"""copies.py: a file or a version of a home that is in use -> the same elsewhere, on the disk."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from indexes.storage.current import VERSIONS
from indexes.storage.durable import OWN_FILE, OWN_FOLDER, make_folder, remove_tree, sync
from indexes.storage.manifests import differences, read_manifest
from indexes.storage.versions import Version
from reranker.errors import HistoryDamaged
from reranker.histories.files import failing, open_reader, patiently
from reranker.privacy.folders import PRIVATE

_BY_UMASK: Final = 0o777
_PIECE: Final = 1 << 20
_WAIT_SECONDS: Final = 60.0


def copy_file(root: Path, name: Path, to: Path, *, log: bool = False) -> bool:
    """A file with its rights; False where it is gone meanwhile, or none.

    name: where it is in the home, and in the copy. log: processes append to it, so that only whole
    lines count.
    """
    source, target = root / name, to / name
    if source.is_symlink() or not source.is_file():
        return False
    make_folder(target.parent, OWN_FOLDER if name.parts[0] in PRIVATE else _BY_UMASK)
    try:
        with source.open("rb") as reading, target.open("xb") as writing:
            os.fchmod(writing.fileno(), stat.S_IMODE(os.fstat(reading.fileno()).st_mode))
            shutil.copyfileobj(reading, writing, _PIECE)
            if log:
                _cut_torn_line(writing, target)
            writing.flush()
            os.fsync(writing.fileno())
    except FileNotFoundError:
        return False
    return True


def _cut_torn_line(writing: IO[bytes], target: Path) -> None:
    """What a process was just appending counts once it has its end."""
    writing.flush()
    end = writing.tell()
    with target.open("rb") as reading:
        while end:
            begin = max(0, end - _PIECE)
            reading.seek(begin)
            found = reading.read(end - begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
    writing.truncate(end)


def copy_version(version: Version, folder: Path) -> str:
    """A version into this store; why it is not there, where it was gone or is damaged."""
    if version.manifest is None:
        return version.problem
    target = folder / VERSIONS / version.id
    make_folder(target.parent)
    try:
        shutil.copytree(version.folder, target)
        problems = differences(target, read_manifest(target).files)
    except (OSError, ValueError) as error:
        remove_tree(target)
        if not version.folder.exists():
            return "gone"
        if isinstance(error, OSError):
            raise
        problems = [str(error)]
    if problems:
        remove_tree(target)
    else:
        for path in (target, *target.rglob("*")):
            sync(path)
    return "; ".join(problems[:3])


def copy_histories(source: Path, target: Path) -> int:
    """The events of one moment, whoever writes meanwhile; how many. SQLite's online backup."""
    with failing(source):
        db = open_reader(source)
        if db is None:
            return 0
        make_folder(target.parent, OWN_FOLDER)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWN_FILE))
        with closing(db), closing(sqlite3.connect(target)) as copy:
            patiently(lambda: db.backup(copy), _WAIT_SECONDS)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, to be read anywhere
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise HistoryDamaged(f"{source} is damaged: {found}.")
            (events,) = copy.execute("SELECT count(*) FROM events").fetchone()
    sync(target)
    return int(events)
