"""store.py: events -> a SQLite file (WAL), and a shopper's newest events from it.

One row an event, clustered by shopper and time: the newest 50 are neighbours on the disk, however
long the history is, and are decoded in one step.
"""

import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key
from reranker.events.settings import HistorySettings
from reranker.histories.files import (
    FILE,
    Opened,
    failing,
    failure_of,
    open_reader,
    open_writer,
    patiently,
    truncate_log,
    unfinished,
)
from reranker.histories.histories import Appended, Forgotten, Histories, Shopper
from reranker.histories.names import mark_to_erase, names_row
from reranker.histories.reads import SHOPPER, cutoff, decoded, newest, packed, same_person
from reranker.histories.writes import Write
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.pseudonyms.raw_names import raw_forms
from reranker.runtime.caches import RecentlyUsed

_ERASE_SECONDS: Final = 60.0
_CACHED: Final = 1000  # shoppers whose newest events need no decoding while none is added
_WINDOW: Final = 256  # shoppers read at once when all are read

T = TypeVar("T")
log = logging.getLogger("reranker")


class _Waiting:
    """Events of one caller on their way to the disk."""

    def __init__(self, events: Sequence[HistoryEvent], keys: Sequence[int]) -> None:
        self.events, self.keys = events, keys
        self.appended: Appended | None = None
        self.error: BaseException | None = None


class SqliteHistories:
    """Histories in one file of the home."""

    def __init__(
        self, folder: Path, settings: HistorySettings, keys: PseudonymKeys | None = None
    ) -> None:
        """keys: of the home; else the folder has its own."""
        self.path = folder / FILE
        self.keys = keys or PseudonymKeys(folder)
        self._settings = settings
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._newest: RecentlyUsed[Hashable, tuple[bytes, list[HistoryEvent]]]
        self._newest = RecentlyUsed(_CACHED)
        self._reader = Opened(self.path, lambda: open_reader(self.path))
        self._reads: tuple[sqlite3.Connection, Pseudonyms] | None = None
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
            patiently(lambda: db.execute("BEGIN IMMEDIATE"), self._settings.wait_seconds)
            try:
                result = work(Write(db, self._settings, self._names(db)))
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            return result

    def recent(
        self,
        user: str | None = None,
        session: str | None = None,
        n: int = 50,
        before: float | None = None,
    ) -> list[HistoryEvent]:
        """See Histories; under 100 microseconds for 50 events."""
        until = math.inf if before is None else before
        since = cutoff(self._settings)
        try:
            with self._read_lock:
                db = self._reader.connection()
                if db is None:
                    return []
                names = self._reading(db)
                shopper = _hidden(names, user, session)
                payloads = newest(db, *shopper, until, since, n)
                if not payloads and names is not (newer := self._reading(db, look=True)):
                    shopper = _hidden(newer, user, session)
                    payloads = newest(db, *shopper, until, since, n)
        except sqlite3.Error as error:
            raise failure_of(error, self.path) from error
        payloads.reverse()
        return self._as_events(shopper, packed(payloads))

    def _as_events(self, shopper: Hashable, payloads: bytes) -> list[HistoryEvent]:
        """The events; the very same list as the last time, where nothing was added since."""
        cached = self._newest.get(shopper)
        if cached is not None and cached[0] == payloads:
            return cached[1]
        events = decoded(payloads, self.path)
        if events:
            self._newest.put(shopper, (payloads, events))
        else:
            self._newest.drop(shopper)
        return events

    def _names(self, db: sqlite3.Connection) -> Pseudonyms:
        """Those with which this file is written now."""
        row = names_row(db)
        return self.keys.of(row.generation, row.fingerprint)

    def _reading(self, db: sqlite3.Connection, *, look: bool = False) -> Pseudonyms:
        """The same, remembered with the connection; look: whether they were changed since."""
        reads = self._reads
        if reads is None or reads[0] is not db:
            self._reads = reads = db, self._names(db)
        elif look and reads[1].generation != names_row(db).generation:
            self._reads = reads = db, self._names(db)
        return reads[1]

    def hidden(self, shopper: Shopper) -> Shopper:
        """See Histories."""
        names = self.keys.read()
        return shopper if names is None else Shopper(*_hidden(names, *shopper))

    def same_person(self, who: Shopper) -> list[Shopper]:
        """See Histories."""
        try:
            with self._read_lock:
                db = self._reader.connection()
                if db is None:
                    return []
                rows = same_person(db, *_hidden(self._reading(db, look=True), *who))
        except sqlite3.Error as error:
            raise failure_of(error, self.path) from error
        return [Shopper(name, None) if is_user else Shopper(None, name) for is_user, name in rows]

    def stored_as(self, who: Shopper) -> list[Shopper]:
        """See Histories."""
        with failing(self.path):
            db = open_reader(self.path)
        if db is None:
            return []
        name, is_user = (who.user, True) if who.user is not None else (who.session or "", False)
        query = "SELECT name FROM shoppers WHERE is_user = ? AND name = ?"
        try:
            with failing(self.path):
                names = self._names(db)
                forms = {names.as_written(is_user, form) for form in raw_forms(name)}
                rows = [db.execute(query, (is_user, form)).fetchone() for form in sorted(forms)]
        finally:
            db.close()
        stored = [str(row[0]) for row in rows if row]
        return [Shopper(form, None) if is_user else Shopper(None, form) for form in stored]

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

    def export(self, user: str | None = None, session: str | None = None) -> Iterator[HistoryEvent]:
        """See Histories. The events carry the user's name."""
        with failing(self.path):
            db = open_reader(self.path)
        if db is None:
            return
        query = f"SELECT payload FROM events WHERE shopper = {SHOPPER} ORDER BY time, seq"
        try:
            with failing(self.path):
                hidden = _hidden(self._names(db), user, session)
                shopper = (user is not None, hidden[0] if user is not None else hidden[1])
                rows = db.execute(query, shopper)
                while payloads := rows.fetchmany(1000):
                    for event in decoded(packed(payloads), self.path):
                        own = session if event.session == hidden[1] else event.session
                        yield msgspec.structs.replace(event, user=user, session=own)
        finally:
            db.close()

    def users(self) -> Iterator[str]:
        """See Histories."""
        for shopper, _ in self._all("events > 0 AND is_user", with_events=False):
            if shopper.user is not None:
                yield shopper.user

    def stream(self) -> Iterator[tuple[Shopper, list[HistoryEvent]]]:
        """See Histories. Read in short steps: a long one would keep the log from being emptied."""
        yield from self._all("events > 0", with_events=True)

    def _all(
        self, which: str, *, with_events: bool
    ) -> Iterator[tuple[Shopper, list[HistoryEvent]]]:
        with failing(self.path):
            db = open_reader(self.path)
        if db is None:
            return
        query = f"SELECT id, is_user, name FROM shoppers WHERE id > ? AND {which} ORDER BY id"
        since, last = cutoff(self._settings), 0
        try:
            while True:
                with failing(self.path):
                    rows = db.execute(f"{query} LIMIT {_WINDOW}", (last,)).fetchall()
                if not rows:
                    return
                for last, is_user, name in rows:
                    shopper = Shopper(name, None) if is_user else Shopper(None, name)
                    events = self._whole(db, last, since) if with_events else []
                    if events or not with_events:
                        yield shopper, events
        finally:
            db.close()

    def _whole(self, db: sqlite3.Connection, shopper: int, since: float) -> list[HistoryEvent]:
        query = "SELECT payload FROM events WHERE shopper = ? AND time >= ? ORDER BY time, seq"
        with failing(self.path):
            return decoded(packed(db.execute(query, (shopper, since)).fetchall()), self.path)

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

    def drop_unused(self) -> None:
        """See Histories."""
        self._newest.drop_unused()

    def close(self) -> None:
        """See Histories."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


def _hidden(
    names: Pseudonyms, user: str | None, session: str | None
) -> tuple[str | None, str | None]:
    return (
        None if user is None else names.user(user),
        None if session is None else names.session(session),
    )


def open_histories(workspace: Workspace) -> Histories:
    """The histories of this home. Nothing is written before the first event."""
    home, settings = workspace.home, workspace.section(HistorySettings)
    histories = SqliteHistories(home / "events", settings, PseudonymKeys(home))
    try:
        histories.mend()
    except HistoryFailure as failure:  # whoever reads them will be told
        log.warning("%s", failure)
    return histories
