"""next_action_api.py: POST /next-action -> the chances of what this shopper does next."""

import logging
import time
from functools import partial
from typing import Final

import msgspec
from flask import Blueprint, Response

from reranker.breakers import Unavailable
from reranker.budget import Left
from reranker.columns import Missing
from reranker.events import HistoryEvent
from reranker.next_action import NextAction
from reranker.pasts import shopper_events
from reranker.query_vectors import QueryVectors
from reranker.requests import Event, RerankRequest, Time
from reranker.scenes import now_of
from reranker.state import ServedState
from reranker.timely import TooLate
from service.answers import json_answer
from service.arrivals import arrival, deadline_of
from service.bodies import read_body
from service.limits import LimitSettings
from service.reload import Served
from service.rerank_requests import checked_request, decoded


class NextActionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /next-action` takes; history replaces the stored one."""

    user: str | None = None
    session: str | None = None
    history: list[Event] | None = None
    time: Time | None = None


log = logging.getLogger("reranker")
_decoder: Final = msgspec.json.Decoder(NextActionRequest)


class NextActionAnswer(msgspec.Struct, frozen=True):
    """actions: chances from 0 to 1; empty where degraded says why."""

    actions: dict[str, float]
    versions: dict[str, str | None]
    degraded: list[dict[str, str]]


def next_action_routes(served: Served, limits: LimitSettings) -> Blueprint:
    """The route."""
    routes = Blueprint("next_action", __name__)

    @routes.post("/next-action")
    def next_action_route() -> Response:
        deadline = deadline_of(arrival(), served.budget_ms)
        state = served.state  # read once: one answer never mixes two versions
        asked = read_shopper(read_body(limits.body_bytes), limits)
        learned = state.personal.learned
        foreseen = learned.next_action if learned else None
        reason = ""
        actions: dict[str, float] = {}
        if foreseen is None:
            reason = "too_few_visits" if learned else state.personal.reason
        else:
            try:
                actions, reason = served.timely.run(
                    lambda: _answered(foreseen, asked, state), deadline
                )
            except TooLate as late:
                reason = late.reason
        degraded = [{"signal": "next_action", "reason": reason}] if reason else []
        return json_answer(NextActionAnswer(actions, state.versions, degraded))

    return routes


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


def read_shopper(body: bytes, limits: LimitSettings) -> RerankRequest:
    """Who is asked about, as a search without candidates: both are checked alike."""
    asked = decoded(_decoder, body)
    request = RerankRequest(
        [], user=asked.user, session=asked.session, history=asked.history, time=asked.time
    )
    return checked_request(request, limits)
