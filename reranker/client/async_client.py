"""async_client.py: what a shop asks and tells -> the service's answers, for asyncio.

A search is always answered: where the service is not there, late, or answers nonsense, by the
engine's own order. Recommendations and carts are then empty. What has to be kept, and is not,
raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, Unpack

from .answers import (
    CartAnswer,
    KeptAnswer,
    RecommendAnswer,
    RerankAnswer,
    batch_answers,
    cart_answer,
    engine_order,
    kept_answer,
    recommend_answer,
    rerank_answer,
)
from .bodies import (
    Candidate,
    CartOptions,
    ClientOptions,
    EventFields,
    Listed,
    RecommendOptions,
    RerankOptions,
    RerankRequest,
    encoded,
    listed,
    rerank_body,
    sent,
)
from .calls import Calls
from .event_queue import EventCounts, identified
from .event_sender import EventSender
from .failures import Failure, RerankerError, failure_of

URL: Final = "http://127.0.0.1:8000"
SEARCH_SECONDS: Final = 1.0
BATCH_SECONDS: Final = 10.0
KEEP_SECONDS: Final = 10.0
BATCH: Final = 100  # limits.batch of the service, where nobody changed it
_QUEUE: Final = 10_000
_EVENT_RETRIES: Final = 2


class AsyncReranker:
    """A client for one service and one event loop. url: with a path, where a proxy needs one.

    `async with` closes it, and with it sends the events that wait.
    """

    def __init__(self, url: str = URL, **options: Unpack[ClientOptions]) -> None:
        self._calls = Calls(
            url, options.get("key"), options.get("headers"), options.get("verify", True)
        )
        self._deadline = options.get("deadline", SEARCH_SECONDS)
        self._retries = options.get("retries", 1)
        self.events = EventSender(
            self._post_events, options.get("queue_events", _QUEUE), options.get("on_lost")
        )

    async def rerank(
        self, query: str, candidates: Iterable[Candidate], **options: Unpack[RerankOptions]
    ) -> RerankAnswer:
        """The candidates in a better order; `answer.error` says why, where it is the engine's."""
        items, top_n = listed(candidates), options.get("top_n")
        try:
            payload = await self._search("/rerank", rerank_body(query, items, options), options)
            return rerank_answer(payload, items, top_n)
        except RerankerError as error:
            return engine_order(items, top_n, error.failure)

    async def rerank_batch(
        self,
        requests: Iterable[RerankRequest],
        *,
        deadline: float = BATCH_SECONDS,
        size: int = BATCH,
    ) -> list[RerankAnswer]:
        """Many lists, each answered for itself. size: requests of one call; deadline: of each."""
        asked = list(requests)
        parts = [asked[start : start + size] for start in range(0, len(asked), size)]
        return [answer for part in parts for answer in await self._part(part, deadline)]

    async def _part(self, requests: Sequence[RerankRequest], deadline: float) -> list[RerankAnswer]:
        lists = [listed(request["candidates"]) for request in requests]
        bodies = [
            rerank_body(request["query"], items, request)
            for request, items in zip(requests, lists, strict=True)
        ]
        readers = [
            _Reader(items, request.get("top_n"))
            for request, items in zip(requests, lists, strict=True)
        ]
        try:
            payload = await self._search(
                "/rerank/batch", {"requests": bodies}, {"deadline": deadline}
            )
            return batch_answers(payload, readers)
        except RerankerError as error:
            return [reader.fallen_back(error.failure) for reader in readers]

    async def recommend(self, **options: Unpack[RecommendOptions]) -> RecommendAnswer:
        """Items for a shopper and a page; none where `answer.error` says why."""
        try:
            return recommend_answer(await self._search("/recommend", sent(options), options))
        except RerankerError as error:
            return RecommendAnswer([], error=error.failure)

    async def cart(self, **options: Unpack[CartOptions]) -> CartAnswer:
        """What goes with a cart; nothing where `answer.error` says why."""
        try:
            return cart_answer(await self._search("/cart", sent(options), options))
        except RerankerError as error:
            return CartAnswer([], [], error=error.failure)

    def event(self, type: str, **fields: Unpack[EventFields]) -> bool:
        """Send this in the background; whether it waits to be sent now. Never raises.

        It gets an id and a time where it has none. `counts` and `on_lost` say what became of it.
        """
        self.events.start()
        return self.events.put({"type": type, **fields})

    async def send_events(
        self, events: Iterable[Mapping[str, Any]], *, deadline: float = KEEP_SECONDS
    ) -> KeptAnswer:
        """Send these now: accepted are on the service's disk. RerankerError: it cannot be told."""
        rows = [identified(event) for event in events]
        return await self._post_events(encoded(rows), len(rows), deadline)

    async def update_items(
        self, items: Iterable[Mapping[str, Any]], *, deadline: float = KEEP_SECONDS
    ) -> KeptAnswer:
        """Change items between two rebuilds: an `id` and the fields that change, null among them.

        Tried again only where it is certain that nothing was done: else an older price could
        overtake a newer one. RerankerError: it cannot be told.
        """
        rows = list(items)
        payload = await self._calls.post(
            "/items", encoded(rows), deadline=deadline, retries=_EVENT_RETRIES, repeatable=False
        )
        return kept_answer(payload, len(rows))

    @property
    def counts(self) -> EventCounts:
        """What became of the events that are sent in the background."""
        return self.events.counts

    async def flush(self, seconds: float = KEEP_SECONDS) -> bool:
        """Whether all events that waited were accounted for within so many seconds."""
        return await self.events.flush(seconds)

    async def close(self, seconds: float = KEEP_SECONDS) -> None:
        """Send the events that wait, for at most so long; then close the connections."""
        await self.events.close(seconds)
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        await self.close()

    async def _search(self, path: str, body: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Searches change nothing that a later answer depends on: they may be asked again."""
        deadline = options.get("deadline")
        return await self._calls.post(
            path,
            encoded(body),
            deadline=self._deadline if deadline is None else deadline,
            retries=self._retries,
            repeatable=True,
            tell_deadline=True,
        )

    async def _post_events(
        self, body: bytes, count: int, deadline: float = KEEP_SECONDS
    ) -> KeptAnswer:
        """All of them have ids: what arrives twice counts once."""
        payload = await self._calls.post(
            "/events", body, deadline=deadline, retries=_EVENT_RETRIES, repeatable=True
        )
        return kept_answer(payload, count)


class _Reader:
    """One request's part of the answer to a batch."""

    def __init__(self, items: Listed, top_n: int | None) -> None:
        self._items, self._top_n = items, top_n

    def __call__(self, payload: Any) -> RerankAnswer:
        if isinstance(payload, dict) and "error" in payload:
            return self.fallen_back(failure_of(200, {}, encoded(payload)))
        try:
            return rerank_answer(payload, self._items, self._top_n)
        except RerankerError as error:
            return self.fallen_back(error.failure)

    def fallen_back(self, failure: Failure) -> RerankAnswer:
        """The engine's order."""
        return engine_order(self._items, self._top_n, failure)
