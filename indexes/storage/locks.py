"""locks.py: a lock file -> one process at a time; whoever comes second is told who is at work.

The lock is the kernel's (flock): when its holder dies, however it dies, the lock is free again.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from indexes.errors import Failure
from indexes.storage import durable

_ATTEMPTS: Final = 5  # a holder that has only just begun has not yet written who it is
_held: set[int] = set()


class LockHeld(Failure):
    """Another process is at work."""

    code = "lock_held"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock, written in the lock file for people to read."""

    pid: int
    host: str
    since: str
    purpose: str


@contextmanager
def exclusive(lock: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file for the block; LockHeld at once, naming its holder, when it is taken."""
    fd = _taken(lock)
    if fd is None:
        raise _held_by(lock)
    try:
        _sign(fd, purpose)
        yield
    finally:
        if fd in _held:  # not so in a forked child, which never held it
            os.ftruncate(fd, 0)
            release(fd)


@contextmanager
def waiting(lock: Path) -> Iterator[None]:
    """Hold the lock file for the block, waiting for it: for steps of milliseconds."""
    fd = _open(lock)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        release(fd)


@contextmanager
def sharing(lock: Path) -> Iterator[None]:
    """Hold the lock file for the block beside others who share it; nobody is `waiting` in it then.

    Where the file is not there, nobody ever was.
    """
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    _held.add(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        release(fd)


def try_lock(lock: Path) -> int | None:
    """A descriptor that holds the lock until release(); None when another holds it."""
    fd = _open(lock)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        release(fd)
        return None
    except OSError:
        release(fd)
        raise
    return fd


def release(fd: int) -> None:
    """Let go of a lock."""
    if fd in _held:
        _held.discard(fd)
        os.close(fd)


def _taken(lock: Path) -> int | None:
    try:
        durable.make_folder(lock.parent)
        return try_lock(lock)
    except OSError as error:
        raise Failure(
            f"{lock} cannot be locked: {error.strerror}.",
            hint="Mend the permissions, or name another folder with --home.",
        ) from error


def _open(lock: Path) -> int:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, durable.OWN_FILE)
    _held.add(fd)
    return fd


def _forget_in_child() -> None:
    """A forked child shares its parent's locks and would keep them after the parent's death."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _sign(fd: int, purpose: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = Holder(os.getpid(), socket.gethostname(), since, purpose)
    with suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)


def _held_by(lock: Path) -> LockHeld:
    holder = _holder(lock)
    who = (
        f"process {holder.pid} on {holder.host} since {holder.since} ({holder.purpose})"
        if holder
        else "another process, which does not say who it is"
    )
    return LockHeld(
        f"{lock} is held by {who}.",
        hint="Wait until it ends, or end that process: a dead holder's lock is free at once.",
    )


def _holder(lock: Path) -> Holder | None:
    for attempt in range(_ATTEMPTS):
        time.sleep(0.02 * bool(attempt))
        try:
            return msgspec.json.decode(lock.read_bytes(), type=Holder)
        except (OSError, ValueError):
            continue
    return None
