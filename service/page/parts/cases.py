"""cases.py: what is set in the Search tab -> the request that a shop would send; its history."""

import time
from typing import Any, Final

import msgspec

from reranker.errors import BadRequest
from reranker.evaluation.leakage import Leaks, refused
from reranker.evaluation.requests import rerank_request
from reranker.events.events import HistoryEvent
from reranker.ranking.state import ServedState
from reranker.requests import Event, RerankRequest
from reranker.signals.user_history import shopper_events
from reranker.times import seconds_of
from service.page.parts.context import Page

OWN: Final = "as in the request"  # in the user picker: the request's own shopper


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Search tab's fields. history: the edited one; None where nobody edited it."""

    query: str = ""
    set: str | None = None
    request: str | None = None
    user: str = ""
    history: list[Event] | None = None
    blend: str | None = None


def case_of(values: dict[str, Any]) -> Case:
    """The fields as the browser sent them; BadRequest for what cannot be meant."""
    try:
        return msgspec.convert(values, Case)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}.") from None


def request_of(case: Case, page: Page) -> tuple[RerankRequest, dict[str, float]]:
    """The request, and its set's ratings of the query.

    It has the demo engine's candidates, or is one of a set with another query or user; with other
    words the set's ratings say nothing.
    """
    ratings: dict[str, float] = {}
    if case.set and case.request:
        judged = page.sets.request(case.set, case.request)
        request = rerank_request(judged)
        if case.query and case.query != request.query:
            request = msgspec.structs.replace(request, query=case.query)
        else:
            ratings = dict(judged.ratings)
    else:
        request = RerankRequest(page.engine.search(case.query), case.query)
    asked = msgspec.structs.replace(
        request, blend=case.blend or None, explain=True, **_shopper(case)
    )
    return page.reader.checked(asked), ratings


def leaks_of(case: Case, page: Page) -> list[str]:
    """Why `reranker evaluate` refuses this request of a set, or what else it says of it (DESIGN's
    invariant 7): the model may know the answers."""
    if not case.set or not case.request:
        return []
    state = page.state
    leaks = Leaks(state, [state.blend(case.blend or None)[0]], allowed=False)
    leaks.refuses(page.sets.request(case.set, case.request))
    return [*refused(leaks.by_reason, "request"), *leaks.warnings()]


def _shopper(case: Case) -> dict[str, Any]:
    if case.history is not None:
        return {"user": None, "session": None, "history": case.history}
    if case.user == OWN and case.request:
        return {}
    user = None if case.user in ("", OWN) else case.user
    return {"user": user, "session": None, "history": None}


def now_of(request: RerankRequest) -> float:
    """The moment from which ages are counted."""
    return time.time() if request.time is None else seconds_of(request.time)


def history_of(request: RerankRequest, state: ServedState) -> list[HistoryEvent]:
    """The events that count for this request, oldest first."""
    now = now_of(request)
    events = shopper_events(request, lambda: now, state.personal)
    return events if isinstance(events, list) else []
