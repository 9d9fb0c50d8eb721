"""What lies in a cart after events, and what was bought together."""

import pytest

from reranker.applications.carts.baskets import baskets_of
from reranker.applications.carts.carts import CartLine, cart_of, past_baskets
from reranker.events.events import TYPES, HistoryEvent
from reranker.training.sequences import sequences_of


def event(kind: str, item: str, minute: float, quantity: float | None = None) -> HistoryEvent:
    return HistoryEvent(type=kind, item=item, time=60.0 * minute, quantity=quantity)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([("cart", "a", 0, 2), ("cart", "a", 1, None)], [("a", 3.0)]),
        ([("cart", "a", 0, 2), ("uncart", "a", 1, 1)], [("a", 1.0)]),
        ([("cart", "a", 0, 2), ("uncart", "a", 1, -2)], []),
        ([("cart", "a", 0, 2), ("uncart", "a", 1, None), ("cart", "b", 2, None)], [("b", 1.0)]),
        ([("cart", "a", 0, 1), ("cart", "b", 0, 1), ("purchase", "a", 1, 1)], [("b", 1.0)]),
        ([("uncart", "a", 0, 1), ("view", "b", 1, None), ("cart", "c", 2, 1)], [("c", 1.0)]),
    ],
)
def test_uncart_and_purchase_take_items_out(
    events: list[tuple[str, str, float, float | None]], lines: list[tuple[str, float]]
) -> None:
    left = cart_of(event(*one) for one in events)
    assert [(line.item, line.quantity) for line in left] == lines


def test_a_line_keeps_its_first_time_and_its_newest_price() -> None:
    first = HistoryEvent(type="cart", item="a", time=1.0, price=2.0)
    again = HistoryEvent(type="cart", item="a", time=5.0, price=3.0)
    assert cart_of([first, again]) == [CartLine("a", 2.0, 1.0, 3.0)]


def test_a_basket_is_what_one_visit_bought_once_each() -> None:
    events = [
        *(event("purchase", "a", 0), event("view", "x", 5), event("purchase", "b", 20)),
        *(event("purchase", "a", 20), event("purchase", "c", 90)),
    ]
    assert past_baskets(events, 30.0) == [["a", "b"], ["c"]]
    sequences = sequences_of([("u", one) for one in events], TYPES)
    baskets = baskets_of(sequences, 30.0)
    names = [[sequences.item_ids[row] for row in baskets[at]] for at in range(len(baskets))]
    assert names == [["a", "b"], ["c"]]
    assert baskets.earlier(1) == [0] and baskets.times.tolist() == [0.0, 5400.0]
