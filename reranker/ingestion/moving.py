"""moving.py: the histories in a home's file -> the same in a Redis, row by row, and compared.

A row is the same wherever it lies: pseudonyms, keys, arrival numbers and what each event says. So a
second run adds only what came meanwhile, and one that was killed goes on where it was:
<home>/events/moved.json says up to which shopper, and up to which arrival number once all are.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from indexes.errors import Failure
from indexes.progress import Progress
from indexes.storage.durable import OWN_FILE, replace_synced
from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.settings import HistorySettings
from reranker.histories.files import FILE, failing, names_row, open_reader
from reranker.histories.redis_nodes import read_url
from reranker.histories.redis_rows import Row, Tag, packed_row
from reranker.histories.redis_store import RedisHistories
from reranker.pseudonyms.keys import PseudonymKeys

NOTE: Final = "moved.json"
_WINDOW: Final = 256  # shoppers of one step
_SHOPPERS: Final = "SELECT id, is_user, name FROM shoppers WHERE id > ? AND events > 0 ORDER BY id"
_OWNED: Final = (
    "SELECT session.id, session.name, user.name, session.owned_since FROM shoppers AS session "
    "JOIN shoppers AS user ON user.id = session.owner WHERE session.id > ? ORDER BY session.id"
)
_EVENTS: Final = (
    "SELECT time, seq, key, origin IS NOT NULL, payload FROM events "
    "WHERE shopper = ? AND seq >= ? ORDER BY time, seq"
)


class Moved(msgspec.Struct, kw_only=True):
    """What a run did. different: shoppers whose rows are not the same in both after it."""

    shoppers: int = 0
    sessions: int = 0
    events: int = 0
    added: int = 0
    different: int = 0
    seconds: float = 0.0


class _Note(msgspec.Struct, kw_only=True):
    """How far a move to an address came. before: arrival numbers below it have all moved;
    shopper: of the present run."""

    to: str
    before: int = 0
    next_before: int = 0
    shopper: int = 0


def move(workspace: Workspace, url: str, progress: Progress) -> Moved:
    """Copy everything that is not there yet, then compare; the file stays as it is.

    HistoryFailure where either cannot be used, or holds pseudonyms of other keys.
    """
    started, moved = time.monotonic(), Moved()
    store, path = read_url(url), workspace.home / "events" / FILE
    keys = PseudonymKeys(workspace.home)
    histories = RedisHistories(store, workspace.section(HistorySettings), keys)
    with closing(histories), failing(path):
        db = open_reader(path)
        if db is None:
            raise Failure(
                f"{path} is not there: no history is kept in this home.",
                hint="Name the home with --home, or set history.url and import events.",
            )
        with closing(db):
            _check_names(db, histories)
            note_path = path.with_name(NOTE)
            note = _read_note(note_path, store.shown)
            _move_sessions(db, histories, moved, progress)
            _move_events(db, histories, moved, note, note_path, progress)
            moved.different = _compare(db, histories, progress)
    moved.seconds = round(time.monotonic() - started, 1)
    return moved


def _check_names(db: sqlite3.Connection, histories: RedisHistories) -> None:
    """Both must have names of the same keys."""
    here, there = names_row(db), histories.open_names()
    if (here.generation, here.fingerprint) != (there.generation, there.fingerprint):
        raise HistoryFailure(
            f"The file has pseudonyms of generation {here.generation}, the Redis of generation "
            f"{there.generation}.",
            hint="Run `reranker pseudonyms status`, which ends a rotation, and move again.",
        )


def _read_note(path: Path, to: str) -> _Note:
    try:
        note = msgspec.json.decode(path.read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):
        return _Note(to=to)
    return note if note.to == to else _Note(to=to)


def _write_note(path: Path, note: _Note) -> None:
    replace_synced(path, msgspec.json.encode(note), OWN_FILE)


def _move_sessions(
    db: sqlite3.Connection, histories: RedisHistories, moved: Moved, progress: Progress
) -> None:
    last = 0
    with progress("sessions", None) as done:
        while rows := db.execute(f"{_OWNED} LIMIT {_WINDOW}", (last,)).fetchall():
            last = rows[-1][0]
            for _, session, user, since in rows:
                histories.writer.own(session, user, since)
            moved.sessions += len(rows)
            done(len(rows))


def _move_events(
    db: sqlite3.Connection,
    histories: RedisHistories,
    moved: Moved,
    note: _Note,
    note_path: Path,
    progress: Progress,
) -> None:
    if not note.shopper:
        note.next_before = int(db.execute("SELECT seq FROM counter").fetchone()[0])
    with progress("events", None) as done:
        for last, tags in _windows(db, note.shopper):
            rows = {tag: _rows(db, number, note.before) for number, tag in tags}
            moved.added += histories.writer.put_all(rows)
            count = sum(map(len, rows.values()))
            moved.events += count
            moved.shoppers += len(tags)
            note.shopper = last
            _write_note(note_path, note)
            done(count)
    note.shopper, note.before = 0, note.next_before
    _write_note(note_path, note)


def _compare(db: sqlite3.Connection, histories: RedisHistories, progress: Progress) -> int:
    """How many shoppers have other rows there than here."""
    different = 0
    with progress("comparing", None) as done:
        for _, tags in _windows(db, 0):
            there = histories.writer.rows_of_all([tag for _, tag in tags])
            for (number, _), rows in zip(tags, there, strict=True):
                different += _rows(db, number, 0) != rows
            done(sum(map(len, there)))
    return different


def _windows(db: sqlite3.Connection, last: int) -> Iterator[tuple[int, Sequence[tuple[int, Tag]]]]:
    """All shoppers after this one, some at a time, with the last one's number."""
    while rows := db.execute(f"{_SHOPPERS} LIMIT {_WINDOW}", (last,)).fetchall():
        last = rows[-1][0]
        yield last, [(number, Tag("u" if user else "s", name)) for number, user, name in rows]


def _rows(db: sqlite3.Connection, shopper: int, since: int) -> list[Row]:
    """The shopper's rows from this arrival number on, in order."""
    rows = db.execute(_EVENTS, (shopper, since))
    return [
        Row(at, packed_row(number, key, bool(nameless), payload))
        for at, number, key, nameless, payload in rows
    ]
