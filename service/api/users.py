"""users.py: GET and DELETE /users/<id> -> all that is kept of a shopper, or proof that it is gone.

The same as `reranker export` and `reranker forget`; with `?session=true` the id is a session's.
"""

import logging
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from indexes.names import normalised
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.errors import BadRequest, HistoryFailure
from reranker.events.events import HistoryEvent, as_sent
from reranker.feedback.files import rankings_folder
from reranker.feedback.logged_shopper import LoggedShopper
from reranker.histories.histories import Histories, Shopper
from reranker.privacy.forget import ForgetProof
from reranker.pseudonyms.keys import PseudonymKeys
from service.api.sent import name_of
from service.http.answers import ErrorDetail, error_answer, json_answer
from service.live.erasing import Busy, Erasing, NotErased

log = logging.getLogger("reranker")

_FLAG = {"": False, "0": False, "false": False, "1": True, "true": True}


class ExportAnswer(msgspec.Struct, frozen=True):
    """What `GET /users/<id>` answers: events as `POST /events` takes them, and logged rankings,
    each oldest first; attributes: what is known of a user beside them."""

    user: str | None
    session: str | None
    events: list[dict[str, Any]]
    rankings: list[dict[str, Any]]
    attributes: dict[str, Any]


class UnprovedAnswer(msgspec.Struct, frozen=True):
    """What `DELETE /users/<id>` answers when something could not be verified; proof says what."""

    error: ErrorDetail
    proof: ForgetProof


def users_routes(workspace: Workspace, histories: Histories) -> Blueprint:
    """The two routes of one address."""
    routes = Blueprint("users", __name__)
    erasing = Erasing(workspace)

    @routes.get("/users/<path:user>")
    def export_route(user: str) -> Response:
        who = _who(user)
        try:
            exported = export_of(workspace, histories, who)
        except HistoryFailure as failure:
            return _failed(failure, "The history cannot be read now.")
        if not (exported.events or exported.rankings or exported.attributes):
            return _unknown(who)
        return json_answer(exported)

    @routes.delete("/users/<path:user>")
    def erase_route(user: str) -> Response:
        who = _who(user)
        try:
            proof = erasing.erase(who)
        except Busy as busy:
            return _later(error_answer(503, str(busy), busy.code))
        except NotErased as failure:
            return _failed(failure, "Nothing is certified: repeat it.")
        if proof.verified:
            return json_answer(proof) if proof.known else _unknown(who)
        return json_answer(UnprovedAnswer(_unproved(proof), proof), 409)

    return routes


def export_of(workspace: Workspace, histories: Histories, who: Shopper) -> ExportAnswer:
    """All that is kept of a shopper, under the name that was asked for."""
    user, session = _normalised(who.user), _normalised(who.session)
    events: list[HistoryEvent] = []
    for shopper in histories.stored_as(who):
        events += histories.export(*shopper)
    sessions = {event.session for event in events if event.session}
    names = PseudonymKeys(workspace.home).known()
    logged = LoggedShopper(rankings_folder(workspace), names, *who, sessions=sessions)
    rows = [
        as_sent(msgspec.structs.replace(event, user=user, session=session or event.session))
        for event in events
    ]
    attributes = Attributes(workspace.home).of(who.user)
    return ExportAnswer(user, session, rows, list(logged.lines()), attributes)


def _who(user: str) -> Shopper:
    """Whose id the address holds. BadRequest for one that nobody can have."""
    sent = request.args.get("session", "").lower()
    if sent not in _FLAG:
        raise BadRequest(f"session is {sent[:80]!r}; true or false is expected.", field="session")
    field = "session" if _FLAG[sent] else "user"
    if name_of(field, user) is None:
        raise BadRequest(f"{field} is empty.", field=field)
    return Shopper(None, user) if _FLAG[sent] else Shopper(user, None)


def _normalised(name: str | None) -> str | None:
    return None if name is None else normalised(name)


def _unproved(proof: ForgetProof) -> ErrorDetail:
    """What is deleted, and what keeps it from being certified."""
    searched = proof.searched
    reasons = [f"the same characters are also in {where}" for where in searched.found]
    reasons += [f"{where} {why}" for where, why in searched.unread.items()]
    if not reasons:
        reasons.append("events came while they were deleted")
    return ErrorDetail(
        "not_verified",
        f"{proof.events:,} events, {proof.sessions:,} sessions and {proof.rankings:,} logged "
        f"rankings are deleted, but not everything could be verified: {'; '.join(reasons[:10])}. "
        "Mend or delete these files and send it again.",
    )


def _unknown(who: Shopper) -> Response:
    kind, other = ("session", "without") if who.user is None else ("user", "with")
    message = f"No event and no ranking of this {kind} is kept; try {other} ?session=true."
    return error_answer(404, message, "unknown_user")


def _failed(failure: HistoryFailure | NotErased, message: str) -> Response:
    log.error("%s", failure)
    answer = error_answer(503, f"{message} The log has the reason.", failure.code)
    return _later(answer)


def _later(answer: Response) -> Response:
    answer.headers["Retry-After"] = "1"
    return answer
