"""ended_sessions.py: sessions that were signed out of -> what no worker of this start takes again.

They lie in a file of the folder in which the workers of one start meet; a later start signs with
another secret, and takes no session of an earlier one.
"""

import os
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final

import msgspec

from indexes.storage import durable
from indexes.storage.locks import waiting

MOST: Final = 4096  # sessions that are remembered one by one


class _Ended(msgspec.Struct, frozen=True):
    """before: no session that began earlier counts; sessions: id -> when it would have ended. Both
    on the machine's monotonic clock."""

    before: float = 0.0
    sessions: dict[str, float] = {}


class EndedSessions:
    """folder: where the workers of one start meet; None for a process on its own."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "sessions.ended" if folder else None
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._ended = _Ended()

    def has(self, session: str, began: float) -> bool:
        """Whether it was signed out of; one look at the file."""
        with self._lock:
            self._look()
            return began < self._ended.before or session in self._ended.sessions

    def add(self, session: str, until: float) -> None:
        """Take it no more, in any worker. OSError when the others cannot be told: this worker knows
        it all the same. Where there are too many to remember, all that have begun end."""
        path = self._path
        with self._lock, waiting(path.with_suffix(".lock")) if path else nullcontext():
            with suppress(OSError):
                self._look()
            now = time.monotonic()
            sessions = {name: end for name, end in self._ended.sessions.items() if end > now}
            sessions[session] = until
            before = self._ended.before
            if len(sessions) > MOST:
                before, sessions = now, {}
            self._ended = _Ended(before, sessions)
            if path is not None:
                durable.replace_synced(path, msgspec.json.encode(self._ended), 0o600)

    def _look(self) -> None:
        """Take up what other workers added. A file that goes away takes nothing back."""
        if self._path is None:
            return
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return
        signature = (status.st_ino, status.st_mtime_ns)
        if signature != self._seen:
            shared = msgspec.json.decode(self._path.read_bytes(), type=_Ended)
            before = max(shared.before, self._ended.before)
            self._ended = _Ended(before, self._ended.sessions | shared.sessions)
            self._seen = signature
