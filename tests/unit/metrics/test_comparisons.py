"""test_comparisons.py: wins, effect size, Holm's correction and extremes, by hand arithmetic."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reranker.evaluation.results import SHOWN, Extremes, QueryResult
from reranker.metrics.intervals import randomisation_p
from reranker.metrics.significance import Comparison, comparisons, effect_size, holm

P = st.one_of(st.none(), st.floats(0, 1))


def test_holm_by_hand() -> None:
    # in order: 0.01 x 4, 0.02 x 3, max(0.03 x 2, before), max(0.04 x 1, before)
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_comparison_without_a_p_is_not_counted_by_holm() -> None:
    assert holm([None, 0.02, 0.03]) == [None, 0.04, 0.04]
    assert holm([None]) == [None]


@given(st.lists(P, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(ps: list[float | None]) -> None:
    pairs = [(p, q) for p, q in zip(ps, holm(ps), strict=True) if p is not None and q is not None]
    assert len(pairs) == sum(p is not None for p in ps)
    assert all(p <= q <= 1 for p, q in pairs)
    assert all(q <= other for (p, q), (more, other) in product(pairs, pairs) if p <= more)


def test_holm_keeps_the_promise_over_five_equal_blends() -> None:
    """Of runs with five blends that change nothing, at most 5 % may call any of them different."""
    rng = np.random.default_rng(5)
    any_found, any_corrected = [], []
    for seed in range(100):
        engine = rng.normal(0, 0.1, (60, 20, 1))
        differences = rng.normal(0, 0.1, (60, 20, 5)) - engine  # all against one engine
        ps = randomisation_p(differences.reshape(60, 100), resamples=500, seed=seed)
        for one in ps.reshape(20, 5).tolist():
            any_found.append(min(one) < 0.05)
            any_corrected.append(min(p for p in holm(one) if p is not None) < 0.05)
    assert np.mean(any_found) > 0.1
    assert np.mean(any_corrected) <= 0.06


def test_effect_size_by_hand() -> None:
    # mean 0.2; deviations -0.1, 0.1, 0, so that the variance is 0.02 / 2 = 0.01
    assert effect_size(np.array([0.1, 0.3, 0.2])) == pytest.approx(0.2 / 0.1)
    assert effect_size(np.array([-0.1, -0.3, -0.2])) == pytest.approx(-2.0)


def test_effect_size_where_there_is_no_deviation() -> None:
    assert effect_size(np.zeros(5)) == 0.0
    assert effect_size(np.full(5, 0.1)) is None
    assert effect_size(np.array([0.5])) is None


def test_wins_ties_and_losses_of_each_metric() -> None:
    differences = np.array([[0.1, 0.0], [-0.1, 1e-12], [0.2, -0.5], [0.0, -0.5]])
    first, second = comparisons(differences, [0.04, None])
    assert (first.wins, first.ties, first.losses, first.p_holm) == (2, 1, 1, 0.04)
    # 0.1 + 0.2 - 0.3 is a tie
    assert (second.wins, second.ties, second.losses, second.p_holm) == (0, 2, 2, None)
    assert first.effect == effect_size(differences[:, 0])
    assert isinstance(first, Comparison)


def result(place: int, before: float, after: float) -> QueryResult:
    metrics = {"engine": {"mrr": before}, "b": {"mrr": after}}
    return QueryResult(f"q{place}", f"query {place}", None, 1, 1, {}, metrics, {}, 0)


def test_the_most_hurt_and_the_most_helped_come_first() -> None:
    extremes = Extremes("mrr", "b", "engine")
    for place, (before, after) in enumerate([(1, 0.5), (0.5, 1), (0, 1), (1, 0), (0.3, 0.3)]):
        extremes.add(result(place, before, after))
    assert [(one.id, one.delta) for one in extremes.hurt] == [("q3", -1), ("q0", -0.5)]
    assert [(one.id, one.delta) for one in extremes.helped] == [("q2", 1), ("q1", 0.5)]
    first = extremes.hurt[0]
    assert (first.query, first.before, first.after) == ("query 3", 1, 0)


@given(st.lists(st.sampled_from([-0.5, -0.25, 0.0, 0.25, 0.5]), max_size=60))
def test_ten_are_kept_and_of_equal_ones_the_first(deltas: list[float]) -> None:
    extremes = Extremes("mrr", "b", "engine")
    for place, delta in enumerate(deltas):
        extremes.add(result(place, 0.5, 0.5 + delta))
    places = range(len(deltas))
    hurt = sorted((place for place in places if deltas[place] < 0), key=lambda one: deltas[one])
    helped = sorted((place for place in places if deltas[place] > 0), key=lambda one: -deltas[one])
    assert [one.id for one in extremes.hurt] == [f"q{place}" for place in hurt[:SHOWN]]
    assert [one.id for one in extremes.helped] == [f"q{place}" for place in helped[:SHOWN]]
