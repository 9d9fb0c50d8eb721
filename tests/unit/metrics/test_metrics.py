"""test_metrics.py: hand arithmetic, trec_eval's numbers, and what must hold for any grades."""

from math import log2

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, Qrel, R, ScoredDoc, Success, nDCG

from indexes.errors import Failure
from reranker.metrics import ranking as metrics
from reranker.metrics.ranking import DEFAULT_METRICS, MAX_GRADE, measures

GRADES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=30)


def test_ndcg_by_hand() -> None:
    # gains 0, 7, 1; the ideal also holds a rated item (grade 2, gain 3) that was not a candidate
    dcg = 0 / log2(2) + 7 / log2(3) + 1 / log2(4)
    ideal = 7 / log2(2) + 3 / log2(3) + 1 / log2(4)
    assert metrics.ndcg([0, 3, 1], [1, 2, 3]) == pytest.approx(dcg / ideal, abs=1e-12)


def test_ndcg_of_fractional_grades_by_hand() -> None:
    low, high = 2**0.5 - 1, 2**1.5 - 1
    expected = (low + high / log2(3)) / (high + low / log2(3))
    assert metrics.ndcg([0.5, 1.5], [0.5, 1.5]) == pytest.approx(expected, abs=1e-12)


def test_ndcg_with_linear_gain_by_hand() -> None:
    assert metrics.ndcg([1, 3], [1, 3], linear_gain=True) == pytest.approx(
        (1 + 3 / log2(3)) / (3 + 1 / log2(3)), abs=1e-12
    )


def test_ndcg_cuts_ranking_and_ideal_at_k() -> None:
    assert metrics.ndcg([0, 1], [1, 0], k=1) == 0.0
    assert metrics.ndcg([1, 0, 1], [1, 1, 1], k=1) == 1.0


def test_the_other_metrics_by_hand() -> None:
    grades, ratings = [0.0, 0.5, 0.0, 2.0], [0.5, 2.0, 1.0]  # one relevant item was not found
    assert metrics.mrr(grades) == 1 / 2
    assert metrics.precision(grades, 10) == 2 / 10
    assert metrics.precision(grades, 2) == 1 / 2
    assert metrics.recall(grades, ratings, 2) == 1 / 3
    assert metrics.recall(grades, ratings, 10) == 2 / 3
    assert (metrics.hit(grades, 1), metrics.hit(grades, 2)) == (0.0, 1.0)
    assert metrics.average_precision(grades, ratings) == pytest.approx((1 / 2 + 2 / 4) / 3)


@pytest.mark.promise(35)
def test_nothing_relevant_gives_zero_everywhere_and_no_ideal() -> None:
    zeros = np.zeros(3)
    assert measures().of(zeros, zeros) == (0.0,) * len(DEFAULT_METRICS)
    assert measures().of(np.zeros(0), np.ones(1)) == (0.0,) * len(DEFAULT_METRICS)
    assert not metrics.has_ideal([0.0, 0.0])
    assert not metrics.has_ideal([])
    assert metrics.has_ideal([0.0, 0.1])


def test_an_unjudged_item_counts_as_zero() -> None:
    assert metrics.grades_of(["a", "b"], {"b": 2.0, "elsewhere": 1.0}).tolist() == [0.0, 2.0]


def test_the_largest_grade_stays_finite() -> None:
    assert metrics.ndcg([0, MAX_GRADE], [MAX_GRADE] * 1000) < 1.0


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@-1", "ndcg@x", "mrr@", "precision", ""])
def test_an_unknown_metric_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(Failure, match="ndcg@K, precision@K, recall@K, hit@K, mrr, map"):
        measures([name])


@pytest.mark.promise(35)
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_trec_eval_on_integer_grades(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = {
        "ndcg@10": nDCG @ 10,
        "ndcg@5": nDCG @ 5,
        "mrr": RR,
        "precision@10": P @ 10,
        "recall@10": R @ 10,
        "hit@10": Success @ 10,
        "map": AP,
    }
    qrels, run = [], []
    expected: dict[tuple[str, str], float] = {}
    for query in map(str, range(60)):
        rated = {f"i{i}": int(rng.integers(0, 4)) for i in range(rng.integers(1, 60))} | {"i0": 1}
        ranked = [f"i{i}" for i in rng.permutation(80)[: rng.integers(1, 60)]]
        qrels += [Qrel(query, item, grade) for item, grade in rated.items()]
        # trec_eval breaks equal scores by id, so it is given ranks
        run += [ScoredDoc(query, item, -float(rank)) for rank, item in enumerate(ranked)]
        grades = metrics.grades_of(ranked, {item: float(g) for item, g in rated.items()})
        values = measures(pairs, linear_gain=True).of(grades, np.array([*rated.values()], float))
        expected |= {(query, str(m)): v for m, v in zip(pairs.values(), values, strict=True)}
    for found in ir_measures.iter_calc([*pairs.values()], qrels, run):
        ours = expected.pop((found.query_id, str(found.measure)))
        assert ours == pytest.approx(found.value, abs=1e-6), found
    assert not expected


@given(grades=GRADES, others=GRADES, linear=st.booleans())
def test_every_metric_lies_between_zero_and_one(
    grades: list[float], others: list[float], linear: bool
) -> None:
    names = [*DEFAULT_METRICS, "ndcg@1", "ndcg@1000"]
    values = measures(names, linear).of(np.array(grades), np.array(grades + others))
    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values)
    assert {type(value) for value in values} == {float}  # they are written as JSON


@given(grades=GRADES, linear=st.booleans())
def test_the_best_order_is_one_and_the_worst_order_is_not_better(
    grades: list[float], linear: bool
) -> None:
    best = sorted(grades, reverse=True)
    expected = 1.0 if metrics.has_ideal(grades, linear) else 0.0
    assert metrics.ndcg(best, grades, 10, linear) == pytest.approx(expected)
    for name, worst, top in zip(
        DEFAULT_METRICS,
        measures().of(np.array(best[::-1]), np.array(grades)),
        measures().of(np.array(best), np.array(grades)),
        strict=True,
    ):
        assert worst <= top + 1e-12, name


@given(grades=GRADES, data=st.data())
def test_moving_a_better_item_up_never_lowers_ndcg(
    grades: list[float], data: st.DataObject
) -> None:
    upper = data.draw(st.integers(0, len(grades) - 1))
    lower = data.draw(st.integers(upper, len(grades) - 1))
    swapped = [*grades]
    swapped[upper], swapped[lower] = sorted((grades[upper], grades[lower]), reverse=True)
    assert metrics.ndcg(swapped, grades) >= metrics.ndcg(grades, grades) - 1e-12
