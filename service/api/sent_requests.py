"""sent_requests.py: JSON of POST /rerank and /next-action -> what was sent, as callers write it.

Ids may be numbers, and every optional key may be null: it then counts as not sent.
"""

from typing import Annotated

import msgspec

from reranker.requests import Candidate, Time

Name = str | int | float | None  # of a shopper, an item, ...: see `indexes.names.read_name`


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
    top_n: Annotated[int, msgspec.Meta(ge=0)] | None = None
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
