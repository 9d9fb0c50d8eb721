"""identity.py: an event -> the number by which its shopper's history knows it again.

Whether two events are the same is decided here: the shopper, the event's `id` and what it says.
The number is made without the shopper, whose row it is kept with: so it stays what it is when a
session becomes a user's, in an export, and under new pseudonyms.
"""

import secrets
from typing import Final

import msgspec
import xxhash

from reranker.events.events import HistoryEvent

# The upper bits of an event with an id are made of the id, the lower ones of what it says.
KEY_BITS: Final = 63
CONTENT_BITS: Final = 35
CONTENT_MASK: Final = (1 << CONTENT_BITS) - 1
_encode: Final = msgspec.msgpack.Encoder().encode


def event_key(event: HistoryEvent) -> int:
    """63 bits by which an event with an id is known again; without one every event is a new one.

    Its session is left out, which an export has under a pseudonym. The form must never change.
    """
    if event.id is None:
        return secrets.randbits(KEY_BITS)
    name = xxhash.xxh3_64_intdigest(b"id\0" + event.id.encode("utf-8", "surrogatepass"))
    microseconds = round(event.time * 1e6)  # as finely as every form of times says it
    content = (
        *(event.type, event.item, event.query, microseconds, event.price, event.quantity),
        *(event.ranking, event.position),
    )
    says = xxhash.xxh3_64_intdigest(_encode(content))
    return (name >> (64 - KEY_BITS + CONTENT_BITS)) << CONTENT_BITS | says >> (64 - CONTENT_BITS)


def record_key(event: HistoryEvent) -> int:
    """63 bits made of all that an event without an id says; the form must never change.

    Where its user is known, the session is left out: an export has it under a pseudonym.
    """
    content = event if event.user is None else msgspec.structs.replace(event, session=None)
    # False: events once had one field more, and its element is a part of the form.
    return int(xxhash.xxh3_64_intdigest(_encode((*msgspec.structs.astuple(content), False)))) >> 1


def of_same_id(key: int) -> tuple[int, int]:
    """The lowest and the highest key that events with this one's id can have."""
    return key & ~CONTENT_MASK, key | CONTENT_MASK
