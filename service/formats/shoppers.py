"""shoppers.py: headers, or a query that is an envelope -> who is searching, and what was typed.

A search engine's plugin passes on a query and documents, nothing else. Who is searching then stands
in headers, or in the query, as an envelope: {"q": "red shoes", "user": "u1", "session": "s1",
"blend": "default", "personalize": true}. Envelopes are read for keys with the scope `envelope`
alone, and with such a key every query has to be one. So a text that a shopper typed is never one:
it is either the whole query of another key, or what stands in `q`.
"""

import json
from typing import Any, Final, NamedTuple

import msgspec
from flask import g, request
from werkzeug.datastructures import Headers

from reranker.errors import BadRequest
from service.access.keys import ENVELOPE
from service.api.sent import Name, name_of

HEADERS: Final = {
    "user": ("X-User-Id", "X-User"),
    "session": ("X-Session-Id", "X-Session"),
    "blend": ("X-Blend",),
}
CONSENT: Final = "X-Personalize"
_NO: Final = frozenset({"false", "0", "no"})
_EXPECTED: Final = (
    'a key with the scope `envelope` sends every query as {"q": ..., "user": ..., "session": ..., '
    '"blend": ..., "personalize": ...}, each key at most once, q first or last; only q is required'
)


class Shopper(NamedTuple):
    """Who is searching, and for what."""

    query: str
    user: str | None = None
    session: str | None = None
    blend: str | None = None
    personalize: bool = True


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    q: str
    user: Name = None
    session: Name = None
    blend: str | None = None
    personalize: bool | None = None


def shopper_of(query: str, *, named_beside: bool = False) -> Shopper:
    """Who sends the request that is being answered. BadRequest: what cannot be an id, or no
    envelope where there has to be one.

    named_beside: its format has a place for the shopper, so the query is text alone.
    """
    caller = None if named_beside else getattr(g, "caller", None)
    # Not `caller.may`: a key that may do everything still passes on what shoppers type.
    return opened(
        query, request.headers, enveloped=caller is not None and ENVELOPE in caller.scopes
    )


def opened(query: str, headers: Headers, *, enveloped: bool) -> Shopper:
    """The same for these headers. enveloped: whether the key has the right, and the duty."""
    sent = {
        field: next((header_text(headers[name]) for name in names if headers.get(name)), None)
        for field, names in HEADERS.items()
    }
    personalize = headers.get(CONSENT, "").strip().lower() not in _NO
    if not enveloped:
        user, session = name_of("user", sent["user"]), name_of("session", sent["session"])
        return Shopper(query, user, session, sent["blend"], personalize)
    envelope = _envelope(query)
    return Shopper(
        envelope.q,
        name_of("user", envelope.user) or name_of("user", sent["user"]),
        name_of("session", envelope.session) or name_of("session", sent["session"]),
        envelope.blend or sent["blend"],
        personalize and envelope.personalize is not False,
    )


def _envelope(query: str) -> _Envelope:
    try:
        json.loads(query, object_pairs_hook=_as_built)
        return msgspec.json.decode(query, type=_Envelope)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, too
        raise BadRequest(f"query is no envelope: {_EXPECTED}.", field="query") from None


def _as_built(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The same, as long as every key comes once and `q` first or last.

    A typed quote in an envelope that was glued together can only begin keys after `q`: those that
    the backend wrote itself then come twice, and where it wrote `q` last, any key is one too many.
    """
    envelope, names = dict(pairs), [name for name, _ in pairs]
    if len(envelope) < len(pairs) or "q" in names[1:-1]:
        raise ValueError
    return envelope


def header_text(header: str) -> str:
    """A header as it was sent: WSGI hands out its bytes as Latin-1."""
    try:
        return header.encode("latin-1").decode().strip()
    except UnicodeError:
        return header.strip()
