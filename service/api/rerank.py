"""rerank.py: POST /rerank -> the core's ranking as JSON; at worst the engine's own order."""

import secrets
import time

import msgspec
from flask import Blueprint, Response

from reranker.experiments.shadows import Shadows
from reranker.feedback.log import RankingLog
from reranker.ranking.ranking import BlendName, Degraded, Ranked, Ranking
from reranker.requests import RerankRequest
from reranker.runtime.budget import Stages
from service.api.requests import RequestReader
from service.http.answers import json_answer
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


def rerank_routes(
    served: Served,
    reader: RequestReader,
    limits: LimitSettings,
    metrics: Metrics,
    rankings: RankingLog,
    shadows: Shadows,
) -> Blueprint:
    """The route that a search backend calls."""
    routes = Blueprint("rerank", __name__)

    @routes.post("/rerank")
    def rerank_route() -> Response:
        state = served.state  # read once: one answer never mixes two versions
        stages = Stages()
        with stages("read"):
            started = arrival()
            sent = reader.read(read_body(limits.body_bytes))
            asked = sent.request
        ranking = served.ranker.rerank(asked, state, deadline(asked, started), stages)
        if sent.cut:  # what was shortened before it was read
            ranking = msgspec.structs.replace(ranking, degraded=[*ranking.degraded, *sent.cut])
        note_ranking(asked, ranking)
        with stages("write"):
            answer = answer_of(ranking, started, sent.sent_ids)
            rankings.add(answer.id, asked, ranking)
            shadows.offer(answer.id, asked, ranking, state)
            written = json_answer(answer)
        metrics.note_ranking(asked, ranking, stages)
        return written

    def deadline(asked: RerankRequest, started: float) -> float:
        return deadline_of(started, asked.budget_ms or served.budget_ms)

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
