"""Tuning on a small world whose answer is visible: what is held out decides what is said of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shop import THINGS, copy_home

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.evaluation.results import rank_with
from reranker.metrics.ranking import measures
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, JudgedRequest
from reranker.signals.registry import SIGNALS
from reranker.tuning.columns import JudgedColumns, judged_columns
from reranker.tuning.linear import fit_weights, with_weights
from reranker.tuning.matrices import Rows, linear_rows, signals_seen, start_of
from reranker.tuning.pareto import change_points
from reranker.tuning.report import report as report_text
from reranker.tuning.splits import inner_folds, outer_folds
from reranker.tuning.tune import TuneOptions, Tuning, tune
from service.commands.cli import run

NAMES = list(THINGS)


def request(number: int, good: bool = True) -> JudgedRequest:
    """A search for one thing among four; the engine puts them in an order that knows nothing."""
    rng = np.random.default_rng(number)
    thing = number % len(NAMES)
    others = rng.choice([n for n in range(len(NAMES)) if n != thing], 3, replace=False)
    ids = [str(5 * place + offset) for place in (thing, *others) for offset in range(5)]
    mixed = [ids[place] for place in rng.permutation(len(ids))]
    wanted = range(5 * thing, 5 * thing + 5) if good else rng.choice(60, 5, replace=False)
    words = ("", "new ", "cheap ", "for home ")[number // len(NAMES) % 4]
    return JudgedRequest(
        candidates=[Candidate(one, 20.0 - place) for place, one in enumerate(mixed)],
        id=f"q{number}",
        query=f"{words}{NAMES[thing]}",
        ratings={str(one): 2.0 for one in wanted},
    )


WORLD = [request(number) for number in range(40)]


@pytest.fixture(scope="module")
def state(shop_home: Path) -> ServedState:
    return load_state(Workspace(shop_home))


@pytest.fixture(scope="module")
def columns(state: ServedState) -> list[JudgedColumns]:
    return judged_columns(WORLD, state, SIGNALS)[0]


@pytest.fixture(scope="module")
def tuned(state: ServedState) -> tuple[Tuning, Any]:
    return tune(WORLD, state, TuneOptions(threads=1))


def test_columns_rank_as_the_main_path_does(
    state: ServedState, columns: list[JudgedColumns]
) -> None:
    for judged in columns[::5]:
        ranking = rank_with(state, state.named("default"), _asked(judged.request))
        assert judged.order(DEFAULT).tolist() == [one.index for one in ranking.results]


def _asked(judged: JudgedRequest) -> Any:
    from reranker.evaluation.requests import rerank_request

    return rerank_request(judged)


def test_a_world_that_words_explain_is_found_out(tuned: tuple[Tuning, Any]) -> None:
    report, blend = tuned
    assert report.queries == report.held_out == 40 and report.folds == 5
    assert report.metrics["chosen"]["ndcg@10"] > report.metrics["engine"]["ndcg@10"] + 0.3
    assert (report.difference["ndcg@10"].low or 0) > 0
    assert blend.kind == report.chosen
    assert set(report.metrics) == {"engine", "published", "linear", "curves", "trees", "chosen"}
    assert report.fitted_on == 0 and report.notes == []


def test_recommended_is_what_beats_the_published_blend_and_not_the_engine_alone(
    state: ServedState, shop_home: Path, tmp_path: Path
) -> None:
    options = TuneOptions(kinds=("linear", "curves"), threads=1)
    served, _ = tune(WORLD, state, options)  # what is served explains this world already
    assert (served.difference["ndcg@10"].low or 0) > 0.2
    assert served.against_published["ndcg@10"].mean < 0.05 and not served.recommended
    assert "which is served" in report_text(served, None)
    home = copy_home(shop_home, tmp_path / "home")
    weak = Blend(name="default", signals={"engine": SignalWeight(1.0), "match": SignalWeight(0.01)})
    store = BlendStore(Workspace(home).blends_root)
    store.save(weak, publish=True)
    better, _ = tune(WORLD, load_state(Workspace(home)), options)
    assert better.recommended and better.tried == 2
    plain = better.against_published["ndcg@10"]
    assert 0 < (better.proof.low or 0) < (plain.low or 0)


def test_a_world_of_noise_is_not_recommended(state: ServedState) -> None:
    noise = [request(number, good=False) for number in range(40)]
    report, _ = tune(noise, state, TuneOptions(kinds=("linear",), threads=1))
    assert not report.recommended


def test_the_front_only_gains_with_change(tuned: tuple[Tuning, Any]) -> None:
    front = [one for one in tuned[0].pareto if one.front]
    assert front[0].changed == 0 and front[0].text == 0
    assert [one.value for one in front] == sorted(one.value for one in front)


def test_a_signal_that_is_left_out_has_no_weight(state: ServedState) -> None:
    _, blend = tune(
        WORLD, state, TuneOptions(kinds=("linear",), without=("semantic", "typical"), threads=1)
    )
    assert not {"semantic", "typical"} & set(blend.signals)
    with pytest.raises(Exception, match="'meaning', which is no signal"):
        tune(WORLD, state, TuneOptions(without=("meaning",)))


def test_too_few_queries_are_refused(state: ServedState) -> None:
    with pytest.raises(Exception, match="at least 20"):
        tune(WORLD[:12], state, TuneOptions())
    with pytest.raises(Exception, match="None of the 1 requests has a rating"):
        tune([msgspec.structs.replace(WORLD[0], ratings={})], state, TuneOptions())


def test_folds_share_no_shopper_and_no_query(columns: list[JudgedColumns]) -> None:
    folds = outer_folds(columns, "auto")
    tested = np.sort(np.concatenate([fold.test for fold in folds]))
    assert tested.tolist() == list(range(len(columns)))
    for fold in [*folds, *inner_folds(columns, folds[0].train)]:
        units = [{columns[one].unit for one in part} for part in (fold.train, fold.test)]
        assert units[0] and units[1] and not units[0] & units[1]
    assert set(inner_folds(columns, folds[0].train)[0].test) <= set(folds[0].train)


def test_a_log_is_split_by_time(columns: list[JudgedColumns]) -> None:
    timed = [
        replace(one, request=msgspec.structs.replace(one.request, time=float(n), user=f"u{n % 25}"))
        for n, one in enumerate(columns)
    ]
    (fold,) = outer_folds(timed, "auto")
    assert fold.train.max() < fold.test.min()
    with pytest.raises(Exception, match="needs a time"):
        outer_folds(columns, "time")


def test_weights_of_a_problem_that_can_be_seen() -> None:
    # the second column is right in every request, the first one never
    values = np.array([[1.0, 0.0], [0.0, 1.0]] * 30)
    rows = Rows(["a", "b"], values, np.array([0.0, 1.0] * 30), np.arange(0, 61, 2))
    found = fit_weights(rows, np.array([2.0, 1.0]), pull=0.01)
    assert found[1] > 10 * found[0] and (found >= 0).all()
    held = fit_weights(rows, np.array([2.0, 1.0]), pull=1e6)
    assert held[0] == pytest.approx(2 * held[1], rel=1e-3)


@given(st.lists(st.floats(0, 50), min_size=5, max_size=5).filter(lambda w: sum(w) > 0.1))
def test_weights_keep_their_sum(weights: list[float]) -> None:
    found = with_weights(DEFAULT_FIVE, np.array(weights))
    total = sum(part.weight for part in found.signals.values())
    assert total == pytest.approx(sum(p.weight for p in DEFAULT_FIVE.signals.values()), rel=1e-2)


DEFAULT_FIVE = msgspec.structs.replace(
    DEFAULT,
    signals={
        name: SignalWeight(float(n + 1))
        for n, name in enumerate(("engine", "semantic", "match", "available", "fresh"))
    },
)


def test_the_start_takes_what_a_base_lacks_from_the_built_in_blend(
    columns: list[JudgedColumns],
) -> None:
    base = msgspec.structs.replace(DEFAULT, signals={"engine": SignalWeight(3.0, "rank")})
    start = start_of(base, signals_seen(columns))
    assert start.signals["engine"] == SignalWeight(3.0, "rank")
    assert start.signals["semantic"] == DEFAULT.signals["semantic"]
    rows = linear_rows(columns, start)
    assert rows.values.shape == (sum(len(one.grades) for one in columns), len(start.signals))


def test_a_point_that_changes_nothing_is_the_engine(columns: list[JudgedColumns]) -> None:
    points = change_points([(one, DEFAULT) for one in columns], measures(["mrr"]))
    silent = next(one for one in points if one.text == 0)
    assert silent.changed == 0
    assert silent.value == pytest.approx(
        np.mean([measures(["mrr"]).of(one.grades, one.ratings)[0] for one in columns])
    )


def test_the_command_stores_and_never_publishes(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in WORLD))
    args = [
        "tune",
        "--requests",
        str(file),
        "--kind",
        "linear",
        "--save",
        "mine",
        "--author",
        "ann",
    ]
    assert run(["--home", str(own_home), *args, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["saved"] == "mine@1" and found["recommended"] is False  # as good is served
    store = BlendStore(own_home / "blends")
    (mine,) = [one for one in store.listed() if one.name == "mine"]
    assert (mine.published, mine.recommended, mine.author) == (False, False, "ann")
    assert "ndcg@10 +" in mine.note
    assert run(["--home", str(own_home), *args[:5]]) == 0
    out = capsys.readouterr().out
    assert "40 queries each held out once" in out and "not recommended: " in out


def test_a_blend_knows_what_it_was_fitted_on(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that is called like a kind: it is not taken for the freshly fitted one."""
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in WORLD))
    home = ["--home", str(own_home)]
    args = ["tune", "--requests", str(file), "--kind", "linear"]
    assert run([*home, *args, "--save", "linear"]) == 0
    assert run([*home, "blends", "publish", "linear"]) == 0
    capsys.readouterr()
    assert run([*home, *args, "--compare", "linear", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["fitted_on"] == 40 and "built-in weights" in found["notes"][0]
    assert found["compared_with"] == "linear@1" and "linear@1" in found["metrics"]
    assert run([*home, "evaluate", "--requests", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["fitted_on"] == {"linear": 40}


def test_a_log_of_one_moment_and_one_of_few_shoppers(
    state: ServedState,
) -> None:
    same = [
        msgspec.structs.replace(one, time=1e9, user=f"u{n % 22}") for n, one in enumerate(WORLD)
    ]
    report, _ = tune(same, state, TuneOptions(kinds=("linear",), threads=1))
    assert report.folds == 5
    with pytest.raises(Exception, match="different times"):
        tune(same, state, TuneOptions(kinds=("linear",), split="time"))
    one_first = [
        msgspec.structs.replace(one, time=float(n), user="first" if n < 28 else f"u{n}")
        for n, one in enumerate([*WORLD, *WORLD[:8]])
    ]
    report, _ = tune(one_first, state, TuneOptions(kinds=("linear",), split="time", threads=1))
    assert report.folds == 1


def test_negative_weights_of_a_base_turn_nothing_upside_down() -> None:
    base = msgspec.structs.replace(DEFAULT, signals=DEFAULT.signals | {"fresh": SignalWeight(-5.0)})
    weights = np.array([1.0] * len(base.signals))
    assert all(part.weight >= 0 for part in with_weights(base, weights).signals.values())
    large = msgspec.structs.replace(
        DEFAULT, signals={"engine": SignalWeight(900.0), "match": SignalWeight(900.0)}
    )
    found = with_weights(large, np.array([9.0, 0.0]))
    assert found.signals["engine"].weight == 1000.0
