"""What a cart says for other items, by hand."""

import numpy as np
import pytest

from reranker.applications.carts.baskets import Baskets
from reranker.applications.carts.cart_counts import count_baskets, same_shelf_lifts
from reranker.applications.carts.cart_fitting import completions, fit_carts, next_baskets, numbered
from reranker.applications.carts.cart_model import COMPONENTS, CartReader, personal_worth


def baskets(*lists: tuple[int, list[int]], day: float = 0.0) -> Baskets:
    return Baskets(
        np.array([shopper for shopper, _ in lists]),
        np.arange(len(lists)) * 86_400.0 * day,
        np.append(0, np.cumsum([len(items) for _, items in lists])),
        np.concatenate([np.array(items) for _, items in lists]),
    )


FOUR = baskets((0, [0, 1]), (1, [0, 1, 2]), (2, [0, 3]), (3, [2]))
PLAIN = np.zeros(4, np.int64)


def test_the_columns_are_what_their_names_say() -> None:
    """0 was bought three times, 1 twice, 2 twice, 3 once; 0 and 1 twice together, of 4 baskets."""
    pool = CartReader(count_baskets(FOUR, PLAIN)).pool(np.array([0]), [])
    assert pool.numbers.tolist() == [0, 1, 2, 3]
    column = {name: pool.columns[:, at] for at, name in enumerate(COMPONENTS)}
    assert column["together"] == pytest.approx(np.log1p([0, 100 * 2 / 3, 100 / 3, 100 / 3]))
    assert column["cosine"] == pytest.approx(
        np.log1p([0, 100 * 2 / 6**0.5, 100 / 6**0.5, 100 / 3**0.5])
    )
    chance = np.array([8 * 7, 8 * 7, 8 * 6]) / 4
    assert column["lift"][1:] == pytest.approx(np.log1p(np.array([2, 1, 1]) / chance))
    assert column["popular"] == pytest.approx(np.log1p([3, 2, 2, 1]))
    assert not column["personal"].any() and not column["past"].any()


def test_an_older_basket_counts_nine_tenths() -> None:
    owned, worth = personal_worth([np.array([5, 7]), np.array([7])])
    assert owned.tolist() == [5, 7]
    assert worth == pytest.approx([0.9 / 1.9, 1.0])


def test_a_basket_of_half_a_year_ago_counts_half() -> None:
    counts = count_baskets(baskets((0, [0, 1]), (1, [1]), day=180), np.zeros(2, np.int64))
    assert counts.counts.tolist() == [0.5, 1.5]
    assert counts.pairs.tolist() == [0.5, 0.5] and counts.total == 1.5


def test_what_one_shopper_put_together_says_nothing() -> None:
    twice = baskets((0, [0, 1]), (0, [0, 1]), (1, [2, 3]), (2, [2, 3]))
    counts = count_baskets(twice, PLAIN, least_together=2)
    assert counts.near.tolist() == [3, 2]
    assert set(counts.ease_near.tolist()) <= {2, 3}
    few, rows = numbered(twice, least=2)
    assert rows.tolist() == [2, 3] and few.items.tolist() == [0, 1, 0, 1]


def test_a_category_whose_items_are_never_bought_together_completes_nothing() -> None:
    shelves = np.array([1, 1, 2, 2])
    apart = baskets(*((at, [at % 2, 2, 3]) for at in range(20)))
    lifts = same_shelf_lifts(apart, shelves)
    assert lifts[1] < 1.0 < lifts[2]
    reader = CartReader(count_baskets(apart, shelves))
    unwanted = reader.substitutes(np.array([0, 2]), np.arange(4), np.array([2]))
    assert unwanted.tolist() == [True, True, False, False]


def test_cases_hide_what_they_ask_for() -> None:
    own = baskets((0, [0, 1]), (0, [2]), (0, [1, 3]))
    every = np.arange(3)
    for case in completions(own, every):
        assert len(case.truth) == 1 and case.truth[0] not in case.cart
        assert set([*case.cart, *case.truth]) == set(own[case.basket])
    foreseen = next_baskets(own, every)
    assert [case.truth.tolist() for case in foreseen] == [[2], [1, 3]]
    assert foreseen[1].cart.tolist() == [2] and len(foreseen[1].past) == 2


def test_the_blend_is_fitted_and_named() -> None:
    rng = np.random.default_rng(0)
    pairs = [int(at) for at in rng.integers(20, size=2_000)]
    shop = baskets(*((at // 4, [2 * one, 2 * one + 1]) for at, one in enumerate(pairs)), day=0.01)
    fitted = fit_carts(shop, np.zeros(40, np.int64))
    reader = CartReader(fitted.counts)
    weights = np.array([fitted.weights["complete"][name] for name in COMPONENTS])
    pool = reader.pool(np.array([6]), []).without(np.array([6]))
    assert pool.numbers[np.argmax(pool.columns @ weights)] == 7
    assert fitted.chosen["complete"] in {"blend", *COMPONENTS}
