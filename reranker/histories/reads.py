"""reads.py: a connection and a shopper -> the newest events, decoded in one step."""

import math
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from reranker.errors import HistoryDamaged
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings

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
_decode: Final = msgspec.msgpack.Decoder(list[HistoryEvent]).decode


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


def same_person(db: sqlite3.Connection, user: str | None, session: str | None) -> list[Any]:
    """Rows (is_user, name) of the users that these names are or became, and of their sessions."""
    rows = []
    for shopper in ((True, user), (False, session)):
        if shopper[1] is not None:
            rows += db.execute(_SAME_PERSON, shopper).fetchall()
    return rows


def packed(payloads: list[Any]) -> bytes:
    """All rows' payloads as one MessagePack list."""
    whole = b"".join([payload for (payload,) in payloads])
    return b"\xdd" + len(payloads).to_bytes(4, "big") + whole


def decoded(events: bytes, path: Path) -> list[HistoryEvent]:
    """What `packed` made, as events; HistoryDamaged when one cannot be read."""
    try:
        return _decode(events)
    except msgspec.DecodeError as error:
        raise HistoryDamaged(
            f"{path} is damaged: an event in it cannot be read ({error}).",
            hint="Move it aside and run `reranker events import` again, or restore a backup.",
        ) from error
