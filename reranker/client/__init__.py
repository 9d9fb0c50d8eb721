"""A client of the service for search backends in Python: it imports nothing of ours, needs httpx
alone, and works as a folder that is copied.

    from reranker.client import Reranker

    reranker = Reranker("http://127.0.0.1:8000", key="...")
    answer = reranker.rerank("red shoes", hits, user="u1")  # ids, or {"id", "score", "text"}
    page = answer.applied_to(hits)  # the engine's order where anything failed: answer.error
    reranker.event("view", item="17", user="u1", ranking=answer.id, position=1)

`AsyncReranker` is the same for asyncio.
"""

from .answers import (
    CartAnswer,
    KeptAnswer,
    RecommendAnswer,
    Recommended,
    Rejected,
    RerankAnswer,
    Result,
)
from .async_client import AsyncReranker
from .bodies import (
    Candidate,
    CartOptions,
    ClientOptions,
    Event,
    EventFields,
    RecommendOptions,
    RerankOptions,
    RerankRequest,
)
from .event_queue import EventCounts
from .failures import Failure, RerankerError
from .sync_client import Reranker

__all__ = [
    "AsyncReranker",
    "Candidate",
    "CartAnswer",
    "CartOptions",
    "ClientOptions",
    "Event",
    "EventCounts",
    "EventFields",
    "Failure",
    "KeptAnswer",
    "RecommendAnswer",
    "RecommendOptions",
    "Recommended",
    "Rejected",
    "RerankAnswer",
    "RerankOptions",
    "RerankRequest",
    "Reranker",
    "RerankerError",
    "Result",
]
