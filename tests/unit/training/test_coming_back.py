"""Whether shoppers come back to an item, on shops where it is known how they choose."""

from collections.abc import Callable

import numpy as np
import pytest

from reranker.events.events import HistoryEvent
from reranker.model.settings import TrainSettings
from reranker.training.item_statistics import CountedStatistics, count_statistics
from reranker.training.sequences import sequences_of

TYPES = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
FUNNEL = ("view", "cart", "purchase")
DAY = 86_400.0
SHELVES, EACH = 10, 8
Chosen = Callable[[np.random.Generator, int, list[int]], int]


def shop(choose: Chosen, visits: int, shoppers: int = 300) -> CountedStatistics:
    """Each shopper keeps to one shelf, and buys one item a visit, from view to purchase."""
    rng = np.random.default_rng(5)
    events = []
    for shopper in range(shoppers):
        shelf, past = shopper % SHELVES, []
        for visit in range(visits):
            item = choose(rng, shelf, past)
            past.append(item)
            events += [
                (f"u {shopper}", HistoryEvent(type=kind, item=f"{item}", time=at))
                for step, kind in enumerate(FUNNEL)
                for at in [1e9 + visit * 9 * DAY + 60.0 * step]
            ]
    sequences = sequences_of(events, TYPES)
    shelves = np.array([int(item) // EACH for item in sequences.item_ids])
    return count_statistics(sequences, sequences.item_ids, TrainSettings(), shelves)


def anything(rng: np.random.Generator, shelf: int, _past: list[int]) -> int:
    return shelf * EACH + int(rng.integers(EACH))


def something_new(rng: np.random.Generator, shelf: int, past: list[int]) -> int:
    left = sorted(set(range(shelf * EACH, (shelf + 1) * EACH)) - set(past))
    return left[int(rng.integers(len(left)))]


def the_same(rng: np.random.Generator, shelf: int, past: list[int]) -> int:
    return past[0] if past else anything(rng, shelf, past)


def test_where_nobody_comes_again_nothing_is_said() -> None:
    assert shop(anything, visits=1).card.lifts == dict.fromkeys(TYPES, 0.0)


def test_who_keeps_to_a_shelf_and_takes_anything_of_it_does_not_come_back() -> None:
    lifts = shop(anything, visits=4).card.lifts
    assert lifts == pytest.approx(dict.fromkeys(TYPES, 0.0), abs=0.15)


def test_bought_moves_down_where_nobody_returns_and_up_where_all_do() -> None:
    down, up = shop(something_new, visits=4).card.lifts, shop(the_same, visits=4).card.lifts
    assert all(value < -3.0 for value in down.values())
    assert up == pytest.approx(dict.fromkeys(TYPES, np.log(EACH)), abs=0.3)


def test_a_view_a_cart_and_a_purchase_are_one_meeting_of_two_items() -> None:
    def of(kinds: tuple[str, ...]) -> CountedStatistics:
        events = [
            (f"u {shopper}", HistoryEvent(type=kind, item=item, time=1e9 + 60.0 * step))
            for shopper in range(9)
            for step, (item, kind) in enumerate((item, kind) for item in "abc" for kind in kinds)
        ]
        sequences = sequences_of(events, TYPES)
        return count_statistics(sequences, sequences.item_ids)

    whole, viewed = of(FUNNEL), of(("view",))
    assert whole.card.item_ids == viewed.card.item_ids
    np.testing.assert_allclose(whole.neighbours.toarray(), viewed.neighbours.toarray())
