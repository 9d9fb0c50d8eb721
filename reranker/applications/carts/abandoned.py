"""abandoned.py: kept histories -> carts that were left, with what they are worth."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from reranker.applications.carts.cart_model import Ordered
from reranker.applications.carts.carts import CART, CartLine, cart_of
from reranker.applications.carts.ordered import VisitState, chance_of
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Shopper

Prices = Callable[[list[str]], Mapping[str, float]]


class AbandonedCart(msgspec.Struct, frozen=True):
    """user, session: as they are kept. items: with their quantities, as long ago as they were put
    in. value: quantity x price, over `priced` of the lines. probability: that a cart that stands so
    is ordered in its visit; None where no model tells."""

    user: str | None
    session: str | None
    items: dict[str, float]
    value: float
    priced: int
    probability: float | None
    last_event: float  # epoch seconds
    idle_hours: float


def abandoned_carts(
    histories: Iterable[tuple[Shopper, Sequence[HistoryEvent]]],
    hours: float,
    prices: Prices,
    ordered: Ordered | None,
    session_minutes: float,
    as_of: float | None = None,
    days: float = 30.0,
) -> list[AbandonedCart]:
    """Carts of shoppers who did nothing for so many hours, but something in these days.

    as_of: "now", in epoch seconds; the newest event of all without it. Best first: by value x
    probability. Events after it are not looked at.
    """
    newest = as_of if as_of is not None else -1.0
    left: list[tuple[Shopper, list[CartLine], list[HistoryEvent]]] = []
    for shopper, every in histories:
        events = [event for event in every if as_of is None or event.time <= as_of]
        if not events:
            continue
        newest = max(newest, events[-1].time)
        lines = cart_of(events) if any(event.type == CART for event in events) else []
        if lines:
            left.append((shopper, lines, events))
    carts = []
    for shopper, lines, events in left:
        idle = (newest - events[-1].time) / 3600.0
        if hours <= idle <= days * 24.0:
            carts.append(_cart(shopper, lines, events, idle, prices, ordered, session_minutes))
    return sorted(carts, key=lambda cart: -cart.value * (cart.probability or 1.0))


def _cart(
    shopper: Shopper,
    lines: list[CartLine],
    events: list[HistoryEvent],
    idle: float,
    prices: Prices,
    ordered: Ordered | None,
    session_minutes: float,
) -> AbandonedCart:
    known = prices([line.item for line in lines])
    each = [known.get(line.item) if line.price is None else line.price for line in lines]
    value = sum(
        line.quantity * price for line, price in zip(lines, each, strict=True) if price is not None
    )
    chance = None
    if ordered is not None:
        state = VisitState(session_minutes)
        for event in events:
            state.add(event.type, event.item, event.time)
        chance = round(chance_of(ordered, state.inputs(len(lines))), 4)
    return AbandonedCart(
        user=shopper.user,
        session=shopper.session,
        items={line.item: line.quantity for line in lines},
        value=round(value, 2),
        priced=sum(price is not None for price in each),
        probability=chance,
        last_event=events[-1].time,
        idle_hours=round(idle, 2),
    )
