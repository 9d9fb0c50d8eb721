"""stored_keys.py: a shopper's row, keys of events -> those that are stored, and ids in conflict."""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from reranker.events.events import HistoryEvent
from reranker.events.identity import CONTENT_MASK, of_same_id

_STORED: Final = (
    "SELECT key FROM events WHERE shopper = ? AND key IN (SELECT value FROM json_each(?))"
)
_MET: Final = (
    "SELECT value FROM json_each(?) WHERE EXISTS "
    f"(SELECT 1 FROM events WHERE shopper = ? AND key BETWEEN value AND value + {CONTENT_MASK})"
)
_OF_AN_ID: Final = "SELECT payload FROM events WHERE shopper = ? AND key BETWEEN ? AND ? LIMIT 4"
_decode: Final = msgspec.msgpack.Decoder(HistoryEvent).decode


def stored_keys(db: sqlite3.Connection, shopper: int | None, keys: Collection[int]) -> set[int]:
    """Those of the keys that this shopper's history holds."""
    if shopper is None:
        return set()
    listed = msgspec.json.encode(list(keys)).decode()
    return {key for (key,) in db.execute(_STORED, (shopper, listed))}


def stored_ids(db: sqlite3.Connection, shopper: int, keys: Mapping[str, int]) -> set[str]:
    """Those of these ids, each with the key of an event, that events of this shopper have."""
    if not keys:
        return set()
    lowest = {name: of_same_id(key)[0] for name, key in keys.items()}
    listed = msgspec.json.encode(list(lowest.values())).decode()
    met = {low for (low,) in db.execute(_MET, (listed, shopper))}
    return {name for name, low in lowest.items() if low in met and _has(db, shopper, low, name)}


def _has(db: sqlite3.Connection, shopper: int, low: int, name: str) -> bool:
    """Ids may have the same upper bits of their keys, so the events themselves are looked at."""
    rows = db.execute(_OF_AN_ID, (shopper, *of_same_id(low)))
    return any(_decode(payload).id == name for (payload,) in rows)
