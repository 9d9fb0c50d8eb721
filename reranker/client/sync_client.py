"""sync_client.py: what a shop asks and tells -> the service's answers, for code that waits.

The calls run in a thread's event loop, where a deadline holds whatever hangs: a look-up of a name,
or an answer that comes in drops. Any thread may call; after a fork the child begins anew.
"""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

from .answers import CartAnswer, KeptAnswer, RecommendAnswer, RerankAnswer, engine_order
from .async_client import BATCH, BATCH_SECONDS, KEEP_SECONDS, URL, AsyncReranker
from .bodies import (
    Candidate,
    CartOptions,
    ClientOptions,
    EventFields,
    RecommendOptions,
    RerankOptions,
    RerankRequest,
    listed,
)
from .event_queue import EventCounts
from .failures import CLOSED, Failure, RerankerError

T = TypeVar("T")
_AT_EXIT_SECONDS: Final = 2.0


class _Running:
    """An event loop in a thread, and the client that lives in it."""

    def __init__(self, url: str, options: ClientOptions) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="reranker", daemon=True)
        thread.start()
        self._thread = thread
        self.client = self.run(self._opened(url, options))

    async def _opened(self, url: str, options: ClientOptions) -> AsyncReranker:
        client = AsyncReranker(url, **options)
        client.events.start()
        return client

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What this work gives, once it is done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, seconds: float) -> None:
        """End the client, then the thread."""
        self.run(self.client.close(seconds))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Reranker:
    """A client for one service; one is enough for a process. url: with a path, behind a proxy.

    `with` closes it, and with it sends the events that wait.
    """

    def __init__(self, url: str = URL, **options: Unpack[ClientOptions]) -> None:
        self._url, self._options = url, options
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._started: _Running | None = None
        self._ended: AsyncReranker | None = None

    def _running(self) -> _Running:
        with self._lock:
            if self._ended is not None:
                raise RerankerError(Failure(CLOSED, "this client is closed"))
            if self._started is None:
                self._started = _Running(self._url, self._options)
                _started.add(self._started)
            return self._started

    def _answer(
        self,
        ask: Callable[[AsyncReranker], Coroutine[Any, Any, T]],
        fallen_back: Callable[[Failure], T],
    ) -> T:
        try:
            running = self._running()
        except RerankerError as error:
            return fallen_back(error.failure)
        return running.run(ask(running.client))

    def rerank(
        self, query: str, candidates: Iterable[Candidate], **options: Unpack[RerankOptions]
    ) -> RerankAnswer:
        """The candidates in a better order; `answer.error` says why, where it is the engine's."""
        items = list(candidates)
        return self._answer(
            lambda client: client.rerank(query, items, **options),
            lambda failure: engine_order(listed(items), options.get("top_n"), failure),
        )

    def rerank_batch(
        self,
        requests: Iterable[RerankRequest],
        *,
        deadline: float = BATCH_SECONDS,
        size: int = BATCH,
    ) -> list[RerankAnswer]:
        """Many lists, each answered for itself. size: requests of one call; deadline: of each."""
        asked = list(requests)
        return self._answer(
            lambda client: client.rerank_batch(asked, deadline=deadline, size=size),
            lambda failure: [
                engine_order(listed(one["candidates"]), one.get("top_n"), failure) for one in asked
            ],
        )

    def recommend(self, **options: Unpack[RecommendOptions]) -> RecommendAnswer:
        """Items for a shopper and a page; none where `answer.error` says why."""
        return self._answer(
            lambda client: client.recommend(**options),
            lambda failure: RecommendAnswer([], error=failure),
        )

    def cart(self, **options: Unpack[CartOptions]) -> CartAnswer:
        """What goes with a cart; nothing where `answer.error` says why."""
        return self._answer(
            lambda client: client.cart(**options),
            lambda failure: CartAnswer([], [], error=failure),
        )

    def event(self, type: str, **fields: Unpack[EventFields]) -> bool:
        """Send this in the background; whether it waits to be sent now. It waits for nothing.

        It gets an id and a time where it has none. `counts` and `on_lost` say what became of it.
        """
        with self._lock:
            ended = self._ended
        client = ended or self._running().client
        return client.events.put({"type": type, **fields})

    def send_events(
        self, events: Iterable[Mapping[str, Any]], *, deadline: float = KEEP_SECONDS
    ) -> KeptAnswer:
        """Send these now: accepted are on the service's disk. RerankerError: it cannot be told."""
        running = self._running()
        return running.run(running.client.send_events(events, deadline=deadline))

    def update_items(
        self, items: Iterable[Mapping[str, Any]], *, deadline: float = KEEP_SECONDS
    ) -> KeptAnswer:
        """Change items between two rebuilds: an `id` and the fields that change, null among them.

        Tried again only where it is certain that nothing was done. RerankerError: it cannot be
        told.
        """
        running = self._running()
        return running.run(running.client.update_items(items, deadline=deadline))

    @property
    def counts(self) -> EventCounts:
        """What became of the events that are sent in the background."""
        with self._lock:
            client = self._ended or (self._started and self._started.client)
        return client.counts if client else EventCounts()

    def flush(self, seconds: float = KEEP_SECONDS) -> bool:
        """Whether all events that waited were accounted for within so many seconds."""
        running = self._running()
        return running.run(running.client.flush(seconds))

    def close(self, seconds: float = KEEP_SECONDS) -> None:
        """Send the events that wait, for at most so long; then close the connections."""
        with self._lock:
            running, self._started = self._started, None
            if self._ended is None:
                self._ended = running.client if running else AsyncReranker(self._url)
        if running:
            _started.discard(running)
            running.close(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


_clients: weakref.WeakSet[Reranker] = weakref.WeakSet()
_started: set[_Running] = set()


def _forked() -> None:
    """The parent's threads and connections are not the child's, nor are the events that wait."""
    _started.clear()
    for client in list(_clients):
        client._begin()


def _leave() -> None:
    """Who forgot to close loses no event that can still be sent."""
    for running in list(_started):
        running.close(_AT_EXIT_SECONDS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
atexit.register(_leave)
