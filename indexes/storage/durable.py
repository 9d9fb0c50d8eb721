"""durable.py: files and folders -> on the disk, in an order that survives a power cut."""

import gzip
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec

READ_ONLY_FILE: Final = 0o444
READ_ONLY_FOLDER: Final = 0o555
WRITABLE_FOLDER: Final = 0o755
OWN_FOLDER: Final = 0o700
OWN_FILE: Final = 0o600


def crash_point(name: str) -> None:
    """Die here, as by kill -9, when RERANKER_CRASH_AT names this point: for tests of crashes."""
    if os.environ.get("RERANKER_CRASH_AT") == name:
        os._exit(137)


def sync(path: Path) -> None:
    """Return when the file's content, or the folder's entries, are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """The folder with its parents, each on the disk before it is used. mode: less the umask."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode, exist_ok=True)
        sync(path.parent)


def make_own_folder(path: Path) -> None:
    """A folder for what only its owner may read, whatever the umask; one of before is closed."""
    make_folder(path, OWN_FOLDER)
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077 and status.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(status.st_mode) & ~0o077)


def write_synced(path: Path, content: bytes, mode: int = 0o644) -> None:
    """A new file with this content, on the disk; its folder is not synced yet."""
    with _new(path, mode) as file:
        file.write(content)


@contextmanager
def _new(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A new file, on the disk when the block ends."""
    with path.open("xb") as file:
        os.fchmod(file.fileno(), mode)
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replaced(path: Path, mode: int = OWN_FILE) -> Iterator[IO[bytes]]:
    """Write a file anew in the block: in one step it then stands where the old one stood.

    A reader sees the old or the new, never half. A block that fails leaves the old.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    aside.unlink(missing_ok=True)
    try:
        with _new(aside, mode) as file:
            yield file
        crash_point("aside_written")
        aside.rename(path)
        crash_point("aside_renamed")
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def replace_synced(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Swap a file's content in one step."""
    with replaced(path, mode) as file:
        file.write(content)


def append_synced(path: Path, line: bytes) -> None:
    """One more line at the end of a file, on the disk; so is the name of a file that is new."""
    new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, line)
        os.fsync(fd)
    finally:
        os.close(fd)
    if new:
        sync(path.parent)


def swap_link(link: Path, target: str, aside: Path) -> None:
    """Point the symlink elsewhere in one step; `aside` is a free name on the same disk."""
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    sync(aside.parent)
    crash_point("link_made")
    aside.rename(link)
    crash_point("link_swapped")
    sync(link.parent)


def folders_of(folder: Path) -> list[Path]:
    """The folder and all in it, deepest first."""
    return [Path(inner) for inner, _, _ in os.walk(folder, topdown=False)]


def remove_tree(folder: Path) -> None:
    """Delete a folder that may be read-only; being gone already is fine."""
    if not folder.is_symlink() and folder.is_dir():
        for inner, _, _ in os.walk(folder):  # top down: a folder opens before it is looked into
            if not os.stat(inner).st_mode & stat.S_IWUSR:
                os.chmod(inner, WRITABLE_FOLDER)
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write all lines or nothing."""
    text = msgspec.json.Encoder().encode_lines(lines)
    write_whole(path, gzip.compress(text, compresslevel=5, mtime=0))


def write_whole(path: Path, content: bytes) -> None:
    """The same for its owner alone: request sets and jobs name shoppers. The folder is made."""
    make_folder(path.parent)
    replace_synced(path, content, OWN_FILE)
