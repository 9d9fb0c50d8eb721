"""feedback.py: a body of Metarank's `POST /feedback` -> its events, each checked."""

import json
from typing import Any, Final

import msgspec

from reranker.errors import invalid_place
from reranker.requests import Time
from service.api.events import BadPart, Rejected, split_events, too_many_events
from service.api.sent import Name
from service.formats.metarank.rank import MetarankField, MetarankItem
from service.http.answers import Malformed

_BLANK: Final = " \t\r\n"


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
    items: list[MetarankItem] | None = None


class FeedbackAnswer(msgspec.Struct, frozen=True):
    """What is answered. accepted: events that were understood; updated: those of them that are
    kept; rejected: what is wrong with the others, which cost those nothing."""

    status: str
    accepted: int
    updated: int
    tookMillis: int
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


def checked_event(part: bytes | msgspec.Raw) -> dict[str, Any]:
    """The event that a part is; BadPart where Metarank could not decode it."""
    try:
        _decoder.decode(part)
        event: dict[str, Any] = msgspec.json.decode(part)
        return event
    except msgspec.ValidationError as error:
        path, problem = invalid_place(str(error))
        raise BadPart(f"{path or 'event'}: {problem}", path) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadPart("this is not JSON") from None
