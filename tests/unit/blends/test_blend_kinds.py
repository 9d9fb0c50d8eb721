"""Every kind of blend passes one suite: sums, weights, files; segments choose weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, Blend, SignalWeight, checked
from reranker.blends.curves import Curve
from reranker.blends.files import parse, written
from reranker.blends.importance import gain_shares, importances, tree_count
from reranker.blends.log import changes
from reranker.blends.segments import Segment, When
from reranker.errors import BadBlend
from reranker.ranking.ranking import Ranking, rank
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.signals.columns import Column, complete_column, input_of
from reranker.signals.user_history import Personalization
from reranker.tuning.curves import curves_of
from reranker.tuning.matrices import Rows
from reranker.tuning.trees import grown, trees_of

INPUTS = ["engine.scaled", "semantic.value", "match.words", "context.query_words"]


def trees_blend() -> Blend:
    """Small trees on made-up rows: more of anything is better."""
    rng = np.random.default_rng(0)
    values = rng.random((600, len(INPUTS)))
    grades = np.round(values[:, :3].sum(axis=1))
    rows = Rows(INPUTS, values, grades, np.arange(0, 601, 20))
    model = grown(rows, 12, alone=False, threads=1)
    names = ("engine", "semantic", "match")
    return Blend(
        name="trees",
        kind="trees",
        signals={name: SignalWeight(1.0) for name in names},
        trees=trees_of(model, rows),
    )


CURVES = Blend(
    name="curves",
    kind="curves",
    signals={"engine": SignalWeight(1.0), "semantic": SignalWeight(2.0)},
    curves={
        "engine": {"scaled": Curve([0.0, 1.0], [0.0, 1.0]), "rank": Curve([0.5], [7.0])},
        "semantic": {"value": Curve([0.0, 0.5, 1.0], [0.0, 3.0, 3.5])},
    },
)
KINDS = {"linear": DEFAULT, "curves": CURVES, "trees": trees_blend()}
IDS = [str(number) for number in range(0, 60, 3)]
Ranks = Callable[..., Ranking]


@pytest.fixture(scope="module")
def state(shop_home: Any) -> ServedState:
    return load_state(Workspace(shop_home))


@pytest.fixture(params=list(KINDS))
def ranks(request: pytest.FixtureRequest, state: ServedState) -> Ranks:
    return ranker(state, KINDS[request.param])


def ranker(state: ServedState, blend: Blend) -> Ranks:
    def run(ids: list[str] = IDS, **fields: Any) -> Ranking:
        sent = [Candidate(one, 20.0 - place) for place, one in enumerate(ids)]
        asked = {"query": "red running shoes", "explain": True} | fields
        return rank(RerankRequest(sent, **asked), state, blend, 1)

    return run


@pytest.mark.promise(4)
def test_contributions_add_up_and_order_is_by_score(ranks: Ranks) -> None:
    results = ranks().results
    scores = [one.score for one in results]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 3
    for one in results:
        assert one.explanation is not None
        assert sum(one.explanation.contributions.values()) == pytest.approx(one.score, abs=1e-6)
        for part in one.explanation.signals.values():
            assert part.contribution == pytest.approx(part.weight * part.normalised)


@pytest.mark.promise(4)
def test_explaining_changes_nothing(ranks: Ranks) -> None:
    plain, explained = ranks(explain=False).results, ranks().results
    assert [(one.id, one.score) for one in plain] == [(one.id, one.score) for one in explained]


def test_weights_multiply_each_contribution(ranks: Ranks) -> None:
    before, after = ranks().results, ranks(weights={"semantic": 0.5}).results
    half = {one.id: one.explanation for one in after}
    for one in before:
        was, now = one.explanation, half[one.id]
        assert was is not None and now is not None
        for name, amount in was.contributions.items():
            factor = 0.5 if name == "semantic" else 1.0
            assert now.contributions[name] == pytest.approx(factor * amount, abs=1e-9)


@pytest.mark.promise(1)
@pytest.mark.promise(5)
def test_a_candidate_that_no_signal_knows_does_no_harm(ranks: Ranks) -> None:
    ranking = ranks(["nowhere", *IDS])
    assert sorted(one.id for one in ranking.results) == sorted(["nowhere", *IDS])
    assert all(np.isfinite(one.score) for one in ranking.results)


def test_trees_say_what_they_read() -> None:
    """As LightGBM counts the gain itself."""
    lightgbm = pytest.importorskip("lightgbm")
    trees = KINDS["trees"].trees
    assert trees is not None
    gain = lightgbm.Booster(model_str=trees.model).feature_importance("gain")
    assert gain_shares(trees) == pytest.approx(
        dict(zip(trees.inputs, gain / gain.sum(), strict=True)), abs=1e-4
    )
    assert tree_count(trees) == 12
    parts = importances(KINDS["trees"])
    assert [part.signal for part in parts] == ["engine", "match", "semantic", "context"]
    assert sum(part.value for part in parts) == pytest.approx(1.0)


def test_curves_count_by_how_far_they_move_the_score() -> None:
    engine, semantic = importances(CURVES)
    assert (engine.value, engine.reads) == (1.0, {"scaled": 1.0, "rank": 0.0})
    assert (semantic.value, semantic.weight) == (7.0, 2.0)  # 2 x (3.5 - 0)


def test_between_kinds_no_weight_is_held_against_another() -> None:
    lines = changes(DEFAULT, KINDS["trees"])
    assert "kind: linear -> trees" in lines
    assert any(line.startswith("trees: (none) -> 12 trees") for line in lines)
    assert not [line for line in lines if "weight" in line or "1.0" in line]
    [signals] = [line for line in lines if line.startswith("signals")]
    assert signals.endswith("-> engine, match, semantic")
    half = msgspec.structs.replace(
        KINDS["trees"], signals=KINDS["trees"].signals | {"match": SignalWeight(0.5)}
    )
    assert changes(KINDS["trees"], half) == ["signals.match.weight: 1.0 -> 0.5"]
    bent = {"engine": CURVES.curves["engine"] | {"scaled": Curve([0.0, 1.0], [0.0, 2.0])}}
    [line] = changes(CURVES, msgspec.structs.replace(CURVES, curves=CURVES.curves | bent))
    assert line.startswith("curves.engine.scaled: a curve of 2 knots")


@pytest.mark.parametrize("name", list(KINDS))
def test_a_blend_survives_its_file(name: str) -> None:
    blend = KINDS[name]
    assert parse(written(blend), "here") == blend
    assert changes(blend, msgspec.structs.replace(blend, name="other", version=3)) == []


def test_a_curve_by_hand() -> None:
    columns = {"engine": complete_column(np.array([10.0, 5.0, 0.0])), "semantic": half_known()}
    score, parts = scored(CURVES, columns, {}, 3)
    # engine: scaled 1, 1/2, 0, and rank worth 7 everywhere
    # semantic: 2 x (0.25 -> 1.5, 0.75 -> 3.25, unknown: as the mean of the known, 0.5 -> 3)
    assert parts[0].amounts.tolist() == [8.0, 7.5, 7.0]
    assert parts[1].amounts.tolist() == [3.0, 6.5, 6.0]
    assert parts[1].curves["value"].tolist() == [1.5, 3.25, 3.0]
    assert score.tolist() == [11.0, 14.0, 13.0]


def half_known() -> Column:
    return Column(np.array([0.25, 0.75, 9.0]), np.array([True, True, False]))


def test_inputs_by_hand() -> None:
    column = Column(
        np.array([1.0, 3.0, 2.0]),
        np.array([True, True, False]),
        made_of={"last": np.array([4.0, 8.0, 0.0])},
    )
    found = {name: input_of(column, name, "minmax") for name in ("scaled", "rank", "value", "last")}
    assert {name: values.tolist() for name, values in found.items() if values is not None} == {
        "scaled": [0, 1, 0.5],
        "rank": [0, 1, 0.5],
        "value": [1, 3, 2],
        "last": [4, 8, 6],
    }
    assert input_of(column, "first", "minmax") is None


def test_trees_of_one_input_fold_into_curves() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((4000, 2))
    grades = np.round(8 * values[:, 0])
    rows = Rows(["near.value", "taste.value"], values, grades, np.arange(0, 4001, 40))
    booster = grown(rows, 60, alone=True, threads=1)
    curves = curves_of(booster, rows, {"near": 0.0})
    folded = curves["near"]["value"](values[:, 0])
    if "taste" in curves:
        folded = folded + curves["taste"]["value"](values[:, 1])
    steps = booster.predict(values)
    away = np.abs((folded - folded.mean()) - (steps - steps.mean()))
    assert away.mean() < 0.05 * np.ptp(steps)
    assert len(curves["near"]["value"].x) <= 24


def test_straight_lines_come_back_as_they_are() -> None:
    values = np.random.default_rng(2).random((400, 1))
    rows = Rows(["near.scaled"], values, np.zeros(400), np.array([0, 400]))
    rows.grades[0] = 1
    curves = curves_of(grown(rows, 1, alone=True, threads=1), rows, {"near": 3.0})
    x = np.linspace(values.min(), values.max(), 7)
    assert np.ptp(curves["near"]["scaled"](x) - 3 * x) < 0.2


# Segments


LONG = Segment(name="long", when=When(min_query_words=3), weights={"semantic": 0.0})
KNOWN = Segment(name="known", when=When(known_user=True), weights={"engine": 9.0})
LAMPS = Segment(name="lamps", when=When(departments=["Furniture > Lamps"]), weights={"match": 4.0})


@pytest.mark.parametrize(
    ("query", "history", "ids", "expected"),
    [
        ("red running shoes", None, IDS, "long"),
        ("shoes", None, IDS, None),
        ("shoes", [Event(type="view", item="3", time=1.0)], IDS, "known"),
        ("lamp", None, ["25", "26", "27", "3"], "lamps"),
        ("lamp", None, ["25", "1", "2", "3"], None),
    ],
)
def test_the_first_segment_that_fits_weighs(
    state: ServedState, query: str, history: Any, ids: list[str], expected: str | None
) -> None:
    blend = msgspec.structs.replace(DEFAULT, segments=[LONG, KNOWN, LAMPS])
    ranking = ranker(state, checked(blend))(ids, query=query, history=history)
    explained = ranking.results[0].explanation
    assert explained is not None and explained.segment == expected
    weights = {name: part.weight for name, part in explained.signals.items()}
    assert weights["engine"] == (9.0 if expected == "known" else 1.0)
    assert weights["match"] == (4.0 if expected == "lamps" else 0.5)
    assert ("semantic" in weights) == (expected != "long")


# Files that cannot be used


GOOD = written(msgspec.structs.replace(DEFAULT, segments=[LONG])).decode()


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"weight": 1.5', '"weight": "much"', r"signals\.semantic\.weight.*float"),
        ('"semantic": {', '"meaning": {', "meaning.*no signal"),
        ('"normalise": "none"', '"normalise": "log"', r"signals\.available\.normalise"),
        ('"min_query_words"', '"least_words"', r"segments\[0\]\.when\.least_words"),
        ('"name": "long"', '"name": ""', r"segments\[0\]\.name"),
        ('"signals": {', '"signals": {,', "not JSON"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(BadBlend, match=says) as caught:
        parse(GOOD.replace(old, new, 1).encode(), "blend.json")
    text = GOOD.replace(old, new, 1).splitlines()
    expected = next(n for n, one in enumerate(text, 1) if new.split("\n")[0] in one)
    assert f"blend.json, line {expected}:" in str(caught.value)


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "curves"}, "curves have to be there"),
        ({"kind": "trees"}, "trees have to be there"),
        ({"curves": {"engine": {"scaled": {"x": [0, 1], "y": [0, 1]}}}}, "must not be there"),
        (
            {"kind": "curves", "curves": {"engine": {"scaled": {"x": [1, 1], "y": [0, 1]}}}},
            "not above",
        ),
        ({"kind": "curves", "curves": {"fresh": {"scaled": {"x": [1], "y": [0]}}}}, "fresh"),
        ({"segments": [{"name": "a", "when": {}, "weights": {}}]}, "when is empty"),
        (
            {"segments": [{"name": "a", "when": {"known_user": True}, "weights": {"near": 1}}]},
            "near",
        ),
        ({"diversity": {"strength": 2}}, "diversity"),
        ({"guards": {"max_move": -1}}, "max_move"),
        ({"guards": {"pinned": [{"items": []}]}}, r"pinned"),
        ({"kind": "trees", "trees": {"model": "import os", "inputs": []}}, "LightGBM"),
        (
            {
                "kind": "trees",
                "trees": {"model": KINDS["trees"].trees.model[:3000], "inputs": ["engine.rank"]},
            },
            "LightGBM",
        ),
        ({"gate": {"floor": 1e308}}, "floor"),
        ({"guards": {"max_move": 2**63}}, "max_move"),
        (
            {"kind": "curves", "curves": {"engine": {"vaule": {"x": [1], "y": [0]}}}},
            "no input of engine; it has scaled, rank, value",
        ),
        (
            {"kind": "curves", "curves": {"engine": {"value": {"x": [0, 1e-310], "y": [0, 1]}}}},
            "beyond any number",
        ),
        ({"curves": {"a.b": {"value": {"x": ["s"], "y": [1]}}}}, "curves"),
    ],
)
def test_blends_that_make_no_sense_are_refused(fields: dict[str, Any], says: str) -> None:
    body = {"name": "x", "signals": {"engine": {"weight": 1}}} | fields
    with pytest.raises(BadBlend, match=says):
        parse(msgspec.json.encode(body), "here")


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    "text",
    [b'{"name":"x","signals":{"engine":{"weight":"x"}}, garbage}', b"[" * 5000, b"\xff", b""],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadBlend, match="not JSON|object"):
        parse(text, "here")


@pytest.mark.parametrize("name", list(KINDS))
def test_a_search_without_results_is_normal(state: ServedState, name: str) -> None:
    assert ranker(state, KINDS[name])([]).results == []
    assert len(ranker(state, KINDS[name])(["3"]).results) == 1


def test_a_blend_that_reads_no_history_fetches_none(state: ServedState) -> None:
    asked = []

    def recent(*who: Any) -> list[Any]:
        asked.append(who)
        return []

    trial = replace(state, personal=Personalization(recent=recent))
    ranker(trial, DEFAULT)(user="u1")
    assert not asked
    ranker(trial, KINDS["trees"])(user="u1")
    assert asked
