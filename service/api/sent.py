"""sent.py: JSON as callers write it -> ids, candidates and events in the form in which they count.

Ids may be numbers, and every optional key may be null: it then counts as not sent.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from indexes.names import MAX_NAME, BadName, normalised, read_name
from indexes.times import TimeSettings
from reranker.errors import BadRequest
from reranker.events.cleaning import BadEvent, Cleaner, NoConsent
from reranker.events.settings import EventSettings
from reranker.requests import Candidate, Event, Time

Name = str | int | float | None  # of a shopper, an item, ...: see `indexes.names.read_name`
# JSON has one kind of number, and JSON Schema takes 20.0 for an integer.
Whole = Annotated[float, msgspec.Meta(multiple_of=1, extra_json_schema={"type": "integer"})]
Count = Annotated[Whole, msgspec.Meta(ge=1)]
_EXACT: Final = 2**53  # whole floats up to here are the number that was meant
_ANY_TYPE: Final = "view"
_ANY_ITEM: Final = "item"


class PastEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event of a history that is sent along: read as those of POST /events are."""

    type: str
    item: Name = None
    query: Name = None
    time: Time | None = None
    price: float | str | None = None
    quantity: float | str | None = None
    id: Name = None
    user: Name = None
    session: Name = None
    ranking: Name = None
    position: int | float | str | None = None
    personalize: bool | int | str | None = None


class SentCandidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One item that the shop's own engine found. The answer has the id as it was sent, as text."""

    id: str | int | float
    score: float | None = None
    text: str | None = None


class _Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: Name = None
    user: Name = None
    session: Name = None
    history: list[PastEvent] | None = None
    blend: str | None = None
    weights: dict[str, float | None] | None = None
    top_n: Annotated[Whole, msgspec.Meta(ge=0)] | None = None
    explain: bool | None = None
    personalize: bool | None = None
    budget_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    time: Time | None = None


class UsualRequest(_Sent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request whose candidates' ids are texts, as nearly all are: decoded without a detour."""

    candidates: list[Candidate]


class SentRequest(_Sent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /rerank` takes. The order of `candidates` is the engine's order."""

    candidates: list[SentCandidate]


class NextActionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /next-action` takes; history replaces the stored one."""

    user: Name = None
    session: Name = None
    history: list[PastEvent] | None = None
    time: Time | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom something is worked out, and how, where no candidates are sent."""

    user: Name = None
    session: Name = None
    history: list[PastEvent] | None = None
    blend: str | None = None
    weights: dict[str, float | None] | None = None
    explain: bool | None = None
    personalize: bool | None = None
    budget_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    as_of: Time | None = None


def name_of(field: str, value: Any) -> str | None:
    """The id that a value means; None for null and ""; BadRequest for what is no id."""
    if value is None:
        return None
    try:
        return read_name(field, value)
    except BadName as error:
        raise BadRequest(f"{error}.", field=field) from None


def whole(count: float | None) -> int | None:
    """A count as the number that it is."""
    return None if count is None else int(count)


def as_text(value: str | int | float) -> str:
    """An id as the answer repeats it: numbers as their digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return str(value)  # the decoder takes no int of more digits than Python writes


def as_candidates(sent: Sequence[SentCandidate]) -> list[Candidate]:
    """The same with every id as text."""
    return [Candidate(as_text(item.id), item.score, item.text) for item in sent]


def in_one_form(candidates: list[Candidate]) -> tuple[list[Candidate], list[str] | None]:
    """Candidates whose ids have the one form, and the ids as sent where any differs.

    BadRequest for an id that is none. One look at all ids together is enough for nearly all.
    """
    sent = [candidate.id for candidate in candidates]
    together = "".join(sent)
    whole = all(sent) and max(map(len, sent), default=0) <= MAX_NAME
    if whole and together.isascii() and together.isprintable() and " " not in together:
        return candidates, None
    ids = [name if _is_clean(name) else _id(place, name) for place, name in enumerate(sent)]
    if ids == sent:
        return candidates, None
    pairs = zip(candidates, ids, strict=True)
    return [Candidate(name, item.score, item.text) for item, name in pairs], sent


def _is_clean(name: str) -> bool:
    """Whether there is nothing to do, as with most of those that have a blank inside."""
    plain = name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME
    return plain and name[0] != " " != name[-1]


def _id(place: int, sent: str) -> str:
    """An item that no index can hold, such as one with a control character, is only unknown."""
    field = f"candidates[{place}].id"
    name = normalised(sent)
    if not name:
        raise BadRequest(f"{field} is {sent!r}; every candidate has an id.", field=field)
    _at_most_a_name(name, field)
    return name


def _at_most_a_name(text: str, field: str) -> None:
    if len(text) > MAX_NAME:
        raise BadRequest(
            f"{field} has {len(text):,} characters; at most {MAX_NAME} may be.", field=field
        )


class CleanedHistory(NamedTuple):
    """The events that count. unknown_types: how many were left out, their type being none of the
    shop's; cut: how many queries were shortened."""

    events: list[Event]
    unknown_types: int
    cut: int


def cleaned_history(
    rows: Iterable[msgspec.Struct], events: EventSettings, times: TimeSettings, query_chars: int
) -> CleanedHistory:
    """The events in the order in which they were sent. BadRequest names the first that is none.

    As in the histories, what comes twice with the same id and content counts once, and an event
    whose shopper does not agree not at all. One without a time keeps none: it happened with the one
    before it, see `reranker.signals.user_history`. query_chars: of a longer query the beginning
    counts.
    """
    cleaner = Cleaner(events, times, strict=True)
    cleaned: list[Event] = []
    with_id: set[Event] = set()
    unknown_types = cut = 0
    for place, sent in enumerate(rows):
        row = msgspec.structs.asdict(sent)
        cut += _shortened(row, query_chars)
        try:
            event = _cleaned(row, cleaner)
        except NoConsent:
            continue
        except BadEvent as error:
            if error.field != "type" or not row["type"]:
                raise _refused(place, error) from None
            _at_most_a_name(row["type"], f"history[{place}].type")
            _check_the_rest(row, cleaner, place)
            unknown_types += 1
            continue
        if event.id is not None:
            if event in with_id:
                continue
            with_id.add(event)
        cleaned.append(event)
    return CleanedHistory(cleaned, unknown_types, cut)


def _refused(place: int, error: BadEvent) -> BadRequest:
    at = f"history[{place}]"
    return BadRequest(f"{at}: {error.message}.", field=f"{at}.{error.field}" if error.field else at)


def _check_the_rest(row: dict[str, Any], cleaner: Cleaner, place: int) -> None:
    """An event of an unknown type keeps to the format as the others do, but may be of no item."""
    item = row["item"] if row["item"] or row["query"] else _ANY_ITEM
    try:
        cleaner.clean_sent(row | {"type": _ANY_TYPE, "item": item}, 0.0)
    except NoConsent:
        pass
    except BadEvent as error:
        raise _refused(place, error) from None


def _shortened(row: dict[str, Any], most: int) -> bool:
    query = row["query"]
    too_long = isinstance(query, str) and len(query) > most
    if too_long:
        row["query"] = query[:most]
    return too_long


def _cleaned(row: dict[str, object], cleaner: Cleaner) -> Event:
    clean = cleaner.clean_sent(row, 0.0)
    return Event(
        type=clean.type,
        item=clean.item,
        query=clean.query,
        time=clean.time if row["time"] not in (None, "") else None,
        price=clean.price,
        quantity=clean.quantity,
        id=clean.id,
        user=clean.user,
        session=clean.session,
        ranking=clean.ranking,
        position=clean.position,
    )
