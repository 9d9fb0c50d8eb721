"""rerank_requests.py: body of POST /rerank -> RerankRequest, or what is wrong with it and where."""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from reranker.errors import BadRequest
from reranker.requests import Candidate, Event, RerankRequest
from reranker.times import epoch_seconds
from service.answers import Malformed
from service.limits import MAX_DEPTH, MAX_NAME, LimitSettings

T = TypeVar("T")
_decoder: Final = msgspec.json.Decoder(RerankRequest)
_PATH: Final = re.compile(r" - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_NAMED: Final = re.compile(r"(?:unknown|required) field `(?P<name>.*)`$", re.DOTALL)
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_SCANNED: Final = 65_536  # bytes of a refused body in which too deep nesting is looked for
_SHOWN: Final = 80


def read_request(body: bytes, limits: LimitSettings) -> RerankRequest:
    """The typed request. Raises Malformed, or BadRequest with the field.

    Nothing is built for what the format does not know: decoding stops at the first value of a
    wrong type, so deep or huge nonsense costs no more than reading up to it.
    """
    return checked_request(decoded(_decoder, body), limits)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body as this type; Malformed, or BadRequest with the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_depth(body)
        raise _invalid(str(error), body) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None


def checked_request(request: RerankRequest, limits: LimitSettings) -> RerankRequest:
    """The same request; BadRequest where it asks for more than is allowed, or for nonsense."""
    _check_limits(request, limits)
    _check_candidates(request.candidates, limits)
    _check_history(request.history or (), limits)
    if request.time is not None:
        request = msgspec.structs.replace(request, time=epoch_seconds(request.time))
    return request


def _refuse_depth(body: bytes) -> None:
    depth = 0
    for match in _BRACKETS.finditer(body[:_SCANNED]):
        token = match.group()
        depth += token in (b"[", b"{")
        depth -= token in (b"]", b"}")
        if depth > MAX_DEPTH:
            raise Malformed(f"The body is nested more than {MAX_DEPTH} deep.")


def _invalid(message: str, body: bytes) -> BadRequest:
    """msgspec's message with its path as callers write it: `candidates[3].id`."""
    at = _PATH.search(message)
    path = at["path"] if at else ""
    problem = message[: at.start()] if at else message
    named = _NAMED.search(problem)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
    if path == "weights[...]":
        path = _wrong_weight(body)
    where = f"{_short(path)}: " if path else ""
    return BadRequest(f"{where}{_short(problem)}.", field=path or None)


def _wrong_weight(body: bytes) -> str:
    """msgspec does not say which weight; this reads the body once more, for the message only."""
    try:
        weights = msgspec.json.decode(body, type=_Weights).weights
    except (msgspec.DecodeError, ValueError, RecursionError):  # an infinite one cannot be read
        return "weights"
    wrong = (name for name, value in weights.items() if type(value) not in (int, float))
    return next((f"weights.{name}" for name in wrong), "weights")


class _Weights(msgspec.Struct):
    weights: dict[str, Any]


def _check_limits(request: RerankRequest, limits: LimitSettings) -> None:
    _at_most(len(request.candidates), limits.candidates, "candidates", "entries")
    _at_most(len(request.query), limits.query_chars, "query", "characters")
    _at_most(len(request.history or ()), limits.history, "history", "events")
    for field in ("user", "session", "blend"):
        _at_most(len(getattr(request, field) or ""), MAX_NAME, field, "characters")


def _check_candidates(candidates: list[Candidate], limits: LimitSettings) -> None:
    if len({candidate.id for candidate in candidates}) < len(candidates):
        raise _duplicate(candidates)
    for index, candidate in enumerate(candidates):
        if candidate.text is not None and len(candidate.text) > limits.text_chars:
            field = f"candidates[{index}].text"
            _at_most(len(candidate.text), limits.text_chars, field, "characters")


def _duplicate(candidates: list[Candidate]) -> BadRequest:
    seen: dict[str, int] = {}
    for index, candidate in enumerate(candidates):
        first = seen.setdefault(candidate.id, index)
        if first != index:
            break
    return BadRequest(
        f"candidates[{index}].id is {_short(candidate.id)!r}, as candidates[{first}].id is; "
        "every item may be sent once.",
        field=f"candidates[{index}].id",
    )


def _check_history(history: Iterable[Event], limits: LimitSettings) -> None:
    for index, event in enumerate(history):
        for field in ("type", "item", "id", "user", "session", "ranking"):
            value = getattr(event, field) or ""
            _at_most(len(value), MAX_NAME, f"history[{index}].{field}", "characters")
        field = f"history[{index}].query"
        _at_most(len(event.query or ""), limits.query_chars, field, "characters")
        if event.time is not None:
            epoch_seconds(event.time, f"history[{index}].time")


def _at_most(size: int, most: int, field: str, unit: str) -> None:
    if size > most:
        raise BadRequest(f"{field} has {size:,} {unit}; at most {most:,} are allowed.", field=field)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
