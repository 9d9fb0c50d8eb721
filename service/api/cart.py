"""cart.py: POST /cart -> what completes a cart, what is bought next, and is it ordered."""

import math
import time
from functools import partial
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response

from reranker.applications.carts.cart_answers import (
    BLENDS,
    MOST,
    TOP_N,
    WEIGHED,
    CartModels,
    CartQuestion,
    CartResult,
    CartSuggestions,
    Line,
    plain_suggestions,
    suggestions,
)
from reranker.errors import BadRequest
from reranker.ranking.deadlines import TooLate
from reranker.ranking.ranking import Degraded
from reranker.requests import RerankRequest, Time
from reranker.signals.context import now_of
from service.api.requests import RequestReader, decoded
from service.api.rerank import ranking_id
from service.api.sent import Name, PastEvent, Whole, name_of
from service.http.answers import json_answer
from service.http.received import arrival, deadline_of, read_body, refuse_long_lists
from service.http.settings import LimitSettings
from service.live.reload import Served


class SentLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item in the cart."""

    item: str | int | float
    quantity: Annotated[float, msgspec.Meta(gt=0)] | None = None


class CartRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /cart` takes. Without `cart`, what the shopper's events left in it.

    blend: `fitted`, which is what the training chose, or one component alone. as_of: the moment
    before which events count; `time` is the same.
    """

    cart: list[SentLine] | None = None
    user: Name = None
    session: Name = None
    history: list[PastEvent] | None = None
    blend: str | None = None
    weights: dict[str, float | None] | None = None
    top_n: Annotated[Whole, msgspec.Meta(ge=0, le=MOST)] | None = None
    explain: bool | None = None
    personalize: bool | None = None
    budget_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    as_of: Time | None = None
    time: Time | None = None


class CartLineAnswer(msgspec.Struct, frozen=True):
    """An item that counted as in the cart."""

    item: str
    quantity: float


class CartAnswer(msgspec.Struct, frozen=True):
    """complete: what goes with the cart. next: the next basket. ordered: the chance that the cart
    is ordered in this visit; null where `degraded` says why, and for an empty cart."""

    id: str
    complete: list[CartResult]
    next: list[CartResult]
    ordered: float | None
    cart: list[CartLineAnswer]
    versions: dict[str, str | None]
    degraded: list[Degraded]
    took_ms: float


_sent: Final = msgspec.json.Decoder(CartRequest)


class CartCompletion:
    """What answers POST /cart, for whoever else asks in this process, too."""

    def __init__(self, served: Served, reader: RequestReader, limits: LimitSettings) -> None:
        self._served, self._reader, self._limits = served, reader, limits
        self._models = CartModels()

    def answer(self, body: bytes) -> CartAnswer:
        """By the deadline of the request that this thread answers. Malformed, BadRequest."""
        started = arrival()
        served, models = self._served, self._models
        state = served.state  # read once: one answer never mixes two versions
        question, left_out = _question(body, self._reader, self._limits)
        shopper = question.shopper
        now = partial(now_of, shopper.time, shopper.history, time.time)
        deadline = deadline_of(started, shopper.budget_ms or served.budget_ms)
        try:
            done = served.ranker.run(lambda: suggestions(question, state, models, now), deadline)
        except TooLate as late:
            done = plain_suggestions(question, state, models, late.reason)
        return _answer(done, left_out, state.versions, started)


def cart_routes(completion: CartCompletion, limits: LimitSettings) -> Blueprint:
    """The route."""
    routes = Blueprint("cart", __name__)

    @routes.post("/cart")
    def cart_route() -> Response:
        return json_answer(completion.answer(read_body(limits.body_bytes)))

    return routes


def _answer(
    done: CartSuggestions,
    left_out: tuple[Degraded, ...],
    versions: dict[str, str | None],
    started: float,
) -> CartAnswer:
    return CartAnswer(
        id=ranking_id(),
        complete=done.complete,
        next=done.next,
        ordered=done.ordered,
        cart=[CartLineAnswer(line.item, line.quantity) for line in done.cart],
        versions=versions,
        degraded=[*done.degraded, *left_out],
        took_ms=round((time.perf_counter() - started) * 1000, 3),
    )


def _question(
    body: bytes, reader: RequestReader, limits: LimitSettings
) -> tuple[CartQuestion, tuple[Degraded, ...]]:
    """What is asked, and what of the history was left out. BadRequest with the field."""
    refuse_long_lists(body, {"cart": limits.candidates, "history": limits.history})
    sent = decoded(_sent, body)
    shopper = RerankRequest(
        [],
        user=name_of("user", sent.user),
        session=name_of("session", sent.session),
        blend=_blend(sent.blend),
        weights=_weights(sent.weights),
        explain=bool(sent.explain),
        personalize=sent.personalize is not False,
        budget_ms=sent.budget_ms,
    )
    if sent.as_of is not None and sent.time is not None:
        raise BadRequest("as_of and time are the same; one of them is allowed.", field="as_of")
    now = sent.time if sent.as_of is None else reader.seconds(sent.as_of, "as_of")
    checked = reader.read_history(shopper, sent.history, now)
    top_n = TOP_N if sent.top_n is None else int(sent.top_n)
    return CartQuestion(checked.request, _lines(sent.cart, limits), top_n), checked.cut


def _blend(sent: str | None) -> str | None:
    if sent is not None and sent not in BLENDS:
        raise BadRequest(f"blend is {sent[:80]!r}; {', '.join(BLENDS)} are allowed.", field="blend")
    return sent


def _weights(sent: dict[str, float | None] | None) -> dict[str, float]:
    """What each component's contribution is multiplied by; of `price` the weight itself."""
    weights = {name: weight for name, weight in (sent or {}).items() if weight is not None}
    for name, weight in weights.items():
        if name not in WEIGHED or not math.isfinite(weight):
            raise BadRequest(
                f"weights.{name[:80]} is {weight:g}; numbers for {', '.join(WEIGHED)} are allowed.",
                field=f"weights.{name[:80]}",
            )
    return weights


def _lines(sent: list[SentLine] | None, limits: LimitSettings) -> list[Line] | None:
    """Each item once, with what there is of it in all."""
    if sent is None:
        return None
    if len(sent) > limits.candidates:
        raise BadRequest(
            f"cart has {len(sent):,} entries; at most {limits.candidates:,} are allowed.",
            field="cart",
        )
    amounts: dict[str, float] = {}
    for place, line in enumerate(sent):
        item = name_of(f"cart[{place}].item", line.item)
        if item is None:
            field = f"cart[{place}].item"
            raise BadRequest(f"{field} is empty; every line names an item.", field=field)
        amount = 1.0 if line.quantity is None else line.quantity
        amounts[item] = amounts.get(item, 0.0) + amount
    return [Line(item, amount) for item, amount in amounts.items()]
