"""carts.py: a shopper's events -> what lies in the cart, and the baskets that were bought."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from reranker.events.events import HistoryEvent

CART: Final = "cart"
UNCART: Final = "uncart"
PURCHASE: Final = "purchase"


class CartLine(NamedTuple):
    """An item in a cart, how many of it, since when (epoch seconds), at which price if known."""

    item: str
    quantity: float
    since: float
    price: float | None = None


def cart_of(events: Iterable[HistoryEvent]) -> list[CartLine]:
    """What lies in the cart after these events, oldest first: as it was put in.

    `cart` adds its quantity (1 where none is given); `uncart` takes its quantity out, and the whole
    line where none is given; a purchase takes the whole line out.
    """
    lines: dict[str, CartLine] = {}
    for event in events:
        item = event.item
        if item is None:
            continue
        line = lines.get(item)
        if event.type == CART:
            lines[item] = _with_more(line, item, event)
        elif line is not None and event.type in (UNCART, PURCHASE):
            left = 0.0
            if event.type == UNCART and event.quantity is not None:
                left = line.quantity - abs(event.quantity)
            if left > 0:
                lines[item] = line._replace(quantity=left)
            else:
                del lines[item]
    return list(lines.values())


def _with_more(line: CartLine | None, item: str, event: HistoryEvent) -> CartLine:
    added = abs(event.quantity) if event.quantity else 1.0
    if line is None:
        return CartLine(item, added, event.time, event.price)
    price = line.price if event.price is None else event.price
    return line._replace(quantity=line.quantity + added, price=price)


def past_baskets(events: Sequence[HistoryEvent], gap_minutes: float) -> list[list[str]]:
    """The items bought in each visit with a purchase, oldest visit first.

    gap_minutes: a longer silence begins a new visit.
    """
    baskets: list[dict[str, None]] = []
    before: float | None = None
    open_basket = False
    for event in events:
        if before is None or event.time - before > gap_minutes * 60.0:
            open_basket = False
        before = event.time
        if event.type == PURCHASE and event.item is not None:
            if not open_basket:
                baskets.append({})
                open_basket = True
            baskets[-1][event.item] = None
    return [list(basket) for basket in baskets]
