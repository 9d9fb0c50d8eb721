"""health.py: is the process alive, can it re-rank, what has it done -> /livez /readyz /metrics."""

import logging

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from indexes.errors import Failure
from service.http.answers import error_answer, json_answer
from service.live.draining import draining
from service.live.reload import Served, check_canary
from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")


def health_routes(served: Served, metrics: Metrics) -> Blueprint:
    """What a load balancer and Prometheus ask."""
    routes = Blueprint("health", __name__)

    @routes.get("/livez")
    def livez() -> Response:
        return json_answer({"status": "alive"})

    @routes.get("/readyz")
    def readyz() -> Response:
        return readiness(served)

    @routes.get("/metrics")
    def metrics_route() -> Response:
        return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    return routes


def readiness(served: Served) -> Response:
    """200 where a few of the index's own items were re-ranked just now, else 503 and why."""
    state = served.state
    if draining():
        return error_answer(503, "The service is about to stop.", "draining")
    try:
        ranking = check_canary(state, served.ranker)
    except Failure as failure:
        return error_answer(503, str(failure))
    except Exception:
        log.exception("not ready")
        return error_answer(503, "Re-ranking the index's own items failed; see the log.")
    return json_answer(
        {
            "status": "ready",
            "versions": ranking.versions,
            "blend": ranking.blend,
            "items": len(state.index),
        }
    )
