"""event_sender.py: queued events -> the service, in the background, until each is accounted for."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from .answers import KeptAnswer
from .event_queue import EventCounts, EventQueue, OnLost, Queued, log
from .failures import Failure, RerankerError

_BATCH: Final = 500  # events of one request
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0  # seconds between tries
_ABOUT_THE_BODY: Final = frozenset({400, 413, 422})  # another try of the same ends the same


class EventSender:
    """post: the body of POST /events and how many events it holds -> what became of them."""

    def __init__(
        self,
        post: Callable[[bytes, int], Awaitable[KeptAnswer]],
        size: int,
        on_lost: OnLost | None = None,
    ) -> None:
        self._post, self._queue = post, EventQueue(size, on_lost)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = "the event loop ended before they were sent; some may have arrived"
        # wake: there is something to send; hurry: do not wait for the next try; idle: all is sent
        self._wake, self._hurry, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def counts(self) -> EventCounts:
        """What became of all events so far."""
        return self._queue.counts

    def start(self) -> None:
        """Send from now on, in the loop that runs here."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="reranker events")

    def put(self, event: Mapping[str, Any]) -> bool:
        """Whether the event waits to be sent now. From any thread, once started."""
        waits = self._queue.put(event)
        if waits and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)
        return waits

    async def flush(self, seconds: float) -> bool:
        """Send what waits now, not when its next try is due; False where that took too long."""
        if self._queue.empty:
            return True
        self.start()
        self._idle.clear()
        self._wake.set()
        self._hurry.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._queue.empty

    async def close(self, seconds: float) -> None:
        """Send what waits, for so long; the rest is dropped, and told."""
        self._queue.refuse_more()
        await self.flush(seconds)
        self._ending = f"not sent within {seconds:g} s of closing; some may have arrived"
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._queue.close(self._ending)

    async def _run(self) -> None:
        try:
            await self._send_all()
        finally:  # nobody sends what waits now
            self._queue.close(self._ending)

    async def _send_all(self) -> None:
        failed, most = 0, _BATCH
        while True:
            batch = self._queue.take(most)
            if not batch:
                self._idle.set()
                await self._wake.wait()
                self._wake.clear()
                continue
            failure = await self._send(batch)
            if failure is None:
                failed, most = 0, min(most * 2, _BATCH)
            elif failure.status in _ABOUT_THE_BODY:
                most = max(len(batch) // 2, 1)
            else:
                failed = 1 if await self._hurried(failure, failed) else failed + 1

    async def _send(self, batch: list[Queued]) -> Failure | None:
        """None where every event of the batch is accounted for; else why none is, and they wait.

        What is wrong with a whole body is some event's fault: with fewer in it the others pass.
        """
        try:
            body = b"[%b]" % b",".join(queued.body for queued in batch)
            answer = await self._post(body, len(batch))
        except RerankerError as error:
            if error.failure.status in _ABOUT_THE_BODY and len(batch) == 1:
                self._queue.drop(batch, str(error))
                return None
            self._queue.back(batch)
            return error.failure
        except BaseException:  # this task ends: what waits is told by who ends it
            self._queue.back(batch)
            raise
        self._queue.done(batch, answer)
        return None

    async def _hurried(self, failure: Failure, failed: int) -> bool:
        """Wait for the next try; True where somebody asked to flush before it was due."""
        log.warning("%d events wait to be sent: %s", self._queue.counts.waiting, failure)
        wait = min(_FIRST_WAIT * 2 ** min(failed, 10), _LONGEST_WAIT) * random.uniform(0.5, 1.0)
        wait = max(wait, min(failure.retry_after or 0.0, _LONGEST_WAIT))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._hurry.wait()
                self._hurry.clear()
                return True
        return False
