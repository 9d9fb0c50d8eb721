"""What is fitted to clicks on one fixed order is what shoppers want, not that order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.click_worlds import (
    LOOKED_AT,
    SERVED,
    TASTE,
    blend_of,
    searches,
    true_value,
)
from support.shop import THINGS, copy_home

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.evaluation.requests import JudgedRequestReader
from reranker.evaluation.results import query_results
from reranker.evaluation.settings import EvaluationSettings
from reranker.metrics.ranking import measures
from reranker.ranking.ranking import Ranked, Ranking
from reranker.ranking.state import load_state
from reranker.requests import Candidate, JudgedRequest
from reranker.tuning.click_estimates import CURVES
from reranker.tuning.columns import JudgedColumns
from reranker.tuning.fitting import Fitter
from reranker.tuning.report import report as report_text
from reranker.tuning.tune import TuneOptions, tune

TESTED = searches(200, 99, "true")
START = blend_of(SERVED)


def fitted(requests: list[JudgedColumns], kind: str = "linear") -> tuple[Fitter, Blend]:
    fitter = Fitter(requests, START, measures(), threads=1)
    return fitter, fitter.fit(kind, np.arange(len(requests))).blend  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fit_to_clicks_is_as_good_as_one_to_true_grades(seed: int) -> None:
    clicks = searches(600, seed, "clicks")
    fitter, blend = fitted(clicks)
    value = true_value(blend, TESTED)
    truth = true_value(fitted(searches(600, seed + 50, "true"))[1], TESTED)
    assert truth > 0.98 * true_value(blend_of(TASTE), TESTED)
    assert value >= 0.98 * truth
    served = true_value(START, TESTED)
    assert served < 0.65 * truth
    # As grades of all candidates, unseen ones not wanted, the same clicks teach the order served.
    naive = true_value(fitted([replace(one, positions=None) for one in clicks])[1], TESTED)
    assert naive < 0.8 * truth
    assert fitter.examination
    found = fitter.examination.by_position
    assert (np.diff(found) <= 0).all()
    np.testing.assert_allclose(found[:12], LOOKED_AT[:12], atol=0.12)


@pytest.mark.parametrize("count", [24, 60])
def test_few_clicks_are_no_worse_than_the_first_weights(count: int) -> None:
    for seed in range(3):
        _, blend = fitted(searches(count, seed, "clicks"))
        assert true_value(blend, TESTED) >= true_value(START, TESTED) - 0.005


@pytest.mark.parametrize("kind", ["curves", "trees"])
def test_curves_and_trees_of_clicks_are_as_good_as_of_true_grades(kind: str) -> None:
    clicks = searches(600, 1, "clicks")
    value = true_value(fitted(clicks, kind)[1], TESTED)
    assert value >= 0.98 * true_value(fitted(searches(600, 51, "true"), kind)[1], TESTED)
    blind = [replace(one, positions=None) for one in clicks]
    assert value > true_value(fitted(blind, kind)[1], TESTED) + 0.1


@pytest.mark.parametrize("kind", ["curves", "trees"])
def test_few_clicks_move_no_kind_below_the_first_weights(kind: str) -> None:
    value = true_value(fitted(searches(60, 2, "clicks"), kind)[1], TESTED)
    assert value >= true_value(START, TESTED) - 0.005


def click_log(count: int) -> list[JudgedRequest]:
    """Searches for one thing among four, shown in an order that knows nothing; 12 of 20 shown."""
    requests: list[JudgedRequest] = []
    rng, names = np.random.default_rng(8), list(THINGS)
    while len(requests) < count:
        wanted, *others = rng.permutation(len(names))[:4].tolist()
        ids = [str(5 * thing + place) for thing in (wanted, *others) for place in range(5)]
        mixed = [ids[place] for place in rng.permutation(len(ids)).tolist()]
        clicks = [
            item
            for place, item in enumerate(mixed[:12])
            if int(item) // 5 == wanted and rng.random() < 0.8 / (1 + place)
        ]
        if clicks:
            requests.append(
                JudgedRequest(
                    [Candidate(item, 20.0 - place) for place, item in enumerate(mixed)],
                    id=f"q{len(requests)}",
                    session=f"s{len(requests)}",
                    query=names[wanted],
                    ratings=dict.fromkeys(clicks, 1.0),
                    shown=mixed[:12],
                )
            )
    return requests


def test_the_report_of_clicks_is_an_estimate(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    weak = Blend(name="default", signals={"engine": SignalWeight(1.0), "match": SignalWeight(0.01)})
    BlendStore(Workspace(home).blends_root).save(weak, publish=True)
    options = TuneOptions(kinds=("linear",), threads=1)
    settings = EvaluationSettings(resamples=500)
    report, blend = tune(click_log(150), load_state(Workspace(home)), options, settings=settings)
    clicks = report.clicks
    assert clicks is not None and (clicks.rankings, clicks.curves) == (150, CURVES)
    assert clicks.orders["engine"].clicks.value == pytest.approx(clicks.observed.value)
    assert clicks.orders["chosen"].clicks.value > 1.5 * clicks.observed.value
    assert report.recommended and report.proof.mean == clicks.difference.value
    assert report.pareto == [] and blend.signals["semantic"].weight > 0
    text = report_text(report, None)
    assert "off-policy estimates" in text and "ndcg" not in text and "recommended" in text


def row(**more: object) -> dict[str, object]:
    return {"candidates": [{"id": "a"}, {"id": "b"}, {"id": 7}], "ratings": {"b": 1}} | more


def test_what_was_shown_is_read_and_checked() -> None:
    read = JudgedRequestReader().read
    assert read(row()).shown is None
    assert read(row(shown=["b ", 7])).shown == ["b", "7"]
    with pytest.raises(Failure, match=r"shown\[1\] is 'x', which is none of the candidates"):
        read(row(shown=["b", "x"]))
    with pytest.raises(Failure, match="twice"):
        read(row(shown=["b", "b"]))


def test_a_metric_passes_over_what_was_never_shown() -> None:
    def reversed_(request: object) -> Ranking:
        ids = [one.id for one in request.candidates][::-1]  # type: ignore[attr-defined]
        ranked = [
            Ranked(id=item, index=2 - at, rank=at + 1, score=0) for at, item in enumerate(ids)
        ]
        return Ranking(ranked, None, {}, [], None)  # type: ignore[arg-type]

    for shown, wanted in ((None, 0.5), (["a", "b"], 1.0)):
        judged = JudgedRequestReader().read(row(shown=shown))
        (result,) = query_results([judged], {"reversed": reversed_}, measures())
        assert result.metrics["reversed"]["mrr"] == wanted
        assert result.metrics["engine"]["mrr"] == 0.5
