"""store.py: events -> a SQLite file (WAL); erased, renamed and mended in it; reads.py reads it."""

import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key
from reranker.events.settings import HistorySettings
from reranker.histories.files import (
    FILE,
    failing,
    mark_to_erase,
    open_writer,
    patiently,
    truncate_log,
    unfinished,
)
from reranker.histories.histories import Appended, Forgotten, Histories
from reranker.histories.reads import HistoryReader, Opened, cutoff
from reranker.histories.writes import Write
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms

_ERASE_SECONDS: Final = 60.0

T = TypeVar("T")
log = logging.getLogger("reranker")


class _Waiting:
    """Events of one caller on their way to the disk."""

    def __init__(self, events: Sequence[HistoryEvent], keys: Sequence[int]) -> None:
        self.events, self.keys = events, keys
        self.appended: Appended | None = None
        self.error: BaseException | None = None


class SqliteHistories(HistoryReader):
    """Histories in one file of the home."""

    def __init__(
        self, folder: Path, settings: HistorySettings, keys: PseudonymKeys | None = None
    ) -> None:
        """keys: of the home; else the folder has its own."""
        super().__init__(folder / FILE, settings, keys or PseudonymKeys(folder))
        self._write_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Waiting] = []
        wait = settings.wait_seconds
        self._writer = Opened(self.path, lambda: open_writer(self.path, wait, self.keys))

    def append(self, events: Sequence[HistoryEvent], keys: Sequence[int] | None = None) -> Appended:
        """Group commit: who gets the lock writes for all who wait, with one wait for the disk."""
        if not events:
            return Appended()
        mine = _Waiting(events, keys or [event_key(event) for event in events])
        with self._queue_lock:
            self._queue.append(mine)
        with self._write_lock:
            if mine.appended is None and mine.error is None:
                with self._queue_lock:
                    group, self._queue = self._queue, []
                self._write_group(group)
        if mine.error is not None:
            raise mine.error
        assert mine.appended is not None
        return mine.appended

    def _write_group(self, group: list[_Waiting]) -> None:
        def write(write: Write) -> list[Appended]:
            return [write.append(waiting.events, waiting.keys) for waiting in group]

        try:
            for waiting, appended in zip(group, self._transaction(write), strict=True):
                waiting.appended = appended
        except BaseException as error:
            for waiting in group:
                waiting.error = error

    def _transaction(self, work: Callable[[Write], T]) -> T:
        """Do all of it or nothing; the caller holds the write lock."""
        with failing(self.path):
            db = self._writer.connection()
            assert db is not None
            seconds = self._settings.wait_seconds
            patiently(lambda: db.execute("BEGIN IMMEDIATE"), seconds)
            try:
                write = Write(db, self._settings, self._names(db))
                result = work(write)
                with self._counts.writing(seconds) as begin:
                    begin(write.buckets())
                    db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            return result

    def forget(self, user: str | None = None, session: str | None = None) -> Forgotten:
        """Delete, then write the whole file anew: freed pages may still hold what was in them."""
        name = user if user is not None else session
        if not self.path.exists() or name is None:
            return Forgotten()
        with self._write_lock:
            forgotten = self._transaction(lambda write: write.forget(user is not None, name))
            self._newest.clear()
            self._erase()
        return forgotten

    def forget_old(self) -> int:
        """See Histories."""
        oldest = cutoff(self._settings)
        if not self.path.exists() or oldest == -math.inf:
            return 0
        with self._write_lock:
            deleted = self._transaction(lambda write: write.delete_before(oldest))
            if deleted:
                self._erase()
        return deleted

    def _erase(self) -> None:
        """Nothing of what was deleted stays in the file or in its log."""
        with failing(self.path):
            db = self._writer.connection()
            assert db is not None
            patiently(lambda: db.execute("VACUUM"), _ERASE_SECONDS)
            patiently(lambda: truncate_log(db), _ERASE_SECONDS)
            patiently(lambda: mark_to_erase(db, False), _ERASE_SECONDS)

    def mend(self) -> None:
        """See Histories: a form of an earlier release is brought into today's, too."""
        with failing(self.path):
            names = self.keys.read()
            state = unfinished(self.path, names.generation if names else 0)
        if state == "keys":
            with self._write_lock, failing(self.path):
                self._writer.connection()
                state = unfinished(self.path, names.generation if names else 0)
        if state == "rotation" and names is not None:
            self.rename(names)
        if state != "erasure":
            return
        with self._write_lock:
            with failing(self.path):
                self._writer.connection()
            self._erase()

    def rename(self, names: Pseudonyms) -> int:
        """See Histories."""
        if not self.path.exists():
            return 0

        def work(write: Write) -> int:
            return write.rename(names)

        with self._write_lock:
            changed = self._transaction(work)
            if changed:
                self._erase()
        return changed

    def close(self) -> None:
        """See Histories."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
            self._counts.close()


def open_histories(workspace: Workspace) -> Histories:
    """The histories of this home, where history.url says. Nothing is written before the first
    event."""
    settings = workspace.section(HistorySettings)
    histories = _opened(workspace.home, settings)
    try:
        histories.mend()
    except HistoryFailure as failure:  # whoever reads them will be told
        log.warning("%s", failure)
    return histories


def _opened(home: Path, settings: HistorySettings) -> Histories:
    keys = PseudonymKeys(home)
    if not settings.url:
        return SqliteHistories(home / "events", settings, keys)
    from reranker.histories.redis_nodes import read_url  # of an extra
    from reranker.histories.redis_store import RedisHistories

    return RedisHistories(read_url(settings.url), settings, keys)
