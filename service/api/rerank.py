"""rerank.py: POST /rerank -> the core's ranking as JSON; at worst the engine's own order."""

import secrets
import time
from collections.abc import Callable
from math import inf

import msgspec
from flask import Blueprint, Response

from reranker.experiments.shadows import Shadows
from reranker.feedback.log import RankingLog
from reranker.ranking.ranking import BlendName, Degraded, Ranked, Ranking
from reranker.runtime.budget import Stages
from service.api.requests import RequestReader
from service.http.answers import JSON, encoded
from service.http.received import arrival, deadline_of, read_body
from service.http.settings import LimitSettings
from service.live.reload import Served
from service.observability.prometheus import Metrics
from service.observability.request_ids import note_ranking


class RerankAnswer(msgspec.Struct, frozen=True):
    """What `POST /rerank` answers."""

    id: str
    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]
    took_ms: float


class Answering:
    """A body of POST /rerank -> its answer as JSON: ranked, logged, offered to shadows, counted."""

    def __init__(
        self,
        served: Served,
        reader: RequestReader,
        metrics: Metrics,
        rankings: RankingLog,
        shadows: Shadows,
    ) -> None:
        self._served, self._reader, self._metrics = served, reader, metrics
        self._rankings, self._shadows = rankings, shadows

    def __call__(self, read: Callable[[], bytes], started: float, before: float = inf) -> bytes:
        """The answer, encoded. Raises the Failures of a request that cannot be ranked.

        started, before: when the request came, and when it has to be answered whatever its budget
        says; both on `time.perf_counter`.
        """
        served = self._served
        state = served.state  # read once: one answer never mixes two versions
        stages = Stages()
        with stages("read"):
            sent = self._reader.read(read())
            asked = sent.request
        deadline = deadline_of(started, asked.budget_ms or served.budget_ms)
        ranking = served.ranker.rerank(asked, state, min(deadline, before), stages)
        if sent.cut:  # what was shortened before it was read
            ranking = msgspec.structs.replace(ranking, degraded=[*ranking.degraded, *sent.cut])
        note_ranking(asked, ranking)
        with stages("write"):
            answer = answer_of(ranking, started, sent.sent_ids)
            self._rankings.add(answer.id, asked, ranking)
            self._shadows.offer(answer.id, asked, ranking, state)
            written = encoded(answer)
        self._metrics.note_ranking(asked, ranking, stages)
        return written


def rerank_routes(answering: Answering, limits: LimitSettings) -> Blueprint:
    """The route that a search backend calls."""
    routes = Blueprint("rerank", __name__)

    @routes.post("/rerank")
    def rerank_route() -> Response:
        answer = answering(lambda: read_body(limits.body_bytes), arrival())
        return Response(answer, content_type=JSON)

    return routes


def answer_of(ranking: Ranking, started: float, sent_ids: list[str] | None = None) -> RerankAnswer:
    """A ranking with its own id; started: `time.perf_counter()` at the request's arrival.

    sent_ids: as the caller wrote them, who finds the items again by these.
    """
    results = ranking.results
    if sent_ids is not None:
        results = [msgspec.structs.replace(item, id=sent_ids[item.index]) for item in results]
    return RerankAnswer(
        id=ranking_id(),
        results=results,
        blend=ranking.blend,
        versions=ranking.versions,
        degraded=ranking.degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
    )


def ranking_id() -> str:
    """32 hex digits, unique, and in the order of time like a UUID of version 7."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
