"""test_fail_if.py: conditions for CI: which can be read, and when each of them holds."""

import pytest

from indexes.errors import Failure
from reranker.evaluation.conditions import Failed, fail_if, failed
from reranker.metrics.intervals import Difference

METRICS = ("ndcg@10", "mrr")
WORSE = Difference(-0.01, -0.02, -0.004, 0.01)
UNSURE = Difference(0.01, -0.005, 0.03, 0.2)
NONE = Difference(-0.5, None, None, None)


@pytest.mark.parametrize(
    ("expression", "worse", "unsure", "none"),
    [
        ("ndcg@10<-0.005", True, False, True),
        ("ndcg@10.mean < -0.005", True, False, True),
        ("ndcg@10<-0.01", False, False, True),
        ("ndcg@10<=-0.01", True, False, True),
        ("ndcg@10.high<0", True, False, True),
        ("ndcg@10.low<-0.005", True, False, True),
        ("ndcg@10.low<=-0.005", True, True, True),
        ("ndcg@10.low<0", True, True, True),
        ("ndcg@10>0", False, True, False),
        (" ndcg@10.high >= .03 ", False, True, True),
        ("ndcg@10<1e-3", True, False, True),
        ("mrr<+0.5", True, True, True),
    ],
)
def test_when_a_condition_holds(expression: str, worse: bool, unsure: bool, none: bool) -> None:
    condition = fail_if(expression, METRICS)
    found = [bool(condition.of("b", one)) for one in (WORSE, UNSURE, NONE)]
    assert found == [worse, unsure, none]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("", "METRIC<NUMBER"),
        ("ndcg@10", "METRIC<NUMBER"),
        ("ndcg@10=0", "METRIC.low<NUMBER"),
        ("ndcg@10<zero", "METRIC.high<NUMBER"),
        ("ndcg@10<0 or mrr<0", "<, <=, > or >="),
        ("map<0", "measured are ndcg@10, mrr"),
        ("ndcg@5.low<0", "--metric ndcg@5"),
        ("mrr.p<0.05", "allowed are mean, low, high"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(expression: str, allowed: str) -> None:
    with pytest.raises(Failure) as refused:
        fail_if(expression, METRICS)
    assert allowed in str(refused.value)
    assert repr(expression) in str(refused.value)
    assert refused.value.field == "fail_if"


def test_each_condition_is_asked_of_each_blend() -> None:
    conditions = [fail_if("ndcg@10<0", METRICS), fail_if("mrr.high<0", METRICS)]
    differences = {
        "good": {"ndcg@10": UNSURE, "mrr": UNSURE},
        "bad": {"ndcg@10": WORSE, "mrr": NONE},
    }
    found = failed(conditions, differences)
    assert found == [Failed("ndcg@10<0", "bad", -0.01), Failed("mrr.high<0", "bad", None)]
    assert str(found[0]) == "ndcg@10<0 holds for bad: it is -0.0100"
    assert str(found[1]) == "mrr.high<0 holds for bad: there is no interval"
