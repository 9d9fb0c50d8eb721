"""churn.py: GET /users/<id>/churn -> the chance that this user buys nothing soon, and why."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from flask import Blueprint, Response, request

from indexes.times import BadTime, TimeReader, TimeSettings
from reranker.applications.churn.churn import (
    MAX_DAYS,
    NO_MODEL,
    ChurnAnswer,
    ChurnCard,
    after,
    churn_of,
    load_churn,
    unknown,
)
from reranker.errors import BadRequest
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Histories
from reranker.ranking.deadlines import TooLate
from reranker.ranking.state import ServedState
from reranker.runtime.budget import Left
from reranker.runtime.refreshed import Refreshed
from service.api.sent import name_of
from service.http.answers import json_answer
from service.http.received import arrival, deadline_of
from service.live.reload import Served

log = logging.getLogger("reranker")

DAYS: Final = 30.0
_PARAMETERS: Final = ("days", "as_of")
_WAIT_SECONDS: Final = 0.5  # for the newest stored event, of whom no request waits for
_FRESH_SECONDS: Final = 60.0  # after which the newest stored event is looked for anew


class ChurnForecast:
    """What answers GET /users/<id>/churn, for whoever else asks in this process, too."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._newest = Refreshed(served.histories.newest_time, "newest event", _FRESH_SECONDS)

    def newest(self) -> float | None:
        """When the newest stored event of all was, as far as that is known by now."""
        return self._newest(time.perf_counter() + _WAIT_SECONDS)

    def answer(
        self,
        user: str,
        days: float = DAYS,
        as_of: float | None = None,
        history: Sequence[HistoryEvent] | None = None,
        budget_ms: float | None = None,
    ) -> ChurnAnswer:
        """By the deadline of the request that this thread answers. history: instead of the stored
        one, oldest first; it goes with as_of."""
        served = self._served
        deadline = deadline_of(arrival(), budget_ms or served.budget_ms)
        state = served.state

        def work() -> ChurnAnswer:
            newest = partial(self._newest, deadline)
            return _answered(user, days, as_of, state, served.histories, newest, history)

        try:
            return served.ranker.run(work, deadline)
        except TooLate as late:
            return unknown(user, days, late.reason, "There was not enough time.")


def churn_routes(forecast: ChurnForecast, times: TimeSettings) -> Blueprint:
    """The route."""
    routes = Blueprint("churn", __name__)

    @routes.get("/users/<user>/churn")
    def churn_route(user: str) -> Response:
        days, as_of = _parameters(times)
        name = name_of("user", user)
        if name is None:
            raise BadRequest("The user's id is empty.", field="user")
        return json_answer(forecast.answer(name, days, as_of))

    return routes


def _parameters(times: TimeSettings) -> tuple[float, float | None]:
    """days and as_of of the address; BadRequest names what is wrong."""
    for name in request.args:
        if name not in _PARAMETERS:
            raise BadRequest(
                f"{name!r} is no parameter; days and as_of are allowed.", field=name[:80]
            )
    text = request.args.get("days", str(DAYS))
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days <= MAX_DAYS:
        raise BadRequest(
            f"days is {text[:80]!r}; a number above 0 and up to {MAX_DAYS:g} is allowed.",
            field="days",
        )
    as_of = request.args.get("as_of")
    if as_of is None:
        return days, None
    try:
        return days, TimeReader(times).read(as_of, "as_of").seconds
    except BadTime as error:
        raise BadRequest(f"{error}.", field="as_of") from None


def _answered(
    user: str,
    days: float,
    as_of: float | None,
    state: ServedState,
    histories: Histories,
    newest: Callable[[], float | None],
    history: Sequence[HistoryEvent] | None,
) -> ChurnAnswer:
    """Whatever fails is said in the answer."""
    learned = state.personal.learned
    if learned is None:
        return unknown(user, days, state.personal.reason, "No trained model is served.")
    try:
        card = load_churn(learned.model.folder)
        if card is None:
            message = (
                "Too few purchases were kept when the model was trained: import more, and run "
                "`reranker train` again."
            )
            return unknown(user, days, NO_MODEL, message)
        if history is not None and as_of is not None:
            return churn_of(user, card, history[-card.user_events :], as_of, days)
        return _scored(user, days, as_of, card, histories, newest)
    except Left:
        raise
    except Exception:
        log.exception("who leaves cannot be foreseen")
        return unknown(user, days, "internal_error", "The service's log has the reason.")


def _scored(
    user: str,
    days: float,
    as_of: float | None,
    card: ChurnCard,
    histories: Histories,
    newest: Callable[[], float | None],
) -> ChurnAnswer:
    """By the newest events before now, which is never before the user's own newest; where the
    newest of all is not known in time, that of the training counts."""
    events = histories.recent(user, None, card.user_events, as_of)
    if as_of is not None:
        return churn_of(user, card, events, as_of, days)
    latest = [event.time for event in events[-1:]]
    now = max([newest() or card.newest, *latest])
    return churn_of(user, card, events, after(now), days)
