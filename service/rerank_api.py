"""rerank_api.py: POST /rerank -> the core's ranking as JSON; at worst the engine's own order."""

import logging
import secrets
import time

import msgspec
from flask import Blueprint, Response

from reranker.errors import BadRequest, UnknownBlend
from reranker.explanations import Explanation, SignalExplanation
from reranker.ranking import BlendName, Degraded, Ranked, Ranking, rerank
from reranker.ranking_log import RankingLog
from reranker.requests import RerankRequest
from reranker.shadows import Shadows
from reranker.stages import Stages
from reranker.state import ServedState
from service.answers import json_answer
from service.bodies import read_body
from service.limits import LimitSettings
from service.metrics import Metrics
from service.reload import Served
from service.request_ids import note_ranking
from service.rerank_requests import read_request

log = logging.getLogger("reranker")


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
        started = time.perf_counter()
        state = served.state  # read once: one answer never mixes two versions
        stages = Stages()
        with stages("read"):
            asked = read_request(read_body(limits.body_bytes), limits)
        ranking = never_worse(asked, state, stages)
        note_ranking(asked, ranking)
        with stages("write"):
            answer = answer_of(ranking, started)
            rankings.add(answer.id, asked, ranking)
            shadows.offer(answer.id, asked, ranking, state)
            sent = json_answer(answer)
        metrics.note_ranking(asked, ranking, stages)
        return sent

    return routes


def never_worse(asked: RerankRequest, state: ServedState, stages: Stages | None = None) -> Ranking:
    """The core's ranking, or the engine's order when the core fails in a way nobody foresaw.

    BadRequest and UnknownBlend are the caller's to mend and go through.
    """
    try:
        return rerank(asked, state, stages)
    except (BadRequest, UnknownBlend):
        raise
    except Exception:
        log.exception("re-ranking failed; the engine's order was answered")
        return engine_order(asked, state)


def engine_order(asked: RerankRequest, state: ServedState) -> Ranking:
    """The candidates as they came; the score is minus the place, so that its order is theirs."""
    results = [
        Ranked(candidate.id, index, index + 1, score, _explained(score) if asked.explain else None)
        for index, candidate in enumerate(asked.candidates[: asked.top_n])
        for score in (-float(index),)
    ]
    return Ranking(
        results=results,
        blend=BlendName(state.published.name, state.published_version),
        versions=state.versions,
        degraded=[Degraded("all", "internal_error")],
    )


def _explained(score: float) -> Explanation:
    alone = SignalExplanation(weight=1.0, normalised=score, contribution=score, raw=score)
    return Explanation({"engine": score}, {"engine": alone}, moved=0)


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
