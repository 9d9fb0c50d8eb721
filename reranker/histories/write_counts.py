"""write_counts.py: whose histories were written -> numbers that all processes see at no cost.

A file beside the histories, mapped by whoever reads or writes them: a number for each bucket of
shoppers, and one for all of them. It is odd from before a commit that changes a history there until
after it, as in a sequence lock (Boehm 2012, Can seqlocks get along with programming language memory
models?). Whoever has read a history while the numbers were even and finds them unchanged has what
is stored. After a crash in between a number stays odd, and the histories of its bucket are read
every time, until the next commit there. Nothing of a shopper is in it, and it may be deleted while
no process has it open.
"""

import fcntl
import mmap
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from indexes.storage.durable import OWN_FILE

FILE: Final = "history.counts"
BUCKETS: Final = 65_536
EVERYBODY: Final = (0,)
_BYTES: Final = 8 * (BUCKETS + 1)
_PAUSE: Final = 0.001

Marks: TypeAlias = tuple[int, ...]


class _Opened(NamedTuple):
    process: int  # a lock is its opener's and that of all its children
    file: int
    inode: int
    numbers: memoryview


def bucket(is_user: bool, name: str) -> int:
    """That of a user or session, by pseudonym."""
    return 1 + zlib.crc32(name.encode("utf-8", "surrogatepass"), int(is_user)) % BUCKETS


class WriteCounts:
    """The numbers at this path. Safe between threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: _Opened | None = None

    def look(self, buckets: Iterable[int]) -> Marks | None:
        """The numbers now, to be compared with those of another time; None where nothing can be
        told: somebody is writing, was killed while writing, or there is no such file."""
        try:
            opened = self._open()
            numbers = opened.numbers
            marks = (opened.inode, numbers[0], *[numbers[place] for place in buckets])
        except (OSError, ValueError):  # it cannot be made, or was just closed
            return None
        return None if any(mark & 1 for mark in marks[1:]) else marks

    @contextmanager
    def writing(self, seconds: float) -> Iterator[Callable[[Iterable[int]], None]]:
        """One writer at a time. What it yields is called with the buckets before the commit; they
        count as written when the block ends, however it does.

        OperationalError when another process keeps it for longer than so many seconds.
        """
        opened = self._open()
        _lock(opened.file, seconds)
        numbers, begun = opened.numbers, set[int]()

        def begin(buckets: Iterable[int]) -> None:
            for place in buckets:
                begun.add(place)
                numbers[place] |= 1

        try:
            yield begin
        finally:
            for place in begun:
                numbers[place] = (numbers[place] + 1) & (2**64 - 1)
            fcntl.flock(opened.file, fcntl.LOCK_UN)

    def _open(self) -> _Opened:
        """The file that is at the path now; made where there is none."""
        opened = self._opened
        if opened is not None and opened.process == os.getpid():
            try:
                if os.stat(self._path).st_ino == opened.inode:
                    return opened
            except FileNotFoundError:
                pass
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWN_FILE)
        try:
            os.posix_fallocate(file, 0, _BYTES)  # a full disk fails here, not where it is written
            mapped = mmap.mmap(file, _BYTES)
        except BaseException:
            os.close(file)
            raise
        # The one before stays open: another thread may be reading it.
        numbers = memoryview(mapped).cast("Q")
        self._opened = _Opened(os.getpid(), file, os.fstat(file).st_ino, numbers)
        return self._opened

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.numbers.release()
            os.close(opened.file)


def _lock(file: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                error = sqlite3.OperationalError("another process is writing")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error from None
        time.sleep(_PAUSE)
