"""decoded.py: payloads of one shopper's events -> the events, decoded in one step."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from reranker.errors import HistoryDamaged
from reranker.events.events import HistoryEvent
from reranker.runtime.caches import RecentlyUsed

CACHED: Final = 1000  # shoppers whose newest events need no decoding while none is added
_decode: Final = msgspec.msgpack.Decoder(list[HistoryEvent]).decode


class DecodedEvents:
    """The newest events of the shoppers who were asked for lately."""

    def __init__(self, where: Path | str) -> None:
        self._where = where
        self._newest: RecentlyUsed[Hashable, tuple[bytes, list[HistoryEvent]]]
        self._newest = RecentlyUsed(CACHED)

    def of(self, shopper: Hashable, payloads: bytes) -> list[HistoryEvent]:
        """The events; the very same list as the last time, where nothing was added since."""
        cached = self._newest.get(shopper)
        if cached is not None and cached[0] == payloads:
            return cached[1]
        events = decoded(payloads, self._where)
        if events:
            self._newest.put(shopper, (payloads, events))
        else:
            self._newest.drop(shopper)
        return events

    def clear(self) -> None:
        """Keep nothing."""
        self._newest.clear()

    def drop_unused(self) -> None:
        """Keep nothing of who was not asked for lately."""
        self._newest.drop_unused()


def packed(payloads: Sequence[bytes]) -> bytes:
    """All payloads as one MessagePack list."""
    return b"\xdd" + len(payloads).to_bytes(4, "big") + b"".join(payloads)


def packed_rows(rows: list[Any]) -> bytes:
    """The same of rows of one payload each."""
    return packed([payload for (payload,) in rows])


def decoded(events: bytes, where: Path | str) -> list[HistoryEvent]:
    """What `packed` made, as events; HistoryDamaged when one cannot be read."""
    try:
        return _decode(events)
    except msgspec.DecodeError as error:
        raise HistoryDamaged(
            f"{where} is damaged: an event in it cannot be read ({error}).",
            hint="Move it aside and run `reranker events import` again, or restore a backup.",
        ) from error
