"""names.py: an open history file and keys -> the same under newer pseudonyms.

Within one transaction: a reader sees every name of one generation, or every name of the next.
"""

import sqlite3
from typing import Final

import msgspec

from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key
from reranker.pseudonyms.pseudonyms import Pseudonyms

_decode: Final = msgspec.msgpack.Decoder(HistoryEvent).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def rename_all(db: sqlite3.Connection, names: Pseudonyms, since: int) -> int:
    """Replace every name, and what was made of names, in the transaction that is open.

    since: the generation that is there now; 0 for plain names. How many shoppers there are.
    """
    # Plain names as they are: two that mean the same shopper must not meet in one row here.
    db.create_function("newer_name", 2, lambda user, name: names.as_written(bool(user), name))
    db.create_function("newer_key", 2, lambda key, event: _newer_key(key, event, names, since))
    db.create_function("newer_payload", 1, lambda payload: _renamed(payload, names))
    count = db.execute("UPDATE shoppers SET name = newer_name(is_user, name)").rowcount
    # Two steps: a new key must not meet an old one of another event.
    db.execute(
        "UPDATE events SET key = -1 - newer_key(key, payload), payload = newer_payload(payload)"
    )
    db.execute("UPDATE events SET key = -1 - key")
    db.execute(
        "UPDATE names SET generation = ?, fingerprint = ?, to_erase = 1",
        (names.generation, names.fingerprint),
    )
    return count


def rekey_all(db: sqlite3.Connection, names: Pseudonyms) -> None:
    """Give every event with an id its key of today, in the transaction that is open.

    Those of earlier releases were made of the id alone.
    """
    db.create_function("key_of_today", 2, lambda key, event: _key_of_today(key, event, names))
    db.execute("UPDATE events SET key = -1 - key_of_today(key, payload)")
    db.execute("UPDATE events SET key = -1 - key")


def _key_of_today(key: int, payload: bytes, names: Pseudonyms) -> int:
    event = _decode(payload)
    return key if event.id is None else names.event(event_key(event), has_id=True)


def _newer_key(key: int, payload: bytes, names: Pseudonyms, since: int) -> int:
    return names.event(key, since, has_id=_decode(payload).id is not None)


def _renamed(payload: bytes, names: Pseudonyms) -> bytes:
    event = _decode(payload)
    if event.session is None:
        return payload
    user = None if event.user is None else names.as_written(True, event.user)
    session = names.as_written(False, event.session)
    return _encode(msgspec.structs.replace(event, user=user, session=session))
