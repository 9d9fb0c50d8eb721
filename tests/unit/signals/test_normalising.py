"""Normalised values by hand, and what holds for any numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reranker.signals.columns import Column, Normalise, normalised

NAN = float("nan")


def column(values: list[float], known: list[bool] | None = None) -> Column:
    return Column(np.array(values), np.array(known if known else [True] * len(values)))


def test_minmax_by_hand() -> None:
    assert normalised(column([2, 4, 3]), "minmax").tolist() == [0, 1, 1 / 2]
    assert normalised(column([5, 5]), "minmax").tolist() == [0, 0]


def test_zscore_by_hand() -> None:
    # mean 2, deviations -1 0 1, variance 2/3
    assert normalised(column([1, 2, 3]), "zscore") == pytest.approx(
        np.array([-1, 0, 1]) / (2 / 3) ** 0.5
    )


def test_rank_shares_places_between_equals() -> None:
    # places from below: 10 -> 0, the two 20s -> (1 + 2) / 2, 30 -> 3; over 3
    assert normalised(column([20, 10, 20, 30]), "rank").tolist() == [0.5, 0, 0.5, 1]
    assert normalised(column([7]), "rank").tolist() == [0]


def test_unknown_candidates_get_the_mean_of_the_known() -> None:
    values = normalised(column([0, NAN, 1, 1], [True, False, True, True]), "minmax")
    assert values.tolist() == [0, 2 / 3, 1, 1]


def test_the_mean_of_equal_values_is_that_value() -> None:
    values = normalised(column([0.1, 0.1, 0.1, NAN], [True, True, True, False]), "none")
    assert values.tolist() == [0.1] * 4


def test_huge_values_stay_finite_when_weighed_and_added() -> None:
    values = normalised(column([1e308, 1e308, -1e308, NAN], [True, True, True, False]), "none")
    assert np.isfinite(values * 1e6).all() and values[0] == values[1] > values[3] > values[2]


def test_nothing_known_says_nothing() -> None:
    assert normalised(column([NAN, NAN], [False, False]), "zscore").tolist() == [0, 0]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.sampled_from(["minmax", "zscore", "rank", "none"]),
)
def test_finite_in_finite_out_and_order_kept(values: list[float], how: Normalise) -> None:
    out = normalised(column(values), how)
    assert np.isfinite(out).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(out[order]) >= -1e-9).all()
