"""kept_keys.py: a shopper's row and keys of events -> those that are kept, and conflicts of ids."""

import sqlite3
from collections.abc import Collection
from typing import Final

import msgspec

from reranker.event_keys import of_same_id
from reranker.events import HistoryEvent

_KEPT: Final = (
    "SELECT key FROM events WHERE shopper = ? AND key IN (SELECT value FROM json_each(?))"
)
_OF_AN_ID: Final = "SELECT payload FROM events WHERE shopper = ? AND key BETWEEN ? AND ? LIMIT 4"
_decode: Final = msgspec.msgpack.Decoder(HistoryEvent).decode


def kept_keys(db: sqlite3.Connection, shopper: int | None, keys: Collection[int]) -> set[int]:
    """Those of the keys that this shopper's history holds."""
    if shopper is None:
        return set()
    wanted = msgspec.json.encode(list(keys)).decode()
    return {key for (key,) in db.execute(_KEPT, (shopper, wanted))}


def holds_id(db: sqlite3.Connection, shopper: int, event: HistoryEvent, key: int) -> bool:
    """Whether the history has another event with this event's id.

    Keys of different ids may have the same upper bits, so the event itself is looked at.
    """
    rows = db.execute(_OF_AN_ID, (shopper, *of_same_id(key)))
    return any(_decode(payload).id == event.id for (payload,) in rows)
