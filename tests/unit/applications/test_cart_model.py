"""What a cart says for other items, by hand."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest

from indexes.storage.arrays import Ints
from reranker.applications.carts import cart_counts
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


def drawn_baskets(shoppers: int, items: int) -> Baskets:
    """Of 1 to 4 baskets each, of 1 to 5 items; even and odd items are never together."""
    rng = np.random.default_rng(3)
    lists = []
    for shopper in range(shoppers):
        for _ in range(rng.integers(1, 5)):
            own = rng.permutation(items // 2)[: rng.integers(1, 6)] * 2 + rng.integers(2)
            lists.append((shopper, own.tolist()))
    return baskets(*lists)


@pytest.mark.parametrize("pairs_at_a_time", [1, 40, 4_000_000])
@pytest.mark.parametrize("least", [2, 3])
def test_items_are_together_where_so_many_shoppers_had_both(
    monkeypatch: pytest.MonkeyPatch, least: int, pairs_at_a_time: int
) -> None:
    """As a plain loop over shoppers has it, however few pairs are held at a time."""
    monkeypatch.setattr(cart_counts, "_PAIRS", pairs_at_a_time)
    drawn = drawn_baskets(60, 16)
    who: dict[tuple[int, int], set[int]] = {}
    for at in range(len(drawn)):
        for pair in permutations(drawn[at].tolist(), 2):
            who.setdefault(pair, set()).add(int(drawn.shoppers[at]))
    wanted = {pair for pair, shoppers in who.items() if len(shoppers) >= least}
    counts = count_baskets(drawn, np.zeros(16, np.int64), least)
    assert wanted and pairs_of(counts.at, counts.near) == wanted
    assert pairs_of(counts.ease_at, counts.ease_near) <= wanted


def test_ease_is_the_inverse_of_all_items_at_once() -> None:
    """Items that nothing connects are worked out apart, and come to the same."""
    drawn, items = drawn_baskets(60, 16), 18  # two were never bought
    held = np.zeros((len(drawn), items))
    held[drawn.owner, drawn.items] = 1.0
    inverse = np.linalg.inv(held.T @ held + 5.0 * np.eye(items))
    wanted = np.maximum(inverse / -np.diag(inverse), 0.0)
    wanted[np.abs(wanted) < 1e-12] = 0.0
    np.fill_diagonal(wanted, 0.0)
    counts = count_baskets(drawn, np.zeros(items, np.int64), ridge=5.0)
    found = np.zeros((items, items))
    found[np.repeat(np.arange(items), np.diff(counts.ease_at)), counts.ease_near] = counts.ease
    np.testing.assert_allclose(found, wanted, rtol=2**-7)  # as published: rounded


def pairs_of(at: Ints, near: npt.NDArray[np.int32]) -> set[tuple[int, int]]:
    rows = np.repeat(np.arange(len(at) - 1), np.diff(at))
    return set(zip(rows.tolist(), near.tolist(), strict=True))


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
