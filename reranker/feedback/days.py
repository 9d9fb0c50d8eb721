"""days.py: the folder of logged rankings -> its days and their lines, and lines changed.

A day is DAY.jsonl, to which processes append, or DAY.jsonl.gz, packed by a person: read, changed
and deleted like the others. DAY.imported-DAY.jsonl holds rankings of that day from another log, and
says when they came. Lines are read one at a time; of an over-long one, in pieces.

A process that was killed, or a full disk, leaves a line without its end. The next one begins with a
line end of its own, so that only the torn line is lost.
"""

import fcntl
import gzip
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import date
from pathlib import Path
from typing import IO, Final, NamedTuple

from indexes.errors import Failure
from indexes.readers.lines import MAX_LINE_BYTES, is_packed, opened
from indexes.storage import durable
from indexes.storage.locks import waiting

log = logging.getLogger("reranker")

SUFFIX: Final = ".jsonl"
_IMPORTED: Final = ".imported-"
LOCK: Final = "packed.lock"
_LEVEL: Final = 6  # gzip's own

Change = Callable[[bytes], bytes | None]
OnChange = Callable[[bytes], object]


def _nothing(_line: bytes) -> None:
    """Nobody counts."""


class DayLine(NamedTuple):
    """A line without its end, and where it begins (in a packed day: unpacked)."""

    start: int
    content: bytes


def day_file(folder: Path, day: str) -> Path:
    """The file of this day, as in 2026-11-23."""
    return folder / f"{day}{SUFFIX}"


def imported_file(folder: Path, day: str, imported: str) -> Path:
    """The file of this day's rankings that were imported on another."""
    return folder / f"{day}{_IMPORTED}{imported}{SUFFIX}"


def kept_since(path: Path) -> date | None:
    """The day on which an imported file came; None for a day of the service's own."""
    _, mark, day = path.name.removesuffix(".gz").removesuffix(SUFFIX).partition(_IMPORTED)
    return date.fromisoformat(day) if mark else None


def logged_days(folder: Path) -> list[tuple[date, Path]]:
    """The files of the log, oldest first, packed ones, too."""
    days = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            whole = path.with_suffix("") if is_packed(path) else path
            with suppress(ValueError):
                if whole.suffix == SUFFIX:
                    day, mark, imported = whole.stem.partition(_IMPORTED)
                    if mark:
                        date.fromisoformat(imported)
                    days.append((date.fromisoformat(day), path))
    return sorted(days)


def append_lines(path: Path, lines: bytes) -> None:
    """Whole lines at the end of a file, in one step; OSError where only a part fitted.

    Opened anew each time: `forget`, expiry or a person may have taken the file away. The lock lets
    nobody see a line that is not whole, nor append to one.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(path, flags, durable.OWN_FILE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        size_written = os.write(fd, lines)
        if size_written < len(lines):
            raise OSError(f"{path}: only {size_written} of {len(lines)} bytes could be written")
    finally:
        os.close(fd)


def day_lines(path: Path) -> Iterator[DayLine]:
    """Every line that is not blank; none of a day that is gone.

    Of a packed day that is damaged, those before the damage; it is logged.
    """
    with suppress(FileNotFoundError):
        if is_packed(path):
            yield from _packed_lines(path)
            return
        with path.open("rb") as file:
            yield from _lines(file, _whole_size(file))


def _packed_lines(path: Path) -> Iterator[DayLine]:
    try:
        with opened(path) as file:
            yield from _lines(file)
    except Failure as failure:
        if path.exists():
            log.warning("%s", failure)


def _whole_size(file: IO[bytes]) -> int:
    """Up to where nobody is just writing."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        return os.fstat(file.fileno()).st_size
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _lines(file: IO[bytes], size: int | None = None) -> Iterator[DayLine]:
    start = 0
    while size is None or start < size:
        most = MAX_LINE_BYTES if size is None else min(MAX_LINE_BYTES, size - start)
        line = file.readline(most)
        if not line:
            return
        content = line.rstrip(b"\n")
        if content.strip():
            yield DayLine(start, content)
        start += len(line)


def overwrite(path: Path, change: Change, on_change: OnChange = _nothing) -> int:
    """Put lines of equal length where lines stood, on the disk; how many.

    change: None for a line that stays. on_change: is told each line that does not, once. Processes
    that append to the same file need not stop.
    """
    if is_packed(path):
        return rewrite(path, change, on_change)
    changed = 0
    with suppress(FileNotFoundError), path.open("r+b") as file:
        for start, line in day_lines(path):
            instead = change(line)
            if instead is None:
                continue
            assert len(instead) == len(line)
            file.seek(start)
            file.write(instead)
            on_change(line)
            changed += 1
        file.flush()
        os.fsync(file.fileno())
    return changed


def rewrite(path: Path, change: Change, on_change: OnChange = _nothing) -> int:
    """The file anew with lines of any length instead, in one step; how many are changed.

    A packed day that is damaged stays as it is: what it holds is not known.
    """
    with waiting(path.parent / LOCK):
        if not any(change(line.content) is not None for line in day_lines(path)):
            return 0
        changed = 0
        try:
            with durable.replaced(path) as raw, _packed(path, raw) as into, opened(path) as file:
                for _, line in _lines(file):
                    instead = change(line)
                    into.write((line if instead is None else instead) + b"\n")
                    if instead is not None:
                        on_change(line)
                        changed += 1
        except Failure:  # damaged, and already logged
            return 0
    return changed


def _packed(path: Path, file: IO[bytes]) -> AbstractContextManager[IO[bytes] | gzip.GzipFile]:
    """What packs, where this day is packed."""
    if not is_packed(path):
        return nullcontext(file)
    return gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
