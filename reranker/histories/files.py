"""files.py: a folder -> SQLite connections to its histories; failures in plain words."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from indexes.storage.durable import OWN_FILE, make_own_folder
from reranker.errors import HistoryBusy, HistoryDamaged, HistoryFailure
from reranker.histories.names import rekey_all
from reranker.pseudonyms.pseudonyms import Pseudonyms

FILE: Final = "history.db"
_SCHEMA: Final = 3
_OF_IDS: Final = 2  # of an earlier release: one event of each id, whoever's it is
_PAUSE: Final = 0.002
_CREATE: Final = """
CREATE TABLE shoppers (  -- a user, or a session
    id INTEGER PRIMARY KEY,
    is_user INTEGER NOT NULL,
    name TEXT NOT NULL,      -- a pseudonym
    events INTEGER NOT NULL DEFAULT 0,
    owner INTEGER,           -- of a session: the user it was merged into, and
    owned_since REAL,        -- the time of the event that said so
    UNIQUE (is_user, name)
);
CREATE INDEX shoppers_by_owner ON shoppers (owner) WHERE owner IS NOT NULL;
CREATE TABLE events (        -- in the order in which they are read
    shopper INTEGER NOT NULL,
    time REAL NOT NULL,
    seq INTEGER NOT NULL,
    key INTEGER NOT NULL,
    origin INTEGER,          -- the session of an event that named no user
    payload BLOB NOT NULL,
    PRIMARY KEY (shopper, time, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX events_by_key ON events (shopper, key);
CREATE INDEX events_by_origin ON events (origin) WHERE origin IS NOT NULL;
CREATE TABLE counter (seq INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
"""
CREATE_NAMES: Final = """
CREATE TABLE names (         -- with which keys the pseudonyms were made
    generation INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    to_erase INTEGER NOT NULL DEFAULT 0  -- deleted, but not yet gone from the file
)
"""

T = TypeVar("T")


class Keys(Protocol):
    """A home's keys: reranker/pseudonyms/keys.py."""

    def open(self) -> Pseudonyms:
        """Those of now, made where there are none."""
        ...

    def of(self, generation: int, fingerprint: str) -> Pseudonyms:
        """Those with which something was written; a Failure where they are not there."""
        ...


class NamesRow(NamedTuple):
    """What the file says of its names. to_erase: what was deleted may still be in free pages."""

    generation: int
    fingerprint: str
    to_erase: bool


def names_row(db: sqlite3.Connection) -> NamesRow:
    """Of which keys the pseudonyms in this file are."""
    row = db.execute("SELECT generation, fingerprint, to_erase FROM names").fetchone()
    return NamesRow(row[0], row[1], bool(row[2]))


def mark_to_erase(db: sqlite3.Connection, needed: bool) -> None:
    """Note, within the transaction that deletes, that the file has to be written anew."""
    db.execute("UPDATE names SET to_erase = ?", (needed,))


def failure_of(error: Exception, path: Path) -> HistoryFailure:
    """What SQLite says, as what a person can do about it."""
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return HistoryBusy(
            f"{path} is held by another process.",
            hint="Try again; history.wait_seconds says how long to wait.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return HistoryDamaged(
            f"{path} is damaged: {error}.",
            hint="Move it and its -wal and -shm files aside and run `reranker events import` "
            "again, or restore a backup.",
        )
    return HistoryFailure(
        f"{path} cannot be used: {error}.",
        hint="Look at free space and permissions, or name another folder with --home.",
    )


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for what the Python module itself says."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turn SQLite's errors in the block into a HistoryFailure."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure_of(error, path) from error
    except OSError as error:
        raise HistoryFailure(
            f"{error.filename or path} cannot be used: {error.strerror}.",
            hint="Look at free space and permissions, or name another folder with --home.",
        ) from error


def patiently(action: Callable[[], T], seconds: float) -> T:
    """Try until nobody else holds the lock. SQLite's own waiting starves behind an import."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            busy = _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def open_writer(path: Path, seconds: float, keys: Keys) -> sqlite3.Connection:
    """A connection that may write; the file and its tables are made when they are not there."""
    make_own_folder(path.parent)
    with suppress(FileExistsError):  # never opened where it is there: closing would drop its locks
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWN_FILE))
    db = _connect(path, "rwc")
    try:
        patiently(lambda: _prepare(db, path, keys), seconds)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection | None:
    """A connection that only reads; None where no event was ever kept."""
    if not path.exists():
        return None
    db = _connect(path, "rw")  # a reader, too, has to mend what a crash left
    try:
        db.execute("PRAGMA query_only = ON")
        version = patiently(lambda: _version(db), 0.5)
        if version == 0:  # another process is just making it
            db.close()
            return None
        _check_version(version, path)
    except BaseException:
        db.close()
        raise
    return db


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, timeout=0, isolation_level=None, check_same_thread=False, uri=True)


def _prepare(db: sqlite3.Connection, path: Path, keys: Keys) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # every commit waits for the disk
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA cache_size = -65536")
    db.execute("PRAGMA journal_size_limit = 67108864")
    if _version(db) in (0, _OF_IDS):
        with transaction(db):
            _make(db, keys)
    _check_version(_version(db), path)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing; OperationalError when another process writes."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _make(db: sqlite3.Connection, keys: Keys) -> None:
    version = _version(db)
    if version == 0:
        for statement in _CREATE.split(";\n"):
            db.execute(statement)
        names = keys.open()
        db.execute(CREATE_NAMES)
        entry = names.generation, names.fingerprint
        db.execute("INSERT INTO names (generation, fingerprint) VALUES (?, ?)", entry)
    if version == _OF_IDS:
        db.execute("DROP INDEX events_by_key")
        row = names_row(db)
        rekey_all(db, keys.of(row.generation, row.fingerprint))
        db.execute("CREATE UNIQUE INDEX events_by_key ON events (shopper, key)")
    db.execute(f"PRAGMA user_version = {_SCHEMA}")


def unfinished(path: Path, generation: int) -> str:
    """What an earlier release, rotation or erasure left to be done; "" for nothing."""
    if not path.exists():
        return ""
    with closing(_connect(path, "rw")) as db:
        version = patiently(lambda: _version(db), 0.5)
        if version == _OF_IDS:
            return "keys"
        if version != _SCHEMA:
            return ""
        row = names_row(db)
        if row.generation < generation:
            return "rotation"
        return "erasure" if row.to_erase else ""


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check_version(version: int, path: Path) -> None:
    if version == _OF_IDS:
        raise HistoryFailure(
            f"{path} holds one event of each id, as an earlier release wrote them.",
            hint="Run `reranker pseudonyms status`: it brings the file into today's form.",
        )
    if version != _SCHEMA:
        raise HistoryFailure(
            f"{path} has the form {version}; this program knows {_SCHEMA}.",
            hint="It was written by another version of the program: use that one.",
        )


def truncate_log(db: sqlite3.Connection) -> None:
    """Empty the write-ahead log; it waits for readers that are just at work."""
    busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        error = sqlite3.OperationalError("the log is being read by another process")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error
