"""test_evaluation.py: a tiny real shop, evaluated by function and by command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.paths import ROOT

from indexes.build.rebuild import rebuild
from indexes.errors import Failure
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.commands.evaluate import evaluate_command
from reranker.errors import BadRequest, UnknownBlend
from reranker.evaluation.evaluate import Evaluation, evaluate, weighted
from reranker.evaluation.report import report, verdict
from reranker.evaluation.requests import JudgedRequestReader, rerank_request
from reranker.evaluation.results import QueryResult, query_results
from reranker.evaluation.settings import EvaluationSettings
from reranker.evaluation.tables import drawn
from reranker.metrics.intervals import Difference
from reranker.metrics.ranking import DEFAULT_METRICS, measures, ndcg
from reranker.ranking.ranking import BlendName, Degraded, Ranked, Ranking, rerank
from reranker.ranking.state import NamedBlend, ServedState, load_state
from reranker.ranking.weights import typed_weights
from reranker.requests import JudgedRequest, RerankRequest

TITLES = {
    "shoe": "Red running shoes",
    "boot": "Leather hiking boots",
    "tent": "Two person tent",
    "ear": "Wireless earbuds",
    "kettle": "Electric kettle for tea",
}
# The engine puts the right item last every time.
ANSWERS = {
    "running shoes": "shoe",
    "hiking boots": "boot",
    "tent for two": "tent",
    "wireless earbuds": "ear",
    "electric kettle": "kettle",
    "red shoes": "shoe",
}


def row(query: str, item: str, **more: Any) -> dict[str, Any]:
    others = [other for other in TITLES if other != item]
    candidates = [{"id": one, "score": 9.0 - n} for n, one in enumerate([*others, item])]
    return {"id": query, "query": query, "candidates": candidates, "ratings": {item: 2}} | more


ROWS = [row(query, item) for query, item in ANSWERS.items()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("evaluation")
    path = home / "items.jsonl"
    items = [{"id": item, "title": title} for item, title in TITLES.items()]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, items)))
    rebuild(Workspace(home), path, progress=silent)
    store = BlendStore(home / "blends")
    store.published_or_default()
    store.save(Blend(name="engine-only", signals={"engine": SignalWeight(1.0)}))
    store.save(Blend(name="text-only", signals={"semantic": SignalWeight(1.0)}))
    store.save(Blend(name="engine", signals={"engine": SignalWeight(1.0)}))
    return home


@pytest.fixture(scope="module")
def state(home: Path) -> ServedState:
    return load_state(Workspace(home))


def judged(rows: Sequence[dict[str, Any]] = ROWS) -> list[JudgedRequest]:
    return [JudgedRequestReader().read(dict(one)) for one in rows]


def test_condensed_lists_by_hand(state: ServedState) -> None:
    """Unjudged items are taken out before ranks are counted (Sakai 2007); b and e are unjudged."""
    rows = [
        {
            "id": "q1",
            "candidates": [{"id": item} for item in "abcde"],
            "ratings": {"a": 0, "c": 1, "d": 2, "elsewhere": 3},
        },
        {"id": "q2", "candidates": [{"id": "a"}, {"id": "c"}], "ratings": {"a": 0, "c": 1}},
    ]
    chosen = measures(["ndcg@2", "mrr", "precision@2", "recall@10", "map"])
    one, two = query_results(judged(rows), {"backwards": backwards}, chosen)
    ideal = 7 + 3 / np.log2(3)
    # engine: a b c d e -> a c d; backwards: e d c b a -> d c a
    assert one.judged_only["engine"] == pytest.approx(
        {
            "ndcg@2": (1 / np.log2(3)) / ideal,
            "mrr": 1 / 2,
            "precision@2": 1 / 2,
            "recall@10": 2 / 3,
            "map": (1 / 2 + 2 / 3) / 3,
        }
    )
    assert one.judged_only["backwards"] == pytest.approx(
        {
            "ndcg@2": (3 + 1 / np.log2(3)) / ideal,
            "mrr": 1.0,
            "precision@2": 1.0,
            "recall@10": 2 / 3,
            "map": (1 + 1) / 3,
        }
    )
    assert one.metrics["engine"]["mrr"] == pytest.approx(1 / 3)
    assert two.judged_only == two.metrics  # nothing is unjudged


def test_what_is_judged_stands_beside_what_counts_the_unjudged_as_misses(
    state: ServedState,
) -> None:
    partly = [row(query, item, ratings={item: 2, "tent": 0}) for query, item in ANSWERS.items()]
    found = evaluate(judged(partly), state)
    name = state.published.name
    assert found.judged_share == found.coverage.judged_share_top10
    assert found.judged_only["engine"]["mrr"] > found.metrics["engine"]["mrr"]
    means = [found.judged_only[order]["ndcg@10"] for order in ("engine", name)]
    assert found.judged_only_difference[name]["ndcg@10"].mean == pytest.approx(means[1] - means[0])
    assert "judged items only" in report(found) and "judged of the first 10" in report(found)
    whole = [row(q, i, ratings=dict.fromkeys(TITLES, 0) | {i: 2}) for q, i in ANSWERS.items()]
    every = evaluate(judged(whole), state)
    assert every.judged_only == every.metrics and "judged items only" not in report(every)


def test_weights_rank_as_those_of_a_request_do(state: ServedState) -> None:
    weights = {"engine": 0.0, "semantic": 2.0}
    result = evaluate(judged(), state, [weighted(state.named(None), weights)])
    name = f"{state.published.name}+weights"
    expected = []
    for request in judged():
        asked = msgspec.structs.replace(rerank_request(request), weights=weights)
        grades = [request.ratings.get(one.id, 0.0) for one in rerank(asked, state).results]
        expected.append(ndcg(grades, list(request.ratings.values())))
    assert result.metrics[name]["ndcg@10"] == pytest.approx(np.mean(expected))
    assert result.weights == {name: weights}
    assert weighted(state.named(None), {}) == state.named(None)


def named(state: ServedState, *names: str) -> list[NamedBlend]:
    return [state.named(name) for name in names]


def backwards(request: RerankRequest) -> Ranking:
    """The last candidate first."""
    n = len(request.candidates)
    results = [
        Ranked(candidate.id, n - 1 - place, place + 1, float(n - place))
        for place, candidate in enumerate(reversed(request.candidates))
    ]
    return Ranking(results, BlendName("backwards", 1), {}, [Degraded("semantic", "no_vector", 2)])


def test_one_query_by_hand() -> None:
    request = JudgedRequestReader().read(
        {
            "candidates": [{"id": item} for item in "abc"],
            "ratings": {"a": 0, "c": 1, "elsewhere": 3},
        }
    )
    (result,) = query_results([request], {"backwards": backwards}, measures(["ndcg@10", "mrr"]))
    ideal = 7 + 1 / np.log2(3)
    assert result.metrics["engine"] == pytest.approx({"ndcg@10": 0.5 / ideal, "mrr": 1 / 3})
    assert result.metrics["backwards"] == pytest.approx({"ndcg@10": 1 / ideal, "mrr": 1.0})
    assert (result.candidates, result.judged) == (3, 2)
    assert result.degraded == {"backwards": [Degraded("semantic", "no_vector", 2)]}


def test_the_main_path_is_what_is_measured(state: ServedState) -> None:
    found = evaluate(judged(), state, linear_gain=True)
    expected = []
    for request in judged():
        ranked = rerank(rerank_request(request), state).results
        grades = [request.ratings.get(one.id, 0.0) for one in ranked]
        expected.append(ndcg(grades, list(request.ratings.values()), linear_gain=True))
    assert found.metrics["default"]["ndcg@10"] == pytest.approx(np.mean(expected))
    assert found.metrics["engine"]["mrr"] == pytest.approx(1 / 5)
    assert found.metrics["default"]["mrr"] > 1 / 5
    assert (found.queries, found.left_out) == (6, 0)
    assert found.blends == {"default": 1}
    assert found.versions["index"] == state.versions["index"]


def test_the_difference_is_blend_minus_engine_in_every_metric(state: ServedState) -> None:
    found = evaluate(judged(), state, named(state, "text-only"))
    assert list(found.metrics) == ["engine", "text-only"]
    assert tuple(found.difference) == DEFAULT_METRICS
    for metric, difference in found.difference.items():
        apart = found.metrics["text-only"][metric] - found.metrics["engine"][metric]
        assert difference.mean == pytest.approx(apart)
        assert difference.low is not None and difference.high is not None
        assert difference.low <= difference.mean <= difference.high


def test_compare_takes_the_difference_from_another_blend(state: ServedState) -> None:
    found = evaluate(judged(), state, named(state, "text-only"), compare=state.named("engine-only"))
    assert list(found.metrics) == ["engine", "text-only", "engine-only"]
    assert found.metrics["engine-only"] == found.metrics["engine"]
    assert found.compared_with == "engine-only"
    assert found.difference == evaluate(judged(), state, named(state, "text-only")).difference


def test_a_blend_compared_with_itself_shows_no_difference(state: ServedState) -> None:
    found = evaluate(judged(), state, compare=state.named("default"))
    assert set(found.difference.values()) == {Difference(0.0, 0.0, 0.0, 1.0)}
    assert "no difference shown" in report(found)


def test_several_blends_have_a_difference_each(state: ServedState) -> None:
    found = evaluate(judged(), state, named(state, "text-only", "engine-only"))
    assert list(found.differences) == ["text-only", "engine-only"]
    assert found.difference == found.differences["text-only"]
    assert found.differences["engine-only"]["mrr"].mean == 0.0


def test_queries_without_an_ideal_are_left_out_and_counted(state: ServedState) -> None:
    unjudged = [row("x", "shoe", ratings={}), row("y", "shoe", ratings={"shoe": 0, "tent": 0})]
    seen: list[QueryResult] = []
    found = evaluate(judged([*ROWS, *unjudged]), state, on_query=seen.append)
    assert (found.queries, found.left_out) == (6, 2)
    assert found.metrics == evaluate(judged(), state).metrics
    assert [one.left_out for one in seen] == [False] * 6 + [True] * 2
    with pytest.raises(Failure, match="None of the 2 requests has a rating above 0"):
        evaluate(judged(unjudged), state)


def test_rated_items_beyond_the_candidates_belong_to_the_ideal(state: ServedState) -> None:
    more = [row(query, item, ratings={item: 2, "far": 2}) for query, item in ANSWERS.items()]
    found = evaluate(judged(more), state)
    assert found.metrics["engine"]["recall@10"] == 0.5
    assert found.metrics["default"]["ndcg@10"] < 1 / (1 + 1 / np.log2(3)) + 1e-9


def test_coverage_and_degraded_are_summed_up(state: ServedState) -> None:
    unknown = row("tent", "tent")
    unknown["candidates"] = [{"id": "gone"}, {"id": "gone too"}, {"id": "tent"}]
    found = evaluate(judged([*ROWS, unknown]), state)
    assert (found.coverage.candidates, found.coverage.judged) == (6 * 5 + 3, 7)
    assert found.coverage.judged_share_top10["engine"] == pytest.approx(7 / 33)
    lost = [one for one in found.degraded if one.signal == "semantic"]
    assert [(one.blend, one.requests, one.candidates) for one in lost] == [("default", 1, 2)]
    assert "semantic" in report(found)


def test_queries_of_one_shopper_are_one_unit(state: ServedState) -> None:
    two = [one | {"user": f"u{place % 2}"} for place, one in enumerate(ROWS)]
    found = evaluate(judged(two), state)
    assert found.shoppers == 2
    assert evaluate(judged(), state).shoppers is None
    one = evaluate(judged([one | {"user": "u"} for one in ROWS]), state)
    assert one.difference["mrr"].low is None
    assert "too few for an interval" in report(one)


def test_the_same_seed_gives_the_same_numbers(state: ServedState) -> None:
    depths = np.random.default_rng(0).integers(2, 6, 30).tolist()
    rows = [
        one | {"candidates": one["candidates"][-depth:]}
        for one, depth in zip(ROWS * 5, depths, strict=True)
    ]

    def difference(seed: int, resamples: int = 500) -> Difference:
        settings = EvaluationSettings(seed=seed, resamples=resamples)
        return evaluate(
            judged(rows), state, named(state, "text-only"), settings=settings
        ).difference["ndcg@10"]

    assert difference(1) == difference(1)
    assert difference(1) != difference(2)
    assert difference(1) != difference(1, 600)


def test_a_blend_that_is_not_there_or_named_engine_is_refused(state: ServedState) -> None:
    with pytest.raises(UnknownBlend, match="nope"):
        evaluate(judged(), state, named(state, "nope"))
    with pytest.raises(Failure, match="cannot be told from the engine's own order"):
        evaluate(judged(), state, named(state, "engine"))


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (Difference(0.031, 0.012, 0.049, 0.001), "b is better than a by 0.031, interval 0.012"),
        (Difference(-0.03, -0.05, -0.01, 0.001), "b is worse than a by 0.030, interval -0.050"),
        (Difference(0.04, 0.001, 0.09, 0.06), "at the edge: +0.040, interval 0.001..0.090 leaves"),
        (Difference(-0.04, -0.09, -0.001, 0.06), "at the edge: -0.040"),
        (Difference(0.01, -0.01, 0.03, 0.3), "no difference shown: the interval -0.010..0.030"),
        (Difference(0.01, None, None, None), "too few for an interval"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(difference: Difference, sentence: str) -> None:
    assert sentence in verdict("b", "a", difference)


def run(home: Path, *options: object) -> Result:
    return CliRunner().invoke(evaluate_command, [*map(str, options)], obj=Workspace(home))


def requests_file(folder: Path, *extra: bytes) -> Path:
    path = folder / "requests.jsonl"
    path.write_bytes(b"\n".join([*map(msgspec.json.encode, ROWS), *extra]))
    return path


def test_the_command_ends_with_one_json_object(home: Path, tmp_path: Path) -> None:
    found = run(home, "--requests", requests_file(tmp_path), "--json")
    assert found.exit_code == 0, found.output
    result = msgspec.json.decode(found.stdout.splitlines()[-1])
    assert (result["queries"], result["left_out"]) == (6, 0)
    assert list(result["metrics"]) == ["engine", "default"]
    assert set(result["metrics"]["default"]) == set(DEFAULT_METRICS)
    assert set(result["difference"]["ndcg@10"]) == {"mean", "low", "high", "p"}
    assert result["bad_lines"] == {"requests": 0}
    msgspec.convert(result, Evaluation)


def test_the_command_shows_a_table(home: Path, tmp_path: Path) -> None:
    found = run(home, "--requests", requests_file(tmp_path), "--blend", "text-only")
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert lines[0] == "6 queries evaluated, 0 left out (no rating above 0)"
    head, condensed = [line for line in lines if "95 % interval" in line]
    assert head.split()[:3] == ["engine", "text-only", "difference"]
    assert condensed.startswith("judged items only")
    assert [line.split()[0] for line in lines if line.startswith(DEFAULT_METRICS)][:6] == [
        *DEFAULT_METRICS
    ]
    assert any(line.startswith("ndcg@10: text-only is better than engine by") for line in lines)


def test_the_result_counts_wins_and_names_the_queries(home: Path, tmp_path: Path) -> None:
    source = requests_file(tmp_path, msgspec.json.encode(row("tent", "boot", id="odd")))
    found = run(home, "--requests", source, "--blend", "text-only", "--json")
    result = msgspec.json.decode(found.stdout.splitlines()[-1])
    assert list(result["comparison"]) == [*DEFAULT_METRICS]
    won = result["comparison"]["ndcg@10"]
    assert won["wins"] + won["ties"] + won["losses"] == result["queries"] == 7
    assert won["p_holm"] == result["difference"]["ndcg@10"]["p"]  # of one blend
    helped = result["helped"]
    assert [one["delta"] for one in helped] == sorted((x["delta"] for x in helped), reverse=True)
    assert won["wins"] == len(helped)
    assert set(helped[0]) == {"id", "query", "before", "after", "delta"}
    by_name = {one["segment"]: one for one in result["segments"]}
    assert set(by_name) == {"query 1 word", "query 2-3 words"}
    assert by_name["query 1 word"]["queries"] == 1
    assert list(by_name["query 1 word"]["metrics"]) == ["engine", "text-only"]
    assert result["failed"] == []


def test_several_blends_have_a_proof_each_with_p_corrected(state: ServedState) -> None:
    found = evaluate(judged(), state, named(state, "text-only", "engine-only"))
    assert list(found.proofs) == ["text-only", "engine-only"]
    assert found.comparison == found.proofs["text-only"].comparison
    p = found.differences["text-only"]["mrr"].p
    assert p is not None
    assert found.comparison["mrr"].p_holm == pytest.approx(min(1.0, 2 * p))
    unchanged = found.proofs["engine-only"].comparison["mrr"]
    assert (unchanged.wins, unchanged.ties, unchanged.losses, unchanged.effect) == (0, 6, 0, 0.0)
    assert "p (Holm)" in report(found)
    assert "p (Holm)" not in report(evaluate(judged(), state))


def test_known_shoppers_and_repeated_queries_are_segments(state: ServedState) -> None:
    past = [{"type": "view", "item": "shoe", "time": 1e9}, {"type": "view", "item": "boot"}]
    rows = [*ROWS, row("red shoes", "shoe", history=past), row("wireless earbuds", "ear")]
    found = evaluate(judged(rows), state)
    counts = {one.segment: one.queries for one in found.segments}
    assert (counts["known user"], counts["new user"], counts["history 2-4"]) == (1, 7, 1)
    assert (counts["head query"], counts["tail query"]) == (4, 4)
    assert "cold item" not in counts  # no model, nothing seen


def test_a_report_trims_and_keeps_to_its_lines(state: ServedState) -> None:
    rows = [
        one | {"id": f"{place}", "query": f"{one['query']}\n{'x' * 90}"}
        for place, one in enumerate(ROWS)
    ]
    text = report(evaluate(judged(rows), state, named(state, "text-only")))
    (at,) = [n for n, line in enumerate(text.splitlines()) if line.startswith("most helped")]
    shown = text.splitlines()[at + 1 : at + 6]
    assert all(line.startswith("  ") and "..." in line and len(line) < 80 for line in shown)


def test_fail_if_exits_1_after_the_result(home: Path, tmp_path: Path) -> None:
    options = ("--requests", requests_file(tmp_path), "--blend", "engine-only", "--json")
    passing = run(home, *options, "--fail-if", "ndcg@10<-0.005", "--fail-if", "mrr.high<0")
    assert passing.exit_code == 0, passing.output
    assert msgspec.json.decode(passing.stdout.splitlines()[-1])["failed"] == []
    failing = run(home, *options, "--fail-if", "ndcg@10<0.01", "--fail-if", "mrr.low<0")
    assert failing.exit_code == 1
    result = msgspec.json.decode(failing.stdout.splitlines()[-1])
    assert result["failed"] == [
        {"expression": "ndcg@10<0.01", "blend": "engine-only", "value": 0.0}
    ]
    assert "failed: ndcg@10<0.01 holds for engine-only: it is +0.0000" in failing.stderr
    unreadable = run(home, *options, "--fail-if", "map@3<0")
    assert isinstance(unreadable.exception, Failure)


@pytest.mark.parametrize(
    ("difference", "line"),
    [
        (Difference(0.5, 0.0, 1.0, 0.1), "          [----o----]"),
        (Difference(0.5, 0.2, 0.8, 0.1), "          | [--o--]  "),
        (Difference(0.0, -1.0, 1.0, 0.1), "[---------o---------]"),
        (Difference(0.3, 0.001, 0.8, 0.1), "          |[-o----]  "),
        (Difference(0.3, -0.001, 0.8, 0.1), "         [|--o----]  "),
        (Difference(0.0, 0.0, 0.0, 1.0), "          o          "),
        (Difference(-1.0, None, None, None), "o         |          "),
    ],
)
def test_an_interval_is_drawn_around_zero(difference: Difference, line: str) -> None:
    assert drawn(difference, 1.0) == line


def test_judgments_replace_the_ratings(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "j.csv"
    path.write_text("query,docid,rating\nRunning  SHOES,boot,1\nnobody asked,boot,1\n")
    source = requests_file(tmp_path)
    found = run(home, "--requests", source, "--judgments", path, "--json")
    result = msgspec.json.decode(found.stdout.splitlines()[-1])
    assert (result["queries"], result["left_out"]) == (1, 5)
    assert result["judgments"] == {"requests_matched": 1}
    assert result["metrics"]["engine"]["mrr"] == 1.0  # boots come first there
    assert result["difference"]["mrr"]["low"] is None
    found = run(home, "--requests", source, "--judgments", path)
    assert "1 of 6 requests found judgments" in found.stdout


def test_bad_lines_are_shown_and_too_many_fail(home: Path, tmp_path: Path) -> None:
    path = requests_file(tmp_path, b'{"candidates": []}')
    found = run(home, "--requests", path)
    assert isinstance(found.exception, Failure)
    assert "1 of 7 lines" in str(found.exception)
    assert "line 7: candidates is empty" in found.stderr
    assert run(home, "--requests", path, "--max-bad-share", "0.2").exit_code == 0
    lenient = Workspace(home, {EvaluationSettings: EvaluationSettings(max_bad_share=0.2)})
    arguments = ["--requests", str(path), "--json"]
    found = CliRunner().invoke(evaluate_command, arguments, obj=lenient)
    assert msgspec.json.decode(found.stdout.splitlines()[-1])["bad_lines"] == {"requests": 1}


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_an_empty_file_is_an_error_not_a_result(home: Path, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    found = run(home, "--requests", path)
    assert isinstance(found.exception, Failure)
    assert "holds no request" in str(found.exception)


def test_metrics_of_each_query_go_to_a_file(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "queries.jsonl"
    options = ["--metric", "ndcg@3", "--metric", "mrr", "--per-query", out]
    found = run(home, "--requests", requests_file(tmp_path), *options, "--json")
    rows = [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]
    assert [one["query"] for one in rows] == list(ANSWERS)
    result = msgspec.json.decode(found.stdout.splitlines()[-1])
    for order in ("engine", "default"):
        for metric in ("ndcg@3", "mrr"):
            mean = np.mean([one["metrics"][order][metric] for one in rows])
            assert result["metrics"][order][metric] == pytest.approx(mean)


def test_wrong_usage_exits_2_and_another_file_can_add_a_command(home: Path) -> None:
    assert run(home).exit_code == 2
    assert run(home, "--requests", "r", "--max-bad-share", "2").exit_code == 2

    @click.command("another")
    def another() -> None:
        click.echo("next")

    evaluate_command.add_command(another)
    try:
        assert run(home, "another").stdout == "next\n"
        assert run(home, "--requests", "r", "another").exit_code == 2
    finally:
        evaluate_command.commands.pop("another")


@pytest.mark.promise(35)
def test_the_documented_way_to_trec_evals_numbers_is_true(home: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    source = requests_file(tmp_path)
    with source.open("rb") as lines:
        names: dict[str, Any] = {"open": lambda *_: lines}
        exec(code, names)
    found = run(home, "--requests", source, "--linear-gain", "--json")
    ours = msgspec.json.decode(found.stdout.splitlines()[-1])["metrics"]["engine"]
    theirs = {str(measure): value for measure, value in names["found"].items()}
    pairs = zip(DEFAULT_METRICS, ("nDCG@10", "RR", "P@10", "R@10", "Success@10", "AP"), strict=True)
    for name, measure in pairs:
        assert ours[name] == pytest.approx(theirs[measure], abs=1e-6), measure


def test_a_blend_is_compared_with_itself_under_other_weights(home: Path, tmp_path: Path) -> None:
    options = [
        "--requests",
        requests_file(tmp_path),
        "--compare",
        "default",
        "--weights",
        "semantic:0, match:0",
    ]
    result = run(home, *options, "--save-result", tmp_path / "saved.json", "--json")
    assert result.exit_code == 0, result.output
    last = msgspec.json.decode(result.stdout.splitlines()[-1])
    assert last["weights"] == {"default+weights": {"semantic": 0.0, "match": 0.0}}
    assert set(last["metrics"]) == {"engine", "default", "default+weights"}
    assert list(last["hashes"]["blends"]) == ["default"]
    assert last["difference"]["ndcg@10"]["mean"] < 0
    assert (
        "default+weights: the blend with its signals multiplied, semantic:0"
        in run(home, *options).stdout
    )


@pytest.mark.parametrize(
    "text", ["semantic", "semantic:", "semantic:x", "taste 2", "nope:1", "near:1e9"]
)
def test_weights_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="weights"):
        typed_weights(text)
