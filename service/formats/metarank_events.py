"""metarank_events.py: a body of Metarank's `POST /feedback` -> events of ours, the rest counted.

Interactions are kept, and rankings that say what was searched for become searches. Facts about
items and users are taken and have no effect: items come by `reranker rebuild`.
"""

import json
from typing import Any, Final, NamedTuple

import msgspec

from reranker.errors import BadRequest, invalid_place
from reranker.events.settings import EventSettings
from reranker.requests import Time
from service.api.events import Rejected, split_events, too_many_events
from service.api.sent import Name
from service.formats.metarank import MetarankField, query_of_fields
from service.http.answers import Malformed

# Words of Metarank's examples, where the shop's events.types has no meaning of its own for them.
_WORDS: Final = {
    "click": "view",
    "impression_click": "view",
    "add_to_cart": "cart",
    "addtocart": "cart",
    "add-to-cart": "cart",
    "buy": "purchase",
    "order": "purchase",
}
_BLANK: Final = " \t\r\n"
_FACTS: Final = frozenset({"item", "metadata", "user"})


class _Event(msgspec.Struct, frozen=True):
    event: str
    id: Name = None
    timestamp: Time | None = None
    user: Name = None
    session: Name = None
    item: Name = None
    type: str | None = None
    ranking: Name = None
    fields: list[MetarankField] | None = None


class FeedbackAnswer(msgspec.Struct, frozen=True):
    """What is answered. accepted: events that were understood; updated: those of them that are
    kept; rejected: what is wrong with the others, which cost those nothing."""

    status: str
    accepted: int
    updated: int
    tookMillis: int
    rejected: list[Rejected]


class Translated(NamedTuple):
    """rows: events of ours, encoded; places: of each, in the body, from 0; facts: how many have no
    effect; rejected: those that are no events of Metarank."""

    rows: list[bytes]
    places: list[int]
    facts: int
    rejected: list[Rejected]


_decoder: Final = msgspec.json.Decoder(_Event)


def split_feedback(body: bytes, most: int) -> list[bytes | msgspec.Raw]:
    """The events of a body: one, an array, or values one after the other; BadRequest for more than
    `most`, Malformed for what is none of these."""
    try:
        return split_events(body, most)
    except Malformed:
        return list(_one_after_the_other(body, most))


def _one_after_the_other(body: bytes, most: int) -> list[bytes]:
    """Objects without an array around them, however they are wrapped."""
    decoder, parts, at = json.JSONDecoder(), [], 0
    try:
        text = body.decode().strip(_BLANK)
        while at < len(text):
            _, end = decoder.raw_decode(text, at)
            parts.append(text[at:end].encode())
            if len(parts) > most:
                raise too_many_events(most)
            at = end
            while at < len(text) and text[at] in _BLANK:
                at += 1
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None
    if not parts:
        raise Malformed("The body is no event: an object, an array or NDJSON is expected.")
    return parts


def translated(parts: list[bytes | msgspec.Raw], settings: EventSettings) -> Translated:
    """The events of ours that these are."""
    own_words = {*settings.weights(), *settings.words()}
    done = Translated([], [], 0, [])
    facts = 0
    for place, part in enumerate(parts):
        try:
            row = _row(_decoded(part), own_words)
        except BadRequest as error:
            done.rejected.append(Rejected(place, error.field or "", str(error)))
            continue
        if row is None:
            facts += 1
        else:
            done.rows.append(msgspec.json.encode(row))
            done.places.append(place)
    return done._replace(facts=facts)


def _decoded(part: bytes | msgspec.Raw) -> _Event:
    try:
        return _decoder.decode(part)
    except msgspec.ValidationError as error:
        path, problem = invalid_place(str(error))
        raise BadRequest(f"{path or 'event'}: {problem}.", field=path or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("this is not JSON.") from None


def _row(event: _Event, own_words: set[str]) -> dict[str, Any] | None:
    """The event of ours; None where it has no effect."""
    if event.event in _FACTS:
        return None
    about = {
        "id": event.id,
        "time": event.timestamp,
        "user": event.user,
        "session": event.session,
    }
    query = query_of_fields(event.fields)
    if event.event == "interaction":
        kind = (event.type or "").lower()
        kind = kind if kind in own_words else _WORDS.get(kind, event.type or "")
        return about | {"type": kind, "item": event.item, "ranking": event.ranking}
    if event.event == "ranking":
        shopper = event.user or event.session
        return about | {"type": "search", "query": query} if query and shopper else None
    raise BadRequest(
        f"event is {event.event[:80]!r}; item, metadata, user, ranking or interaction is expected.",
        field="event",
    )
