"""carts.py: events -> what lies in a shopper's cart, and what was bought together: baskets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from indexes.storage.arrays import Floats, Ints
from reranker.events.events import HistoryEvent
from reranker.model.card import NONE
from reranker.training.item_statistics import visits_of
from reranker.training.sequences import Sequences

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


@dataclass(frozen=True, eq=False)
class Baskets:
    """What was bought in one visit, shopper by shopper, oldest first.

    shoppers, times (b,); at (b + 1,): where each one's items begin; items: once each.
    """

    shoppers: Ints
    times: Floats
    at: Ints
    items: Ints

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, basket: int) -> Ints:
        return self.items[self.at[basket] : self.at[basket + 1]]

    @property
    def owner(self) -> Ints:
        """The basket of each item (items,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.at))

    def where(self, chosen: Ints) -> "Baskets":
        """These baskets (k,) alone, in this order."""
        sizes = np.diff(self.at)[chosen]
        at = np.append(0, np.cumsum(sizes))
        flat = np.repeat(self.at[chosen] - at[:-1], sizes) + np.arange(at[-1])
        return Baskets(self.shoppers[chosen], self.times[chosen], at, self.items[flat])

    def before(self, time: float) -> "Baskets":
        """Those from before this time."""
        return self.where(np.flatnonzero(self.times < time))

    def earlier(self, basket: int) -> list[int]:
        """The same shopper's baskets before this one, oldest first."""
        first = int(np.searchsorted(self.shoppers, self.shoppers[basket]))
        return list(range(first, basket))


def baskets_of(sequences: Sequences, gap_minutes: float) -> Baskets:
    """All baskets in the sequences; items are numbered as there. Without a purchase, none.

    Cancels are passed over: what was bought together was, whatever came of it.
    """
    types = list(sequences.weights)
    bought = np.zeros(len(sequences.items), bool)
    if PURCHASE in types:
        bought = (sequences.types == types.index(PURCHASE)) & (sequences.items != NONE)
    places = np.flatnonzero(bought)
    visits = visits_of(sequences, gap_minutes)[places]
    most = int(sequences.items.max(initial=0)) + 1
    _, first = np.unique(visits * most + sequences.items[places], return_index=True)
    first = np.sort(first)
    places, visits = places[first], visits[first]
    _, begin = np.unique(visits, return_index=True)
    return Baskets(
        sequences.owner[places[begin]],
        sequences.times[places[begin]],
        np.append(begin, len(places)),
        sequences.items[places],
    )
