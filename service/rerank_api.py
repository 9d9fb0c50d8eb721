"""rerank_api.py: POST /rerank -> the core's ranking as JSON; at worst the engine's own order."""

import secrets
import time

import msgspec
from flask import Blueprint, Response

from reranker.ranking import BlendName, Degraded, Ranked, Ranking
from reranker.ranking_log import RankingLog
from reranker.requests import RerankRequest
from reranker.shadows import Shadows
from reranker.stages import Stages
from service.answers import json_answer
from service.arrivals import arrival, deadline_of
from service.bodies import read_body
from service.limits import LimitSettings
from service.metrics import Metrics
from service.reload import Served
from service.request_ids import note_ranking
from service.rerank_requests import read_request


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
    limits: LimitSettings,
    metrics: Metrics,
    rankings: RankingLog,
    shadows: Shadows,
) -> Blueprint:
    """The route that a search backend calls."""
    routes = Blueprint("rerank", __name__)

    @routes.post("/rerank")
    def rerank_route() -> Response:
        started = arrival()
        state = served.state  # read once: one answer never mixes two versions
        stages = Stages()
        with stages("read"):
            asked = read_request(read_body(limits.body_bytes), limits)
        ranking = served.timely.rerank(asked, state, deadline(asked, started), stages)
        note_ranking(asked, ranking)
        with stages("write"):
            answer = answer_of(ranking, started)
            rankings.add(answer.id, asked, ranking)
            shadows.offer(answer.id, asked, ranking, state)
            sent = json_answer(answer)
        metrics.note_ranking(asked, ranking, stages)
        return sent

    def deadline(asked: RerankRequest, started: float) -> float:
        return deadline_of(started, asked.budget_ms or served.budget_ms)

    return routes


def answer_of(ranking: Ranking, started: float) -> RerankAnswer:
    """A ranking with its own id; started: `time.perf_counter()` at the request's arrival."""
    return RerankAnswer(
        id=ranking_id(),
        results=ranking.results,
        blend=ranking.blend,
        versions=ranking.versions,
        degraded=ranking.degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
    )


def ranking_id() -> str:
    """32 hex digits, unique, and in the order of time like a UUID of version 7."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
