"""The position-based model: by hand, its invariants, and the demo shop's truth found again."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.feedback import requests_commands
from reranker.commands.feedback_report import read_positions
from reranker.feedback.click_counts import ClickCounts, clicked_on
from reranker.feedback.click_judgments import attractiveness, click_judgments
from reranker.feedback.click_models import ClickModel, Examination, falling, fit_clicks
from reranker.feedback.joins import JoinedRanking
from reranker.feedback.records import LoggedRanking
from reranker.histories.histories import Shopper


def swapped(first: float, second: float, appeal: tuple[float, float], shown: float) -> Any:
    """Two items that were shown in both orders, with exactly the clicks that are expected."""
    pair, position = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 1])
    looked, liked = np.array([first, second])[position], np.array(appeal)[pair]
    return pair, position, np.full(4, shown), shown * looked * liked


@pytest.mark.parametrize("method", ["balance", "em"])
def test_two_items_in_both_orders_tell_the_curve(method: Any) -> None:
    model = fit_clicks(*swapped(1.0, 0.4, (0.5, 0.2), 1000), "free", method)
    assert model.examination.by_position == pytest.approx([1.0, 0.4], abs=1e-3)
    assert model.attractiveness == pytest.approx([0.5, 0.2], abs=1e-3)
    assert model.telling_pairs == 2


def test_only_products_are_seen_so_the_first_position_is_the_measure() -> None:
    model = fit_clicks(*swapped(0.8, 0.4, (0.5, 0.2), 1000), "free")
    assert model.examination.by_position == pytest.approx([1.0, 0.5], abs=1e-3)
    assert model.attractiveness == pytest.approx([0.4, 0.16], abs=1e-3)


def test_a_log_with_one_order_is_refused() -> None:
    one_order = (np.array([0, 1]), np.array([0, 1]), np.array([9.0, 9.0]), np.array([5.0, 1.0]))
    with pytest.raises(Failure, match="more than one position"):
        fit_clicks(*one_order)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.data())
def test_falling_is_the_nearest_that_never_rises(values: list[float], data: st.DataObject) -> None:
    weights = np.array(
        data.draw(st.lists(st.floats(0.1, 9), min_size=len(values), max_size=len(values)))
    )
    given_ = np.array(values)
    found = falling(given_, weights)
    assert (np.diff(found) <= 1e-12).all()
    assert (found * weights).sum() == pytest.approx((given_ * weights).sum())
    assert falling(found, weights) == pytest.approx(found)
    other = np.sort(
        data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    )[::-1]
    off = [(weights * (given_ - one) ** 2).sum() for one in (found, other)]
    assert off[0] <= off[1] + 1e-9


COUNTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 50), st.floats(0, 1)),
    min_size=1,
    max_size=15,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.sampled_from(["monotone", "power", "free"]), st.sampled_from(["balance", "em"]))
def test_any_counts_give_chances_or_a_reason(rows: Any, shape: Any, method: Any) -> None:
    pair, position, shown, share = (np.array(column) for column in zip(*rows, strict=True))
    try:
        model = fit_clicks(
            pair, position, shown.astype(float), np.floor(shown * share), shape, method
        )
    except Failure:
        return
    curve = model.examination.by_position
    assert np.isfinite(curve).all() and np.isfinite(model.attractiveness).all()
    assert (curve >= 0).all() and (curve <= 1).all()
    assert (model.attractiveness >= 0).all() and (model.attractiveness <= 1).all()
    if shape != "free":
        assert (np.diff(curve) <= 1e-9).all()


def joined(query: str, items: str, **followed: str) -> JoinedRanking:
    ranking = LoggedRanking("r", 0.0, list(items), query=query)
    actions = {item: set(kinds.split()) for item, kinds in followed.items()}
    return JoinedRanking(ranking, Shopper("u", None), actions)


def test_counts_are_of_pairs_at_positions() -> None:
    counts = ClickCounts()
    for one in (
        joined("Red  Tea", "ab", a="view"),
        joined("red tea", "ba", a="view purchase", b="cart"),
    ):
        counts.add(one, clicked_on("click"))
    assert list(counts.pairs) == [("red tea", "a"), ("red tea", "b")]
    rows = sorted(zip(*(column.tolist() for column in counts.columns()), strict=True))
    assert rows == [(0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 0)]
    assert clicked_on("purchase")(joined("", "a", a="view purchase"), "a")
    assert not clicked_on("purchase")(joined("", "a", a="view"), "a")


def test_a_corrected_judgment_is_clicks_per_look() -> None:
    counts = ClickCounts()
    for _ in range(10):
        counts.add(joined("tea", "ab", a="view"), clicked_on("click"))
    for _ in range(10):
        counts.add(joined("tea", "ab", b="view"), clicked_on("click"))
    plain = {one.docid: one for one in click_judgments(counts, None, scale=1.0)}
    assert plain["a"].rating == plain["b"].rating == 0.5
    corrected = {
        one.docid: one.rating
        for one in click_judgments(counts, Examination(np.array([1.0, 0.5])), scale=1.0)
    }
    mean = 20 / 30  # a had 20 looks, b had 10
    assert corrected["a"] == pytest.approx((10 + mean) / 21, abs=1e-4)
    assert corrected["b"] == pytest.approx((10 + mean) / 11, abs=1e-4)
    assert list(click_judgments(counts, None, min_impressions=21)) == []


@pytest.fixture(scope="module")
def season() -> Any:
    pytest.importorskip("tantivy")
    from service.demo.season.data import SEED
    from service.demo.season.logs import make_season

    return make_season(SEED, per_kind=4, users=400, visitors=80)[0]


def model_and_counts(season: Any, trial: Any, shape: Any) -> tuple[ClickModel, Any]:
    from support.trial import trial_counts

    counts = trial_counts(season, trial)
    return fit_clicks(counts.pair, counts.position, counts.shown, counts.clicked, shape), counts


@pytest.mark.parametrize(("shape", "mean_error"), [("monotone", 0.02), ("power", 0.02)])
def test_the_demos_examination_is_found_again(season: Any, shape: Any, mean_error: float) -> None:
    from support.trial import make_trial

    from service.demo.season.clicks import PAGE, examined

    model, _ = model_and_counts(season, make_trial(season, 20_000, 1, "engine"), shape)
    error = np.abs(model.examination.by_position - examined(np.arange(PAGE)))
    assert error.mean() < mean_error
    assert error.max() < 0.06


def test_corrected_judgments_are_nearer_to_the_truth_than_click_rates(season: Any) -> None:
    from support.trial import make_trial

    from service.demo.season.clicks import PAGE

    model, counts = model_and_counts(season, make_trial(season, 20_000, 1, "shelf"), "monotone")
    enough = counts.impressions >= 20
    assert enough.sum() > 1000
    clicks = counts.clicks[enough]
    looks = np.bincount(counts.pair, counts.shown * model.examination.at(counts.position, PAGE))
    raw, corrected = (attractiveness(base[enough], clicks) for base in (counts.impressions, looks))
    agree = [np.corrcoef(one, counts.useful[enough])[0, 1] for one in (raw, corrected)]
    assert agree[1] > agree[0] + 0.05
    off = [float(np.abs(one - counts.attractive[enough]).mean()) for one in (raw, corrected)]
    assert off[1] < 0.8 * off[0]


def test_the_commands_write_a_curve_and_quepids_csv(season: Any, tmp_path: Path) -> None:
    from support.trial import make_trial, trial_events, trial_rankings

    from indexes.storage.durable import write_lines

    trial = make_trial(season, 1500, 1, "engine")
    rankings, events = tmp_path / "rankings.jsonl.gz", tmp_path / "events.jsonl.gz"
    write_lines(rankings, trial_rankings(season, trial))
    write_lines(events, trial_events(season, trial))
    source = ("--rankings", str(rankings), "--events", str(events))

    def run(*args: str) -> dict[str, Any]:
        done = CliRunner().invoke(requests_commands, args, obj=Workspace(tmp_path / "home"))
        assert done.exit_code == 0, (done.output, done.exception)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    curve = tmp_path / "curve.json"
    model = run("positions", "--shape", "power", "--out", str(curve), "--json", *source)
    assert model["events_by_id"] == trial.clicked.sum()
    assert read_positions(curve).by_position.tolist() == model["examination"]
    out = tmp_path / "judgments.csv"
    judged = run(
        "judgments", "--correct-position", "--positions", str(curve), "--out", str(out),
        "--min-impressions", "5", "--json", *source,
    )  # fmt: skip
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert judged["estimate"] is True
    assert len(rows) == judged["judgments"] > 100
    assert set(rows[0]) == {"query", "docid", "rating"}
    assert all(0 <= float(row["rating"]) <= 3 for row in rows)


@pytest.mark.parametrize("text", ["[]", '{"examination": []}', '{"examination": [2.0]}', "x"])
def test_a_file_that_is_no_curve_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    path.write_text(text)
    with pytest.raises(Failure, match=r"curve\.json"):
        read_positions(path)
