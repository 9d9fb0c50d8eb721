"""request_ids.py: a request -> its id, on its answer and in the log, and its count and seconds."""

import logging
import os
import re
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from flask import Flask, Response, request

from service.observability.settings import LogSettings

if TYPE_CHECKING:  # the log is set up before there is anything to count or to rank
    from reranker.ranking.ranking import Ranking
    from reranker.requests import RerankRequest
    from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")

REQUEST_ID: Final = "X-Request-Id"
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE: Final = "0" * 32


class Fields(Protocol):
    """The header fields of a request."""

    def get(self, name: str, /) -> str | None: ...


class RequestFacts:
    """What the log may know of the request that is being answered."""

    __slots__ = ("asked", "id", "ranking", "route", "started", "trace")

    def __init__(self, request_id: str, route: str, trace: str | None = None) -> None:
        self.id, self.route, self.trace = request_id, route, trace
        self.started = time.perf_counter()
        self.asked: RerankRequest | None = None
        self.ranking: Ranking | None = None


answering: Final[ContextVar[RequestFacts | None]] = ContextVar("answering", default=None)


def new_request_id() -> str:
    """16 hex digits."""
    return os.urandom(8).hex()


def sane_id(sent: str | None) -> str | None:
    """The id that was sent, where it is one that can be logged and sent back."""
    return sent if sent and _SANE_ID.fullmatch(sent) else None


def trace_id(traceparent: str | None) -> str | None:
    """The trace of a W3C traceparent header; None where it is none."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None or match[1] == _NO_TRACE or traceparent is None:
        return None
    return None if traceparent.startswith("ff") else match[1]


def register_request_ids(app: Flask, settings: LogSettings, metrics: "Metrics") -> None:
    """Give every request an id, count it, and log a line of it where `logs.access` asks for that.

    Has to be registered before anything else that looks at requests.
    """

    @app.before_request
    def begin() -> None:
        answering.set(facts_of(request.headers, route_of()))
        metrics.began()

    @app.after_request
    def name(answer: Response) -> Response:
        facts = answering.get()
        answer.headers[REQUEST_ID] = facts.id if facts else new_request_id()
        if facts is not None:
            metrics.requests.labels(facts.route, answer.status_code).inc()
            metrics.seconds.labels(facts.route).observe(time.perf_counter() - facts.started)
            if settings.access:
                _log_access(facts, answer)
        return answer

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        answering.set(None)
        metrics.ended()


def facts_of(headers: Fields, route: str) -> RequestFacts:
    """Those of a request that has just come, with the id that it bears or a new one."""
    sent = sane_id(headers.get(REQUEST_ID))
    return RequestFacts(sent or new_request_id(), route, trace_id(headers.get("traceparent")))


def route_of() -> str:
    """The route's pattern, never the address itself: that is a sender's text."""
    return request.url_rule.rule if request.url_rule else "unmatched"


def note_ranking(asked: "RerankRequest", ranking: "Ranking") -> None:
    """Let the lines of this request say what was ranked: counts and names of ours, no ids."""
    facts = answering.get()
    if facts is not None:
        facts.asked, facts.ranking = asked, ranking


def _log_access(facts: RequestFacts, answer: Response) -> None:
    milliseconds = (time.perf_counter() - facts.started) * 1000
    fields: dict[str, Any] = {
        "method": request.method if request.url_rule else "-",
        "status": answer.status_code,
        "ms": round(milliseconds, 2),
    }
    if facts.asked is not None and facts.ranking is not None:
        fields |= _ranked(facts.asked, facts.ranking)
    log.info("request", extra={"fields": fields})


def _ranked(asked: "RerankRequest", ranking: "Ranking") -> dict[str, Any]:
    return {
        "candidates": len(asked.candidates),
        "blend": f"{ranking.blend.name}@{ranking.blend.version}",
        "versions": dict(ranking.versions),
        "degraded": sorted({f"{part.signal}:{part.reason}" for part in ranking.degraded}),
    }
