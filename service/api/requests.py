"""requests.py: body of POST /rerank -> RerankRequest, or what is wrong with it and where."""

import re
from typing import Final, NamedTuple, TypeVar

import msgspec

from indexes.names import MAX_NAME
from indexes.times import BadTime, TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.errors import BadRequest, invalid_place
from reranker.events.settings import EventSettings
from reranker.ranking.ranking import Degraded
from reranker.requests import Candidate, Event, RerankRequest, Time
from service.api.sent import (
    Name,
    NextActionRequest,
    PastEvent,
    SentRequest,
    UsualRequest,
    Wanted,
    as_candidates,
    as_text,
    cleaned_history,
    in_one_form,
    name_of,
    whole,
)
from service.http.answers import Malformed
from service.http.received import MAX_DEPTH, refuse_long_lists
from service.http.settings import LimitSettings

T = TypeVar("T")
_usual: Final = msgspec.json.Decoder(UsualRequest)
_sent: Final = msgspec.json.Decoder(SentRequest)
_shopper: Final = msgspec.json.Decoder(NextActionRequest)
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_SCANNED: Final = 65_536  # bytes of a refused body in which too deep nesting is looked for
_NUMBER_OR_NULL: Final = frozenset(b"-0123456789n")  # how these begin in JSON
_SHOWN: Final = 80
_NAMED_PLACES: Final = 100  # of candidates whose text was cut


class Asked(NamedTuple):
    """A request that can be ranked, and what its caller has to get back beside the ranking.

    sent_ids: the candidates' ids as they were sent, where any is not in its one form. cut: what was
    shortened.
    """

    request: RerankRequest
    sent_ids: list[str] | None = None
    cut: tuple[Degraded, ...] = ()


class RequestReader:
    """Reads requests by the limits, types of events and plausible times of one workspace."""

    def __init__(
        self,
        limits: LimitSettings | None = None,
        events: EventSettings | None = None,
        times: TimeSettings | None = None,
    ) -> None:
        self._limits = limits or LimitSettings()
        self._events, self._times = events or EventSettings(), times or TimeSettings()

    @classmethod
    def of(cls, workspace: Workspace) -> "RequestReader":
        """By the settings of a home."""
        section = workspace.section
        return cls(section(LimitSettings), section(EventSettings), section(TimeSettings))

    def read(self, body: bytes) -> Asked:
        """The typed request. Raises Malformed, or BadRequest with the field.

        Nothing is built for what the format does not know: decoding stops at the first value of a
        wrong type, so deep or huge nonsense costs no more than reading up to it, twice.
        """
        sent: UsualRequest | SentRequest
        limits = self._limits
        refuse_long_lists(body, {"candidates": limits.candidates, "history": limits.history})
        try:
            sent = _usual.decode(body)
            candidates = sent.candidates
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            sent = decoded(_sent, body)
            candidates = as_candidates(sent.candidates)
        request = RerankRequest(
            candidates=candidates,
            query=_text(sent.query, "query"),
            user=name_of("user", sent.user),
            session=name_of("session", sent.session),
            blend=sent.blend or None,
            weights=_weights(sent.weights),
            top_n=whole(sent.top_n),
            explain=bool(sent.explain),
            personalize=sent.personalize is not False,
            budget_ms=sent.budget_ms,
        )
        return self._checked(request, sent.history, sent.time)

    def read_shopper(self, body: bytes) -> RerankRequest:
        """The shopper of POST /next-action, as a search without candidates: checked alike."""
        refuse_long_lists(body, {"history": self._limits.history})
        sent = decoded(_shopper, body)
        request = RerankRequest(
            [], user=name_of("user", sent.user), session=name_of("session", sent.session)
        )
        return self._checked(request, sent.history, sent.time).request

    def read_history(
        self, request: RerankRequest, history: list[PastEvent] | None, time: Time | None
    ) -> Asked:
        """A request without candidates, with the history and the time that were sent with it."""
        return self._checked(request, history, time)

    def read_wanted(self, sent: Wanted, query: Name) -> Asked:
        """A request without candidates; its time is `as_of`."""
        request = RerankRequest(
            [],
            query=_text(query, "query"),
            user=name_of("user", sent.user),
            session=name_of("session", sent.session),
            blend=sent.blend or None,
            weights=_weights(sent.weights),
            explain=bool(sent.explain),
            personalize=sent.personalize is not False,
            budget_ms=sent.budget_ms,
        )
        asked = self._checked(request, sent.history, None)
        time = self.seconds(sent.as_of, "as_of")
        return asked._replace(request=msgspec.structs.replace(asked.request, time=time))

    def checked(self, request: RerankRequest) -> RerankRequest:
        """A request that was made here, by the same rules; BadRequest as `read`."""
        return self.asked(request).request

    def asked(self, request: RerankRequest) -> Asked:
        """The same, with what was shortened: for requests that came in another format."""
        named = msgspec.structs.replace(
            request, user=name_of("user", request.user), session=name_of("session", request.session)
        )
        return self._checked(named, request.history, request.time)

    def _checked(
        self,
        request: RerankRequest,
        history: list[PastEvent] | list[Event] | None,
        time: Time | None,
    ) -> Asked:
        limits = self._limits
        _at_most(len(request.candidates), limits.candidates, "candidates", "entries")
        _at_most(len(request.blend or ""), MAX_NAME, "blend", "characters")
        _at_most(len(history or ()), limits.history, "history", "events")
        candidates, sent_ids = in_one_form(request.candidates)
        _refuse_twice(candidates)
        candidates, cut = _shorter_texts(candidates, limits.text_chars)
        query = request.query
        if len(query) > limits.query_chars:
            query = query[: limits.query_chars]
            cut = (Degraded("semantic", "query_truncated"), *cut)
        events, left_out = self._history(history)
        return Asked(
            msgspec.structs.replace(
                request,
                candidates=candidates,
                query=query,
                history=events,
                time=self.seconds(time, "time"),
            ),
            sent_ids,
            (*cut, *left_out),
        )

    def _history(
        self, sent: list[PastEvent] | list[Event] | None
    ) -> tuple[list[Event] | None, tuple[Degraded, ...]]:
        """The events, and what of them could not be used or was cut."""
        if sent is None:
            return None, ()
        cleaned = cleaned_history(sent, self._events, self._times, self._limits.query_chars)
        counts = {"unknown_type": cleaned.unknown_types, "query_truncated": cleaned.cut}
        degraded = [Degraded("history", reason, count) for reason, count in counts.items() if count]
        return cleaned.events, tuple(degraded)

    def seconds(self, time: Time | None, field: str) -> float | None:
        """A time in epoch seconds; None for none. BadRequest names the field."""
        if time is None or time == "":
            return None
        try:
            return TimeReader(self._times).read(time, field).seconds
        except BadTime as error:
            raise BadRequest(f"{error}.", field=field) from None


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body as this type; Malformed, or BadRequest with the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_depth(body)
        raise _invalid(str(error), body) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None


def _text(value: str | int | float | None, field: str) -> str:
    """A text that may have been sent as a number, such as an article number that is searched."""
    if value is None or isinstance(value, str):
        return value or ""
    return as_text(value)


def _weights(sent: dict[str, float | None] | None) -> dict[str, float]:
    return {name: weight for name, weight in (sent or {}).items() if weight is not None}


def _shorter_texts(
    candidates: list[Candidate], most: int
) -> tuple[list[Candidate], tuple[Degraded, ...]]:
    """Candidates with no text above the limit: one long text is not worth a search's answer."""
    places = [
        place
        for place, candidate in enumerate(candidates)
        if candidate.text is not None and len(candidate.text) > most
    ]
    if not places:
        return candidates, ()
    shorter = list(candidates)
    for place in places:
        candidate = candidates[place]
        shorter[place] = msgspec.structs.replace(candidate, text=(candidate.text or "")[:most])
    cut = Degraded("semantic", "text_truncated", len(places), places[:_NAMED_PLACES])
    return shorter, (cut,)


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
    path, problem = invalid_place(message)
    if path == "weights[...]":
        path = _wrong_weight(body)
    where = f"{_short(path)}: " if path else ""
    return BadRequest(f"{where}{_short(problem)}.", field=path or None)


def _wrong_weight(body: bytes) -> str:
    """msgspec does not say which weight; this reads the body once more, for the message only."""
    try:
        weights = msgspec.json.decode(body, type=_Weights).weights
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "weights"
    wrong = (name for name, value in weights.items() if bytes(value)[0] not in _NUMBER_OR_NULL)
    return next((f"weights.{name}" for name in wrong), "weights")


class _Weights(msgspec.Struct):
    weights: dict[str, msgspec.Raw]  # nothing is built of what is no number


def _refuse_twice(candidates: list[Candidate]) -> None:
    if len({candidate.id for candidate in candidates}) == len(candidates):
        return
    seen: dict[str, int] = {}
    for index, candidate in enumerate(candidates):
        first = seen.setdefault(candidate.id, index)
        if first != index:
            raise BadRequest(
                f"candidates[{index}].id is {_short(candidate.id)!r}, as candidates[{first}].id "
                "is; every item may be sent once.",
                field=f"candidates[{index}].id",
            )


def _at_most(size: int, most: int, field: str, unit: str) -> None:
    if size > most:
        raise BadRequest(f"{field} has {size:,} {unit}; at most {most:,} are allowed.", field=field)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
