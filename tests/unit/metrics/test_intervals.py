"""test_intervals.py: intervals cover, p-values are honest, against closed forms and simulation."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from reranker.metrics.intervals import (
    Difference,
    bootstrap_interval,
    over_folds,
    paired_differences,
    randomisation_p,
)

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.normal(0.0, 0.1, shape)


def ndcg_like(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Half the queries do not change; the others gain or lose, with a tail. The mean is 0."""
    changed = rng.beta(2, 5, shape) - 2 / 7
    return np.where(rng.random(shape) < 0.5, 0.0, changed)


def reciprocal_ranks(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.asarray(1.0 / rng.geometric(0.3, shape) - 1.0 / rng.geometric(0.3, shape))


def simulated(draw: Draw, queries: int, runs: int, resamples: int) -> tuple[float, float]:
    """Share of runs whose interval covers the true mean 0, and whose p is below 0.05.

    Twenty runs at a time are the columns of one call: they share resamples, not data.
    """
    rng = np.random.default_rng(7)
    covered, significant = [], []
    for seed in range(runs // 20):
        differences = draw(rng, (queries, 20))
        low, high = bootstrap_interval(differences, resamples=resamples, seed=seed)
        covered.append((low <= 0) & (high >= 0))
        significant.append(randomisation_p(differences, resamples=resamples, seed=seed) < 0.05)
    return float(np.mean(covered)), float(np.mean(significant))


@pytest.mark.promise(35)
@pytest.mark.parametrize("draw", [normal, ndcg_like, reciprocal_ranks])
def test_intervals_cover_and_an_a_a_comparison_is_rarely_significant(draw: Draw) -> None:
    covered, significant = simulated(draw, queries=100, runs=4000, resamples=1000)
    assert 0.93 <= covered <= 0.97
    assert 0.04 <= significant <= 0.06


@pytest.mark.promise(35)
@pytest.mark.heavy
@pytest.mark.parametrize("queries", [25, 58, 260, 1000])
@pytest.mark.parametrize("draw", [normal, ndcg_like, reciprocal_ranks])
def test_intervals_cover_at_many_sizes(draw: Draw, queries: int) -> None:
    covered, significant = simulated(draw, queries, runs=10_000, resamples=4000)
    assert 0.93 <= covered <= 0.97
    assert 0.04 <= significant <= 0.06


@pytest.mark.promise(35)
def test_clusters_cover_where_single_queries_do_not() -> None:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    by_user, by_query, p_by_user = [], [], []
    for seed in range(50):
        taste = rng.normal(0.0, 0.1, (60, 20))[users]
        differences = taste + rng.normal(0.0, 0.05, taste.shape)
        low, high = bootstrap_interval(differences, users.tolist(), resamples=1000, seed=seed)
        by_user.append((low <= 0) & (high >= 0))
        low, high = bootstrap_interval(differences, resamples=1000, seed=seed)
        by_query.append((low <= 0) & (high >= 0))
        p_by_user.append(randomisation_p(differences, users.tolist(), 1000, seed) < 0.05)
    assert 0.93 <= np.mean(by_user) <= 0.97
    assert np.mean(by_query) < 0.85
    assert 0.04 <= np.mean(p_by_user) <= 0.06


def test_folds_that_share_their_fits_have_wider_intervals() -> None:
    """Coverage of the expected error's difference: a line fitted on 24 points against no line."""
    rng = np.random.default_rng(5)
    plain, wide = [], []
    points, inputs, folds = 30, 6, 5
    of_fold = np.arange(points) % folds
    truth = _gain_of_a_line(np.random.default_rng(6), points - points // folds, inputs)
    for seed in range(150):
        x, y = _world(rng, points, inputs)
        gain = np.empty(points)
        for fold in range(folds):
            test = of_fold == fold
            line = np.linalg.lstsq(x[~test], y[~test], rcond=None)[0]
            gain[test] = y[test] ** 2 - (y[test] - x[test] @ line) ** 2
        (one,) = paired_differences(gain[:, None], resamples=400, seed=seed)
        for found, into in ((one, plain), (over_folds(one, folds), wide)):
            assert found.low is not None and found.high is not None
            into.append(found.low <= truth <= found.high)
        assert over_folds(one, 1) == one
        assert (over_folds(one, folds).p or 0) >= (one.p or 0)
    assert np.mean(wide) >= 0.94 > np.mean(plain)


def _world(rng: np.random.Generator, points: int, inputs: int) -> tuple[Any, Any]:
    x = rng.normal(size=(points, inputs))
    return x, x @ np.full(inputs, 0.15) + rng.normal(size=points)


def _gain_of_a_line(rng: np.random.Generator, points: int, inputs: int) -> float:
    gains = []
    for _ in range(2_000):
        x, y = _world(rng, points, inputs)
        line = np.linalg.lstsq(x, y, rcond=None)[0]
        away = np.full(inputs, 0.15) - line
        gains.append(inputs * 0.15**2 - away @ away)
    return float(np.mean(gains))


def test_interval_and_p_agree_with_the_t_test_on_many_normal_differences() -> None:
    differences = np.random.default_rng(1).normal(0.012, 0.1, (400, 1))
    (found,) = paired_differences(differences)
    expected = stats.ttest_1samp(differences[:, 0], 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(differences.mean())
    assert found.low == pytest.approx(interval.low, abs=5e-4)
    assert found.high == pytest.approx(interval.high, abs=5e-4)
    assert found.p == pytest.approx(expected.pvalue, abs=5e-3)


def test_p_of_a_few_queries_is_exact() -> None:
    # of 2^3 sign patterns only +++ and --- reach the sum of all
    assert randomisation_p(np.array([[0.1], [0.2], [0.3]])).tolist() == [2 / 8]
    # sums 0.1+0.2-0.3 differ from 0 by rounding only
    assert randomisation_p(np.array([[0.1], [0.2], [-0.3]])).tolist() == [1.0]
    scipys = stats.permutation_test(
        (sample := np.array([0.3, -0.1, 0.25, 0.4, 0.1, 0.05, 0.2, -0.02]),),
        np.sum,
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert randomisation_p(sample[:, None])[0] == pytest.approx(scipys.pvalue)


def test_no_difference_gives_zero_and_p_one() -> None:
    for queries in (2, 100):
        assert paired_differences(np.zeros((queries, 1))) == [Difference(0.0, 0.0, 0.0, 1.0)]


def test_one_query_or_one_shopper_gives_no_interval() -> None:
    assert paired_differences(np.array([[0.5]])) == [Difference(0.5, None, None, None)]
    (found,) = paired_differences(np.array([[0.5], [0.7]]), ["u1", "u1"])
    assert (found.low, found.high, found.p) == (None, None, None)


def test_clusters_of_one_equal_no_clusters() -> None:
    differences = np.random.default_rng(2).normal(0, 1, (50, 2))
    assert paired_differences(differences, range(50)) == paired_differences(differences)


def test_memory_does_not_grow_with_resamples_times_queries() -> None:
    differences = np.random.default_rng(2).normal(0, 1, (100_000, 2))
    tracemalloc.start()
    bootstrap_interval(differences, resamples=20)
    randomisation_p(differences, resamples=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # all draws at once would be 32 MB for the bootstrap alone


@given(
    values=st.lists(st.floats(-1, 1), min_size=2, max_size=25),
    shift=st.floats(-1, 1),
    seed=st.integers(0, 5),
)
def test_an_interval_lies_within_the_data_and_moves_with_it(
    values: list[float], shift: float, seed: int
) -> None:
    differences = np.array(values)[:, None]
    low, high = bootstrap_interval(differences, resamples=200, seed=seed)
    assert differences.min() - 1e-9 <= low[0] <= high[0] <= differences.max() + 1e-9
    moved = bootstrap_interval(differences + shift, resamples=200, seed=seed)
    assert moved[0] == pytest.approx(low + shift, abs=1e-9)
    mirrored = randomisation_p(-differences, resamples=200, seed=seed)
    p = randomisation_p(differences, resamples=200, seed=seed)
    assert 0 < p[0] <= 1
    assert mirrored == pytest.approx(p)
