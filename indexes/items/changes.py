"""changes.py: changes of items between two rebuilds <-> <home>/items/changes.sqlite (WAL).

One row a changed field: its newest value and the number of the change. Numbers only grow, so a
reader asks for what came after the last it knows, and a rebuild clears up to the last it read.
Vectors of changed texts stand beside them: one process encodes, all serve, the rebuild takes them.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.storage.durable import make_own_folder, sync

FOLDER: Final = "items"
FILE: Final = "changes.sqlite"
REMOVED: Final = "removed"
EXTRA: Final = "extra."  # before the name of a column that is no field of an item
_WAIT_SECONDS: Final = 5.0
_MOST_BYTES: Final = 1 << 30
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS change (
    id TEXT NOT NULL, field TEXT NOT NULL, value BLOB NOT NULL, number INTEGER NOT NULL,
    time REAL NOT NULL, PRIMARY KEY (id, field)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS change_number ON change (number);
CREATE TABLE IF NOT EXISTS vector (
    digest BLOB NOT NULL, key TEXT NOT NULL, vector BLOB NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (digest, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS vector_number ON vector (number);
CREATE TABLE IF NOT EXISTS newest (
    one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER, items INTEGER);
CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT);
INSERT OR IGNORE INTO origin VALUES (1, lower(hex(randomblob(8))));
"""
# What a version that another home built says of the changes in it; see `ItemChanges.folded`.
NUMBER, ORIGIN, UNTIL = "changes", "changes_of", "changes_until"
_MARGIN_SECONDS: Final = 60.0  # between machines that a change is sent to


class ChangesFull(Failure):
    """As many items as items.changed_items allows wait for a rebuild."""

    code = "changes_full"


class ChangesFailure(Failure):
    """The changes cannot be read or written now."""

    code = "changes_unavailable"


class ItemChange(NamedTuple):
    """What is to change of one item: fields of `Item` with their values as it holds them, and
    REMOVED: True or False."""

    id: str
    fields: dict[str, Any]


class Kept(msgspec.Struct, frozen=True):
    """What became of changes. duplicates: items of which every field was kept so before."""

    accepted: int = 0
    duplicates: int = 0


Vector = npt.NDArray[np.float16]  # (d,)


class Pending(NamedTuple):
    """Changes by item, up to a number. times: of the newest of each, epoch seconds. vectors: by
    the digests of texts, of the encoder and template that were asked for."""

    fields: dict[str, dict[str, Any]]
    number: int
    times: dict[str, float]
    vectors: dict[bytes, Vector] = {}


class ItemChanges:
    """The changes of one home. Safe between threads and processes; nothing is made before the
    first change. most: items that may wait for a rebuild."""

    def __init__(self, home: Path, most: int) -> None:
        self.path = home / FOLDER / FILE
        self._most = most
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # by which process, which file

    def apply(self, changes: Iterable[ItemChange]) -> Kept:
        """Keep these, all or none; they survive a crash from the moment this returns.

        ChangesFull when there is no room for them, ChangesFailure when they cannot be written.
        """
        listed = list(changes)
        if not listed:
            return Kept()
        with self._lock, self._failing():
            make_own_folder(self.path.parent)
            with self._transaction() as db:
                [(number, items)] = db.execute("SELECT number, items FROM newest")
                kept = _kept_values(db, {change.id for change in listed})
                items += len({change.id for change in listed} - kept.keys())
                rows, duplicates = _new_rows(listed, kept, number, time.time())
                db.executemany(_UPSERT, rows)
                number += len(listed)
                db.execute("UPDATE newest SET number = ?, items = ?", (number, items))
                self._check_room(db, items)
            return Kept(len(listed), duplicates)

    def _check_room(self, db: sqlite3.Connection, items: int) -> None:
        [(pages,)], [(size,)] = db.execute("PRAGMA page_count"), db.execute("PRAGMA page_size")
        if items > self._most or pages * size > _MOST_BYTES:
            raise ChangesFull(
                f"{self._most:,} items with changes wait for a rebuild (items.changed_items), and "
                "there is no room for more.",
                hint="Run `reranker rebuild`: it takes them up and clears them.",
            )

    def since(self, number: int, key: str = "") -> Pending:
        """What was changed after this number: of each item the fields changed since; and the
        vectors that came with this key (indexes.items.text.vectors_key)."""
        if not self.path.exists():
            return Pending({}, number, {})
        fields: dict[str, dict[str, Any]] = {}
        times: dict[str, float] = {}
        with self._lock, self._failing(), self._transaction("DEFERRED") as db:
            changes = db.execute(_CHANGES, (number,)).fetchall()
            vectors = db.execute(_VECTORS, (number, key)).fetchall()
            for item_id, field, value, _, when in changes:
                fields.setdefault(item_id, {})[field] = msgspec.json.decode(value)
                times[item_id] = when
        newest = max([number, *(change[3] for change in changes), *(row[2] for row in vectors)])
        return Pending(fields, newest, times, _by_digest(vectors))

    def vectors(self, key: str) -> dict[bytes, Vector]:
        """Every vector of this encoder and template, by the digest of its text."""
        if not self.path.exists():
            return {}
        with self._lock, self._failing():
            return _by_digest(self._connection().execute(_VECTORS, (-1, key)).fetchall())

    def keep_vectors(self, key: str, vectors: Mapping[bytes, npt.NDArray[Any]]) -> None:
        """Keep vectors (d,) of texts, by their digests, for all processes and the next rebuild."""
        with self._lock, self._failing(), self._transaction() as db:
            [(number,)] = db.execute("SELECT number FROM newest")
            for digest, vector in vectors.items():
                number += 1
                packed = vector.astype(np.float16).tobytes()
                db.execute(_KEEP, (digest, key, packed, number))
            db.execute("UPDATE newest SET number = ?", (number,))
            # Of texts that were changed again: they would be encoded anew, should they come back.
            [(count,)] = db.execute("SELECT COUNT(*) FROM vector")
            db.execute(_DROP, (max(0, count - self._most),))

    def titled(self, item_ids: Iterable[str]) -> set[str]:
        """Which of these items wait with a title: they will be items."""
        if not self.path.exists():
            return set()
        with self._lock, self._failing():
            db = self._connection()
            found = (
                db.execute("SELECT id FROM change WHERE id = ? AND field = 'title'", (item_id,))
                for item_id in item_ids
            )
            return {row[0] for rows in found for row in rows}

    def count(self) -> int:
        """How many items wait with changes."""
        if not self.path.exists():
            return 0
        with self._lock, self._failing():
            [(items,)] = self._connection().execute("SELECT items FROM newest")
            return int(items)

    def clear(self, number: int) -> None:
        """Forget the changes up to this number; what came later stays."""
        if self.path.exists():
            with self._lock, self._failing(), self._transaction() as db:
                db.execute("DELETE FROM change WHERE number <= ?", (number,))
                db.execute(_CLEAR_VECTORS, (number,))
                db.execute("UPDATE newest SET items = (SELECT COUNT(DISTINCT id) FROM change)")

    def stamp(self, number: int, until: float) -> dict[str, Any]:
        """What a version says of the changes in it: those of this home up to this number, which
        were all there were at that time, epoch seconds."""
        return {NUMBER: number, ORIGIN: self._origin(), UNTIL: until}

    def folded(self, about: Mapping[str, Any]) -> int:
        """The number up to which this home's changes are in a version.

        Of one that another home built, which counts for itself, as far as it was told of the same
        changes: those that came here a minute before it looked are taken to be in it."""
        if ORIGIN not in about or about[ORIGIN] == (origin := self._origin()):
            return int(about.get(NUMBER, 0))
        if not origin:
            return 0
        until = float(about[UNTIL]) - _MARGIN_SECONDS
        with self._lock, self._failing():
            [(number,)] = self._connection().execute(_UNTIL, (until,))
        return int(number)

    def _origin(self) -> str:
        """The name of this home's count; "" before the first change."""
        if not self.path.exists():
            return ""
        with self._lock, self._failing():
            [(name,)] = self._connection().execute("SELECT name FROM origin")
        return str(name)

    def copy(self, target: Path) -> None:
        """The changes of one moment into a new file of its owner alone, whoever writes meanwhile;
        nothing where there are none. The caller syncs the folder."""
        if not self.path.exists():
            return
        make_own_folder(target.parent)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with self._lock, self._failing(), closing(sqlite3.connect(target)) as copy:
            self._connection().backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, to be read anywhere
        sync(target)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None and self._opened and self._opened[0] == os.getpid():
                self._db.close()
            self._db = self._opened = None

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        db = self._connection()
        db.execute(f"BEGIN {kind}")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _connection(self) -> sqlite3.Connection:
        """Of this process: one that was opened before a fork is never used after it."""
        now = (os.getpid(), self.path.stat().st_ino) if self.path.exists() else None
        if self._db is None or now is None or now != self._opened:
            self._db = _opened(self.path)
            self._opened = (os.getpid(), self.path.stat().st_ino)
        return self._db

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise ChangesFailure(f"{self.path}: {error}.") from error


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, _WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")  # an acknowledged change is on the disk
    db.executescript(_SCHEMA)
    # Where the file was deleted, its numbers go on above those that published versions name.
    db.execute("INSERT OR IGNORE INTO newest VALUES (1, ?, 0)", (time.time_ns() // 1000,))
    return db


_CHANGES: Final = (
    "SELECT id, field, value, number, time FROM change WHERE number > ? ORDER BY number"
)
_VECTORS: Final = "SELECT digest, vector, number FROM vector WHERE number > ? AND key = ?"
_KEEP: Final = "INSERT OR REPLACE INTO vector VALUES (?, ?, ?, ?)"
_DROP: Final = """
DELETE FROM vector WHERE number IN (SELECT number FROM vector ORDER BY number LIMIT ?)
"""
_CLEAR_VECTORS: Final = """
DELETE FROM vector WHERE number <= ? OR NOT EXISTS (SELECT 1 FROM change)
"""
_UNTIL: Final = "SELECT coalesce(max(number), 0) FROM change WHERE time <= ?"
_KEPT_VALUES: Final = "SELECT id, field, value FROM change WHERE id IN ({})"
_UPSERT: Final = """
INSERT INTO change VALUES (?, ?, ?, ?, ?) ON CONFLICT (id, field) DO UPDATE SET
value = excluded.value, number = excluded.number, time = excluded.time
"""
_AT_ONCE: Final = 500  # ids in one query
_Row = tuple[str, str, bytes, int, float]


def _kept_values(db: sqlite3.Connection, ids: set[str]) -> dict[str, dict[str, bytes]]:
    """What waits of these items, by id and field."""
    every, kept = list(ids), dict[str, dict[str, bytes]]()
    for start in range(0, len(every), _AT_ONCE):
        part = every[start : start + _AT_ONCE]
        query = _KEPT_VALUES.format(", ".join("?" * len(part)))
        for item_id, field, value in db.execute(query, part):
            kept.setdefault(item_id, {})[field] = value
    return kept


def _new_rows(
    changes: Sequence[ItemChange], kept: dict[str, dict[str, bytes]], number: int, now: float
) -> tuple[list[_Row], int]:
    """The rows that say something new, and how many of the changes have none. kept: brought up to
    date."""
    rows: list[_Row] = []
    duplicates = 0
    for change in changes:
        number += 1
        before, values = len(rows), kept.setdefault(change.id, {})
        for field, value in change.fields.items():
            encoded = msgspec.json.encode(value)
            if values.get(field) != encoded:
                values[field] = encoded
                rows.append((change.id, field, encoded, number, now))
        duplicates += len(rows) == before
    return rows, duplicates


def _by_digest(rows: Iterable[tuple[bytes, bytes, int]]) -> dict[bytes, Vector]:
    return {digest: np.frombuffer(vector, np.float16) for digest, vector, _ in rows}
