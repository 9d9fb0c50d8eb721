"""reads.py: a SQLite file and a shopper -> the newest events, decoded in one step.

One row an event, clustered by shopper and time: the newest 50 are neighbours on the disk, however
long the history is.
"""

import math
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.decoded import CACHED, decoded, packed_rows
from reranker.histories.files import failing, failure_of, names_row, open_reader
from reranker.histories.histories import Shopper
from reranker.histories.write_counts import FILE as COUNTS
from reranker.histories.write_counts import Marks, WriteCounts, bucket
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.pseudonyms.raw_names import raw_forms
from reranker.runtime.caches import RecentlyUsed

SHOPPER: Final = "(SELECT coalesce(owner, id) FROM shoppers WHERE is_user = ? AND name = ?)"
_NEWEST: Final = (
    "FROM events WHERE shopper = {} AND time < ? AND time >= ? ORDER BY time DESC, seq DESC LIMIT ?"
)
_RECENT: Final = "SELECT payload " + _NEWEST.format(SHOPPER)
_RECENT_OF_ID: Final = "SELECT time, seq, payload " + _NEWEST.format("?")
_SAME_PERSON: Final = (
    f"WITH whose AS (SELECT {SHOPPER} AS id) SELECT is_user, name FROM shoppers "
    "WHERE id = (SELECT id FROM whose) OR owner = (SELECT id FROM whose)"
)
_OWNER: Final = (
    "SELECT name FROM shoppers WHERE id = "
    "(SELECT owner FROM shoppers WHERE is_user = 0 AND name = ?)"
)
_WINDOW: Final = 256  # shoppers read at once when all are read

_of_the_parent: Final[list[sqlite3.Connection]] = []


class Opened:
    """A connection that is kept for as long as it leads to the file at this path.

    After a fork, or when somebody moved the file aside, there is a new one: what is written to a
    file that is gone would be acknowledged and lost. Its user holds a lock.
    """

    def __init__(self, path: Path, make: Callable[[], sqlite3.Connection | None]) -> None:
        self._path = path
        self._make = make
        self._db: sqlite3.Connection | None = None
        self._of: tuple[int, int] | None = None  # process, inode

    def connection(self) -> sqlite3.Connection | None:
        """The connection to use now."""
        if self._db is None or self._of != self._now():
            self.close()
            self._db = self._make()
            self._of = self._now()
        return self._db

    def close(self) -> None:
        """Let go of it; one of the parent process may neither be used nor closed here."""
        if self._db is not None:
            if self._of is not None and self._of[0] != os.getpid():
                _of_the_parent.append(self._db)
            else:
                self._db.close()
        self._db = None

    def _now(self) -> tuple[int, int] | None:
        try:
            return os.getpid(), os.stat(self._path).st_ino
        except FileNotFoundError:
            return None


class _Newest(NamedTuple):
    """Newest events as they were read of a file, and the counts of their buckets before that.

    marks: None where nothing can be told by them: read while somebody wrote, or before a time."""

    inode: int
    buckets: tuple[int, ...]
    marks: Marks | None
    payloads: bytes
    events: list[HistoryEvent]


class HistoryReader:
    """What `Histories` promises of reading, from the file at this path."""

    def __init__(self, path: Path, settings: HistorySettings, keys: PseudonymKeys) -> None:
        self.path, self.keys, self._settings = path, keys, settings
        self._read_lock = threading.Lock()
        self._newest: RecentlyUsed[Hashable, _Newest] = RecentlyUsed(CACHED)
        self._reader = Opened(self.path, lambda: open_reader(self.path))
        self._reads: tuple[sqlite3.Connection, Pseudonyms] | None = None
        self._counts = WriteCounts(path.with_name(COUNTS))

    def recent(
        self,
        user: str | None = None,
        session: str | None = None,
        n: int = 50,
        before: float | None = None,
    ) -> list[HistoryEvent]:
        """See Histories; under 100 microseconds for 50 events, 5 where none of theirs was written.

        The very same list as the last time, where nothing was added.
        """
        until = math.inf if before is None else before
        since = cutoff(self._settings)
        shopper = user, session, n
        known = self._newest.get(shopper)
        if before is None and known is not None and self._holds(known, since):
            return known.events
        try:
            with self._read_lock:
                inode = os.stat(self.path).st_ino  # first: another file may be put there meanwhile
                db = self._reader.connection()
                if db is None:
                    return []
                names = self._reading(db)
                hidden = _hidden(names, user, session)
                buckets, marks = self._marks(db, *hidden)  # before the events
                payloads = newest(db, *hidden, until, since, n)
                if not payloads and names is not (newer := self._reading(db, look=True)):
                    payloads = newest(db, *_hidden(newer, user, session), until, since, n)
                    marks = None
        except FileNotFoundError:  # moved aside just now
            return []
        except sqlite3.Error as error:
            raise failure_of(error, self.path) from error
        payloads.reverse()
        whole = packed_rows(payloads)
        same = known is not None and known.payloads == whole
        events = known.events if known and same else _compact(decoded(whole, self.path))
        if before is None or (events and not same):
            marks = marks if before is None else None
            self._newest.put(shopper, _Newest(inode, buckets, marks, whole, events))
        return events

    def _holds(self, known: _Newest, since: float) -> bool:
        """Whether these still are the newest: of the file that is there, nobody has written any of
        them since, and none has become too old."""
        if known.marks is None or self._counts.look(known.buckets) != known.marks:
            return False
        try:
            same = os.stat(self.path).st_ino == known.inode
        except OSError:
            return False
        return same and (not known.events or known.events[0].time >= since)

    def _marks(
        self, db: sqlite3.Connection, user: str | None, session: str | None
    ) -> tuple[tuple[int, ...], Marks | None]:
        """The buckets on which a history depends, and what is counted there now."""
        names = (True, user), (False, session)
        buckets = tuple(bucket(is_user, name) for is_user, name in names if name is not None)
        marks = self._counts.look(buckets)
        if user is None and session is not None:
            owner = db.execute(_OWNER, (session,)).fetchone()
            if owner is not None:
                with_owner = *buckets, bucket(True, owner[0])
                now = self._counts.look(with_owner)
                same = now is not None and marks is not None and now[: len(marks)] == marks
                return with_owner, now if same else None  # else it was just given to another
        return buckets, marks

    def at_hand(
        self, user: str | None = None, session: str | None = None, n: int = 50
    ) -> list[HistoryEvent] | None:
        """See Histories."""
        known = self._newest.get((user, session, n))
        if known is None or not self._holds(known, cutoff(self._settings)):
            return None
        return known.events

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

    def newest_time(self) -> float | None:
        """See Histories. A look at each shopper's last event: events stand by shopper and time."""
        with failing(self.path):
            db = open_reader(self.path)
        if db is None:
            return None
        last = "(SELECT max(time) FROM events WHERE shopper = shoppers.id)"
        try:
            with failing(self.path):
                row = db.execute(f"SELECT max({last}) FROM shoppers WHERE events > 0").fetchone()
        finally:
            db.close()
        return None if row[0] is None else float(row[0])

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
                rows = _same_person(db, *_hidden(self._reading(db, look=True), *who))
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
        return [Shopper(own, None) if is_user else Shopper(None, own) for own in stored]

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
                    for event in decoded(packed_rows(payloads), self.path):
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
            return decoded(packed_rows(db.execute(query, (shopper, since)).fetchall()), self.path)

    def drop_unused(self) -> None:
        """See Histories."""
        self._newest.drop_unused()


def _hidden(
    names: Pseudonyms, user: str | None, session: str | None
) -> tuple[str | None, str | None]:
    return (
        None if user is None else names.user(user),
        None if session is None else names.session(session),
    )


def _compact(events: list[HistoryEvent]) -> list[HistoryEvent]:
    """The same events, which share the names of types and items: they are remembered."""
    for event in events:
        msgspec.structs.force_setattr(event, "type", sys.intern(event.type))
        if event.item is not None:
            msgspec.structs.force_setattr(event, "item", sys.intern(event.item))
    return events


def cutoff(settings: HistorySettings) -> float:
    """The time before which events are no longer remembered."""
    return time.time() - settings.days * 86_400 if settings.days else -math.inf


def newest(
    db: sqlite3.Connection,
    user: str | None,
    session: str | None,
    until: float,
    since: float,
    n: int,
) -> list[Any]:
    """Rows of one payload each, newest first, at least as late as `since` and before `until`."""
    if user is not None and session is not None:
        return _of_both(db, user, session, until, since, n)
    shopper = (user is not None, user if user is not None else session)
    return db.execute(_RECENT, (*shopper, until, since, n)).fetchall()


def _of_both(
    db: sqlite3.Connection, user: str, session: str, until: float, since: float, n: int
) -> list[Any]:
    """Newest first: the user's events and those of a session that was not merged yet.

    Whoever asks for both says that they are one person. A session of somebody else is left out.
    """
    shopper = "SELECT id FROM shoppers WHERE is_user = ? AND name = ?"
    ids = db.execute(f"{shopper} UNION ALL {shopper} AND owner IS NULL", (1, user, 0, session))
    rows: list[Any] = []
    for (shopper_id,) in ids.fetchall():
        rows += db.execute(_RECENT_OF_ID, (shopper_id, until, since, n))
    rows.sort(key=lambda row: row[:2], reverse=True)
    return [row[2:] for row in rows[:n]]


def _same_person(db: sqlite3.Connection, user: str | None, session: str | None) -> list[Any]:
    """Rows (is_user, name) of the users that these names are or became, and of their sessions."""
    rows = []
    for shopper in ((True, user), (False, session)):
        if shopper[1] is not None:
            rows += db.execute(_SAME_PERSON, shopper).fetchall()
    return rows
