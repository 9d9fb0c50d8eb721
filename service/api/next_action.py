"""next_action.py: POST /next-action -> the chances of what this shopper does next."""

import logging
import time
from functools import partial

import msgspec
from flask import Blueprint, Response

from reranker.events.events import HistoryEvent
from reranker.model.card import ACTIONS, LEAVE
from reranker.model.next_action import NextAction, lacking
from reranker.ranking.deadlines import TooLate
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.runtime.budget import Left, Unavailable
from reranker.runtime.caches import QueryVectors
from reranker.signals.columns import Missing
from reranker.signals.context import now_of
from reranker.signals.user_history import shopper_events
from service.api.requests import RequestReader
from service.http.answers import json_answer
from service.http.received import arrival, deadline_of, read_body
from service.http.settings import LimitSettings
from service.live.reload import Served

log = logging.getLogger("reranker")


class NextActionAnswer(msgspec.Struct, frozen=True):
    """actions: chances from 0 to 1; empty where degraded says why.

    model: what foresaw them: `sequence`, or `logistic` on recency and counts, whichever was better
    in training; null without any.
    """

    actions: dict[str, float]
    versions: dict[str, str | None]
    degraded: list[dict[str, str]]
    model: str | None


class NextActions:
    """What answers POST /next-action, for whoever else asks in this process, too."""

    def __init__(self, served: Served, reader: RequestReader) -> None:
        self._served, self._reader = served, reader

    def answer(self, body: bytes, budget_ms: float | None = None) -> NextActionAnswer:
        """By the deadline of the request that this thread answers. Malformed, BadRequest."""
        served = self._served
        deadline = deadline_of(arrival(), budget_ms or served.budget_ms)
        state = served.state  # read once: one answer never mixes two versions
        asked = self._reader.read_shopper(body)
        learned = state.personal.learned
        foreseen = learned.next_action if learned else None
        reason = ""
        actions: dict[str, float] = {}
        degraded: list[dict[str, str]] = []
        if foreseen is None:
            reason = _nothing_learned(state)
        else:
            degraded = _never_seen(foreseen)
            try:
                actions, reason = served.ranker.run(
                    lambda: _answered(foreseen, asked, state), deadline
                )
            except TooLate as late:
                reason = late.reason
        if reason:
            degraded = [{"signal": "next_action", "reason": reason}]
        model = None
        if foreseen is not None and actions:
            model = "sequence" if foreseen.card.vector else "logistic"
        return NextActionAnswer(actions, state.versions, degraded, model)


def next_action_routes(foreseeing: NextActions, limits: LimitSettings) -> Blueprint:
    """The route."""
    routes = Blueprint("next_action", __name__)

    @routes.post("/next-action")
    def next_action_route() -> Response:
        return json_answer(foreseeing.answer(read_body(limits.body_bytes)))

    return routes


def _nothing_learned(state: ServedState) -> str:
    """Why no next action can be foreseen by what is served."""
    learned = state.personal.learned
    if learned is None:
        return state.personal.reason
    return "too_few_visits"


def _never_seen(foreseen: NextAction) -> list[dict[str, str]]:
    """Which actions are left out because training had no event of theirs, and what mends it."""
    return [
        {
            "signal": "next_action",
            "reason": f"no_{action}s",
            "message": f"{lacking(action, foreseen.card.types)} Then run `reranker train` again.",
        }
        for action in ACTIONS
        if action != LEAVE and action not in foreseen.card.possible
    ]


def _answered(
    foreseen: NextAction, asked: RerankRequest, state: ServedState
) -> tuple[dict[str, float], str]:
    """The chances, or why there are none."""
    now = partial(now_of, asked.time, asked.history, time.time)
    events = shopper_events(asked, now, state.personal)
    if isinstance(events, Missing):
        return {}, events.reason
    return _foreseen(foreseen, events, state.query_vectors)


def _foreseen(
    foreseen: NextAction, events: list[HistoryEvent], query_vectors: QueryVectors
) -> tuple[dict[str, float], str]:
    """The chances after these events, or why there are none."""
    known = [event for event in events if event.type in foreseen.card.types]
    if not known:
        return {}, "unknown_history"
    try:
        return foreseen(known, query_vectors), ""
    except Left:
        raise
    except Unavailable as unavailable:
        return {}, unavailable.reason
    except Exception:  # as a signal that fails in /rerank
        log.exception("the next action cannot be foreseen")
        return {}, "internal_error"
