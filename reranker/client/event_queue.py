"""event_queue.py: events as they happen -> batches to send; each is accounted for.

Every event gets an id and a time before it is first sent: what is sent again is then known again
by the service, and counts once.
"""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from .answers import KeptAnswer
from .bodies import encoded
from .failures import RerankerError

log: Final = logging.getLogger("reranker.client")

OnLost = Callable[[list[dict[str, Any]], str], object]
_BATCH_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What became of the events of a client: queued = kept + rejected + dropped + waiting.

    kept: on the service's disk, with `duplicates`, which were there before. rejected: the service
    says what is wrong with them. dropped: given up here (the queue was full, the client closed,
    no JSON). waiting: neither, yet.
    """

    queued: int = 0
    kept: int = 0
    duplicates: int = 0
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0


class Queued(NamedTuple):
    """An event, and the same as JSON: what the caller changes afterwards changes nothing."""

    event: dict[str, Any]
    body: bytes


def identified(event: Mapping[str, Any]) -> dict[str, Any]:
    """The same event with an id and a time."""
    given = {name: value for name, value in event.items() if value is not None}
    given.setdefault("id", uuid.uuid4().hex)
    given.setdefault("time", datetime.now(UTC).isoformat())
    return given


class EventQueue:
    """size: at most so many events wait, those that are being sent included. Any thread may use it.

    on_lost: told of events that are rejected or dropped, and why.
    """

    def __init__(self, size: int, on_lost: OnLost | None = None) -> None:
        self._size, self._on_lost = size, on_lost
        self._lock = threading.Lock()
        self._waiting: deque[Queued] = deque()
        self._sending = 0
        self._queued = self._kept = self._duplicates = self._rejected = self._dropped = 0
        self._closed = False

    def put(self, event: Mapping[str, Any]) -> bool:
        """Whether it waits to be sent now; where it does not, it counts as dropped."""
        given = identified(event)
        try:
            queued = Queued(given, encoded(given))
        except RerankerError as error:
            return self._refuse(given, str(error))
        with self._lock:
            closed, full = self._closed, len(self._waiting) + self._sending >= self._size
            if not closed and not full:
                self._queued += 1
                self._waiting.append(queued)
                return True
        return self._refuse(given, "the client is closed" if closed else "the queue is full")

    def take(self, most: int) -> list[Queued]:
        """The next batch, oldest first; [] where nothing waits. One sender takes."""
        batch: list[Queued] = []
        size = 0
        with self._lock:
            while self._waiting and len(batch) < most and size < _BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].body)
            self._sending = len(batch)
        return batch

    def done(self, batch: Sequence[Queued], answer: KeptAnswer) -> None:
        """The service answered to this batch."""
        with self._lock:
            self._sending -= len(batch)
            self._kept += answer.accepted
            self._duplicates += answer.duplicates
            self._rejected += len(answer.rejected)
        for bad in answer.rejected:
            self._tell([batch[bad.position].event], f"rejected: {bad.message}")

    def back(self, batch: Sequence[Queued]) -> None:
        """It could not be sent, and goes first again."""
        with self._lock:
            self._sending -= len(batch)
            self._waiting.extendleft(reversed(batch))

    def drop(self, batch: Sequence[Queued], reason: str) -> None:
        """It is given up."""
        with self._lock:
            self._sending -= len(batch)
            self._dropped += len(batch)
        self._tell([queued.event for queued in batch], reason)

    def close(self, reason: str) -> None:
        """Give up what waits; what comes later is dropped, too."""
        with self._lock:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._dropped += len(left)
        if left:
            self._tell([queued.event for queued in left], reason)

    def refuse_more(self) -> None:
        """What comes from now on is dropped; what waits is not."""
        with self._lock:
            self._closed = True

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is being sent."""
        with self._lock:
            return not self._waiting and not self._sending

    @property
    def counts(self) -> EventCounts:
        """What became of all events so far."""
        with self._lock:
            return EventCounts(
                self._queued,
                self._kept,
                self._duplicates,
                self._rejected,
                self._dropped,
                len(self._waiting) + self._sending,
            )

    def _refuse(self, event: dict[str, Any], reason: str) -> bool:
        with self._lock:
            self._queued += 1
            self._dropped += 1
        self._tell([event], reason)
        return False

    def _tell(self, events: list[dict[str, Any]], reason: str) -> None:
        if self._on_lost is None:
            log.warning("%d events are lost: %s", len(events), reason)
            return
        try:
            self._on_lost(events, reason)
        except Exception:  # the caller's own code, which must not end the sending
            log.exception("on_lost failed; %d events are lost: %s", len(events), reason)
