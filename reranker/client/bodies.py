"""bodies.py: the arguments of a call -> the JSON that is sent.

The keys are those of the service's HTTP interface. None is as not given.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Required, TypedDict

from .failures import BAD_REQUEST, Failure, RerankerError

Id = str | int
Time = str | float | datetime  # ISO 8601, or epoch seconds


class CandidateFields(TypedDict, total=False):
    """One item that the engine found. text: what is read where the index lacks it."""

    id: Required[Id]
    score: float | None
    text: str | None


Candidate = Id | CandidateFields


class EventFields(TypedDict, total=False):
    """What an event says beside its type. ranking: the id of the answer that it followed."""

    item: Id | None
    query: str | None
    user: Id | None
    session: Id | None
    time: Time | None
    price: float | None
    quantity: float | None
    ranking: str | None
    position: int | None
    id: str | None
    personalize: bool | None


class Event(EventFields, total=False):
    """One thing that a shopper did: view, search, cart, uncart, purchase, cancel, ..."""

    type: Required[str]


class _ShopperOptions(TypedDict, total=False):
    user: Id | None
    session: Id | None
    history: Sequence[Event] | None  # replaces the stored one
    weights: Mapping[str, float] | None
    top_n: int | None
    explain: bool | None
    personalize: bool | None
    budget_ms: float | None
    deadline: float | None  # seconds for the whole call, tries again included


class RerankOptions(_ShopperOptions, total=False):
    """What may be said beside query and candidates."""

    blend: str | None
    time: Time | None


class RerankRequest(RerankOptions, total=False):
    """One request of a batch; its deadline is the batch's."""

    query: Required[str]
    candidates: Required[Sequence[Candidate]]


class RecommendOptions(_ShopperOptions, total=False):
    """For whom, for what page, and what every recommendation has to be or must not be."""

    blend: str | None
    context: Mapping[str, Any] | None
    filters: Mapping[str, Any] | None
    exclude: Mapping[str, Any] | None
    diversity: float | None
    as_of: Time | None


class CartOptions(_ShopperOptions, total=False):
    """Without `cart`, what the shopper's events left in it counts."""

    cart: Sequence[Mapping[str, Any]] | None
    time: Time | None


class ClientOptions(TypedDict, total=False):
    """How a client calls.

    key: an API key of the service. deadline: seconds for a search, tries again included.
    retries: how often a search is asked again. headers: sent with every call. verify: as httpx
    takes it. queue_events: at most so many events wait to be sent. on_lost: told the events that
    are given up, and why, in the loop that also answers searches, so let it be quick; without it,
    the log is.
    """

    key: str | None
    deadline: float
    retries: int
    headers: Mapping[str, str]
    verify: Any
    queue_events: int
    on_lost: Callable[[list[dict[str, Any]], str], object] | None


class Listed(NamedTuple):
    """Candidates as they are sent: objects, each with its id."""

    candidates: list[Any]

    def id_of(self, index: int) -> str:
        """As text, as the service answers it."""
        candidate = self.candidates[index]
        return str(candidate.get("id") if isinstance(candidate, Mapping) else candidate)


_OWN: Final = frozenset({"deadline", "query", "candidates"})


def listed(candidates: Iterable[Candidate]) -> Listed:
    """Ids become objects."""
    return Listed(
        [one if isinstance(one, Mapping) else {"id": one} for one in candidates],
    )


def rerank_body(query: str, candidates: Listed, options: Mapping[str, Any]) -> dict[str, Any]:
    """What POST /rerank takes."""
    return {"query": query, "candidates": candidates.candidates} | sent(options)


def sent(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that are not given, or are for this side."""
    return {
        name: value for name, value in options.items() if value is not None and name not in _OWN
    }


def encoded(payload: Any) -> bytes:
    """JSON; RerankerError for what is none, such as NaN."""
    try:
        text = json.dumps(payload, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise RerankerError(Failure(BAD_REQUEST, f"This cannot be sent as JSON: {error}")) from None
    return text.encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item):
        return item()
    raise TypeError(f"{type(value).__name__} is neither text nor number")
