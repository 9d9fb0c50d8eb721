"""redis_rows.py: an event and its arrival number -> a row of Redis, and back; names of keys.

What the rows look like stands in redis_functions.lua. One shopper's keys have one hash tag, which
is u or s (user, session) and the pseudonym, so that they lie in one slot of a cluster.
"""

import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from reranker.events.events import HistoryEvent
from reranker.histories.histories import Shopper

_HEAD: Final = struct.Struct(">QQB")  # arrival number, key, whether the event named no user
HEAD_BYTES: Final = _HEAD.size
ID_PLACE: Final = 1 + [field.name for field in msgspec.structs.fields(HistoryEvent)].index("id")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(HistoryEvent).decode


class Row(NamedTuple):
    """An event as Redis keeps it."""

    time: float
    member: bytes

    @property
    def number(self) -> int:
        """Its place in the order of arrival."""
        return int.from_bytes(self.member[:8], "big")

    @property
    def key(self) -> int:
        """By which it is known again (events/identity.py), under the home's keys."""
        return int.from_bytes(self.member[8:16], "big")

    @property
    def nameless(self) -> bool:
        """Whether it named no user: it belongs to its session's."""
        return self.member[16] == 1

    @property
    def event(self) -> HistoryEvent:
        """What happened."""
        return _decode(self.member[HEAD_BYTES:])


class Tag(NamedTuple):
    """A shopper: one slot. kind: u or s."""

    kind: str
    name: str  # a pseudonym

    @property
    def shopper(self) -> Shopper:
        return Shopper(self.name, None) if self.kind == "u" else Shopper(None, self.name)


class KeyNames:
    """The names of all keys of one home."""

    def __init__(self, prefix: str) -> None:
        self.names = f"{prefix}:names"  # generation, fingerprint, since, to_erase
        self.pending = f"{prefix}:pending"  # sessions whose events are just moving
        self.every = f"{prefix}:{{*}}:*"
        self._prefix = prefix

    def events(self, tag: Tag) -> str:
        return f"{self._prefix}:{{{tag.kind}{tag.name}}}:e"

    def keys(self, tag: Tag) -> str:
        return f"{self._prefix}:{{{tag.kind}{tag.name}}}:k"

    def session(self, tag: Tag) -> str:
        return f"{self._prefix}:{{{tag.kind}{tag.name}}}:s"

    def sessions(self, tag: Tag) -> str:
        """Of a user: the sessions that are theirs."""
        return f"{self._prefix}:{{{tag.kind}{tag.name}}}:o"

    def all_of(self, tag: Tag) -> list[str]:
        return [name(tag) for name in (self.events, self.keys, self.session, self.sessions)]

    def tag_of(self, key: bytes) -> tuple[Tag, str]:
        """Whose key this is, and which of theirs: e, k, s or o."""
        inner, _, which = key.decode().removeprefix(f"{self._prefix}:{{").rpartition("}:")
        return Tag(inner[:1], inner[1:]), which


def row_of(event: HistoryEvent, number: int, key: int) -> Row:
    """An event under pseudonyms; its user's stands in the name of the key, once."""
    nameless = event.user is None
    payload = _encode(event if nameless else msgspec.structs.replace(event, user=None))
    return Row(event.time, packed_row(number, key, nameless, payload))


def packed_row(number: int, key: int, nameless: bool, payload: bytes) -> bytes:
    """A row's member. payload: the event without its user, as a file has it, too."""
    return _HEAD.pack(number, key, nameless) + payload


def rows_of(answer: Sequence[Any]) -> list[Row]:
    """What WITHSCORES answers: member, time, member, time, ..."""
    return [Row(float(answer[at + 1]), answer[at]) for at in range(0, len(answer), 2)]


def flat(rows: Iterable[Row]) -> Iterator[bytes | str]:
    """The same as arguments: member, time, ..."""
    for row in rows:
        yield from (row.member, written(row.time))


def written(time: float) -> str:
    """A time as Redis reads it, to the last bit."""
    return repr(float(time))


class ArrivalNumbers:
    """Numbers that only grow: microseconds of the clock, or the next one where it stands or is set
    back. Without a counter that everybody has to ask, events of several writers stand as they came.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0

    def take(self, count: int) -> int:
        """The first of so many."""
        with self._lock:
            first = max(self._next, time.time_ns() // 1000)
            self._next = first + count
        return first
