"""Estimates of orders that were never shown: by hand, their invariants, and the demo's truth."""

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
from reranker.feedback.click_counts import ClickCounts, clicked_on
from reranker.feedback.click_models import Examination, drawn_curves, fit_clicks
from reranker.feedback.joins import JoinedRanking
from reranker.feedback.off_policy import EstimateReport, LoggedClicks, estimate, kish
from reranker.feedback.records import LoggedRanking
from reranker.histories.histories import Shopper

CURVE = Examination(np.array([1.0, 0.5, 0.25, 0.05]))


def logged(*rankings: tuple[str, str, str, str]) -> LoggedClicks:
    """shopper, items shown, items clicked, the other order"""
    clicks = LoggedClicks()
    for shopper, shown, clicked, other in rankings:
        clicks.add(shopper, list(shown), list(clicked), {"other": list(other)})
    return clicks


def test_weights_by_hand() -> None:
    # c was clicked at 3 (p 0.25) and would stand at 1; a at 1 (p 1) would stand at 2.
    clicks = logged(("u", "abcd", "c", "cabd"), ("v", "abcd", "a", "cabd"), ("w", "abcd", "", ""))
    report = estimate(clicks, CURVE, clip=100.0, resamples=50)
    one = report.orders["other"]
    assert (report.rankings, report.clicks, report.shoppers) == (3, 2, 3)
    assert report.observed.value == pytest.approx(2 / 3)
    assert one.ips == pytest.approx((1 / 0.25 + 0.5 / 1) / 3)
    assert one.clicks.value == pytest.approx(one.ips)  # nothing is clipped: they agree
    assert one.looked_at == pytest.approx((4 * 1 + 1 * 0.5) / (4 + 1))
    assert one.effective_clicks == pytest.approx((4 + 0.5) ** 2 / (4**2 + 0.5**2))
    assert report.clipped == 0
    assert report.difference.value == pytest.approx(one.clicks.value - 2 / 3)


def test_clipping_by_hand() -> None:
    clicks = logged(("u", "abcd", "d", "dabc"), ("v", "abcd", "a", "dabc"))
    report = estimate(clicks, CURVE, clip=10.0, resamples=50)
    # d counts 10 instead of 1 / 0.05 = 20: looked at with 1 instead of 0.05; a with 0.5, not 1.
    assert report.orders["other"].clicks.value == pytest.approx(
        1.0 * (10 * 1 + 0.5) / (10 * 0.05 + 1)
    )
    assert report.orders["other"].ips == pytest.approx((10 + 0.5) / 2)
    assert report.clipped == 0.5


def test_items_beyond_the_page_are_not_looked_at_and_unknown_ones_are_counted() -> None:
    report = estimate(logged(("u", "ab", "a", "xyba")), CURVE, resamples=50)
    assert report.orders["other"].clicks.value == 0
    assert report.orders["other"].effective_clicks == 0
    assert report.orders["other"].never_shown == 1.0


def test_kish() -> None:
    assert kish(np.ones(7)) == pytest.approx(7)
    assert kish(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)


RANKINGS = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.permutations("abcd"),
        st.sets(st.sampled_from("abcd"), min_size=1),
        st.permutations("abcd"),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(RANKINGS, st.floats(1, 30), st.floats(0.1, 1))
def test_what_was_shown_is_estimated_as_observed_whatever_the_scale(
    rankings: Any, clip: float, scale: float
) -> None:
    same = [(who, shown, clicked, shown) for who, shown, clicked, _ in rankings]
    report = estimate(logged(*same), CURVE, clip=clip, resamples=20)
    one = report.orders["other"]
    assert one.clicks.value == pytest.approx(report.observed.value)
    assert report.difference.value == pytest.approx(0)
    assert one.ips == pytest.approx(report.observed.value)
    assert one.effective_clicks <= report.clicks + 1e-9
    other = estimate(logged(*rankings), CURVE, clip=1e9, resamples=20).orders["other"]
    flat = Examination(CURVE.by_position * scale)
    scaled = estimate(logged(*rankings), flat, clip=1e9, resamples=20).orders["other"]
    assert scaled.clicks.value == pytest.approx(other.clicks.value)
    assert other.clicks.value == pytest.approx(other.ips)


def test_the_demos_truth_lies_nearer_than_counted_clicks() -> None:
    pytest.importorskip("tantivy")
    from support.trial import logged_clicks, make_trial, orders_of, trial_counts, true_clicks

    from service.demo.season.data import SEED
    from service.demo.season.logs import make_season

    season, _ = make_season(SEED, per_kind=4, users=400, visitors=80)
    trial = make_trial(season, 10_000, 1, "engine")
    counts = trial_counts(season, trial)
    curve = fit_clicks(counts.pair, counts.position, counts.shown, counts.clicked).examination
    orders = orders_of(season, trial)
    logged = logged_clicks(season, trial, orders)
    report = estimate(logged, curve, resamples=200)
    as_they_are = estimate(logged, curve, clip=1.0, resamples=20)  # every click counts the same
    for name, order in orders.items():
        truth = true_clicks(trial, order)
        found = report.orders[name].clicks
        assert found.value == pytest.approx(truth, rel=0.06), name
        naive = as_they_are.orders[name].clicks.value
        assert abs(found.value - truth) < 0.5 * abs(naive - truth), name


def shop_log(tmp_path: Path) -> tuple[str, ...]:
    """Ten shoppers saw six of the small shop's items in two orders and viewed one each."""
    items = ["1", "7", "12", "23", "31", "44"]
    rankings, events = [], []
    for number in range(10):
        shown = items if number % 2 else items[::-1]
        who = {"user": f"u{number}", "time": 1_790_000_000 + number * 3600}
        rankings.append({"id": f"r{number}", "query": "rain jacket", "items": shown} | who)
        clicked = {"type": "view", "item": shown[number % 3], "ranking": f"r{number}"}
        events.append(clicked | who | {"time": who["time"] + 60})
    paths = []
    for name, rows in (("rankings", rankings), ("events", events)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths += [f"--{name}", str(path)]
    return tuple(paths)


def test_the_command_estimates_a_blend_and_says_so(shop_home: Path, tmp_path: Path) -> None:
    source = shop_log(tmp_path)

    def run(*args: str) -> Any:
        return CliRunner().invoke(requests_commands, args, obj=Workspace(shop_home))

    done = run("estimate", "--blend", "default", "--compare", "engine", "--json", *source)
    assert done.exit_code == 0, (done.output, done.exception)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["estimate"] is True and "not a measurement" in report["note"]
    assert (report["rankings"], report["clicks"], report["compared_with"]) == (10, 10, "engine")
    assert report["orders"]["engine"]["clicks"]["value"] == pytest.approx(1.0)
    assert (
        report["difference"]["low"] <= report["difference"]["value"] <= report["difference"]["high"]
    )
    text = run("estimate", "--blend", "default", *source).stdout
    assert "default - shown" in text and "estimates" in text
    assert "no_such" in str(run("estimate", "--blend", "no_such", *source).exception)
    failed = run("estimate", "--blend", "default", "--action", "purchase", *source)
    assert isinstance(failed.exception, Failure)
    assert "followed by a purchase" in str(failed.exception)


def test_the_interval_holds_what_is_not_known_of_the_curve() -> None:
    """One ranking in thirty is shuffled: a curve from so little is known badly."""
    items, curve = [f"{number}" for number in range(5)], 0.6 ** np.arange(5)
    known, whole = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        counts, logged = ClickCounts(by_shopper=True), LoggedClicks()
        truth = 0.0
        for number in range(400):
            query, who = f"q{number % 4}", f"u{number // 2}"
            likes = np.random.default_rng(number % 4).uniform(0.2, 0.9, 5)
            order = rng.permutation(5) if rng.random() < 1 / 30 else np.argsort(likes)
            best = np.argsort(-likes)
            truth += float((curve * likes[best]).sum()) / 400
            clicks = [items[item] for item in order[rng.random(5) < curve * likes[order]]]
            shown = [items[item] for item in order]
            ranking = LoggedRanking(id=f"{number}", time=1.0, items=shown, query=query)
            followed = {item: {"view"} for item in clicks}
            joined = JoinedRanking(ranking, Shopper(who, None), followed)
            counts.add(joined, clicked_on("click"), who)
            logged.add(who, shown, clicks, {"best": [items[item] for item in best]})
        fitted = fit_clicks(*counts.columns()).examination
        curves = drawn_curves(counts.resampled(20, seed), "monotone")
        for found, into in (((), known), (curves, whole)):
            report = estimate(logged, fitted, resamples=300, seed=seed, curves=found)
            into.append(covers(report, truth))
    assert np.mean(whole) >= 0.9 and np.mean(known) <= 0.8


def covers(report: EstimateReport, truth: float) -> bool:
    clicks = report.orders["best"].clicks
    return clicks.low <= truth <= clicks.high
