"""Each signal on a tiny shop whose answers are visible by eye."""

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from support.paths import ROOT

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.errors import BadRequest
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.budget import RequestBudget
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext, now_of
from reranker.signals.registry import SIGNALS, Signal, compute

DAY = 86400.0
NOW = 1_750_000_000.0
ITEMS: list[dict[str, Any]] = [
    {"id": "shoe", "title": "Red running shoes", "brand": "North Peak", "updated": NOW - 90 * DAY},
    {"id": "tent", "title": "Two person tent", "brand": "Alto", "available": True, "updated": NOW},
    {"id": "ear", "title": "Aurel WF-1000XM4 earbuds", "brand": "Aurel", "available": False},
    {"id": "B00X99", "title": "Kettle", "description": "boils water for tea"},
]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> ServedState:
    home = tmp_path_factory.mktemp("signals")
    path = home / "items.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(item) for item in ITEMS))
    rebuild(Workspace(home), path, progress=silent)
    return load_state(Workspace(home))


@pytest.fixture(scope="module")
def context(state: ServedState) -> Callable[..., RankingContext]:
    def context(query: str = "", *candidates: Candidate | str, **more: Any) -> RankingContext:
        chosen = candidates or tuple(item["id"] for item in ITEMS)
        sent = [Candidate(c) if isinstance(c, str) else c for c in chosen]
        request = RerankRequest(candidates=sent, query=query, **more)
        return RankingContext(request, state.index, state.query_vectors, text_limit=2)

    return context


def column(context: RankingContext, name: str) -> Column:
    found = SIGNALS[name].compute(context)
    assert isinstance(found, Column), found
    return found


def test_engine_takes_scores_that_agree_with_the_order(
    context: Callable[..., RankingContext],
) -> None:
    sent = [Candidate("shoe", 9.0), Candidate("tent", 9.0), Candidate("ear", -1.5)]
    assert column(context("x", *sent), "engine").values.tolist() == [9.0, 9.0, -1.5]


@pytest.mark.parametrize(
    ("scores", "lost"),
    [
        ([None, None, None], ()),
        ([3.0, None, 1.0], (("partial_scores", 3),)),
        ([1.0, 2.0, 3.0], (("scores_against_order", 3),)),
    ],
)
def test_engine_counts_places_where_scores_are_no_use(
    context: Callable[..., RankingContext],
    scores: list[float | None],
    lost: tuple[tuple[str, int], ...],
) -> None:
    sent = [Candidate(str(n), score) for n, score in enumerate(scores)]
    found = column(context("x", *sent), "engine")
    assert found.values.tolist() == [0, -1, -2]
    assert found.lost == lost


def test_semantic_is_the_cosine(context: Callable[..., RankingContext], state: ServedState) -> None:
    found = column(context("something to hear music with"), "semantic")
    assert found.known.all() and int(found.values.argmax()) == 2
    vector = state.query_vectors.query("something to hear music with")
    assert found.values == pytest.approx(state.index.vectors(np.arange(4)) @ vector, abs=1e-6)


def test_semantic_reads_the_candidates_own_text(context: Callable[..., RankingContext]) -> None:
    sent = [
        Candidate("shoe"),
        Candidate("new", text="a kettle that boils water"),
        Candidate("newer", text="a garden hose"),
        Candidate("newest", text="beyond the limit of two"),
        Candidate("unknown"),
    ]
    found = column(context("boil water", *sent), "semantic")
    assert found.known.tolist() == [True, True, True, False, False]
    assert int(found.values.argmax()) == 1
    assert found.lost == (("not_in_index", 2),)


def test_a_blank_text_says_nothing(context: Callable[..., RankingContext]) -> None:
    sent = [Candidate("shoe"), Candidate("new", text=" \n"), Candidate("newer", text="")]
    assert column(context("boil water", *sent), "semantic").known.tolist() == [True, False, False]


def test_no_candidates_are_no_degradation(state: ServedState) -> None:
    ranking = rerank(RerankRequest([], query="red shoes"), state)
    assert (ranking.results, ranking.degraded) == ([], [])


@pytest.mark.promise(5)
def test_semantic_without_query_or_items_says_so(context: Callable[..., RankingContext]) -> None:
    assert SIGNALS["semantic"].compute(context("  ")) == Missing("no_query")
    assert SIGNALS["semantic"].compute(context("x", "a", "b")) == Missing("not_in_index")


def test_match_by_hand(context: Callable[..., RankingContext]) -> None:
    found = column(context("north peak red shoe for rain"), "match")
    # two of six words in the title, and the whole brand
    assert found.values.tolist() == [0.75 * 2 / 6 + 0.25, 0, 0, 0]
    assert found.parts["brand"].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("query", "place"),
    [("red running shoes", 0), ("RED Running shoe", 0), ("wf1000xm4", 2), ("b00x99", 3)],
)
def test_exact_title_model_number_or_id_is_a_full_match(
    context: Callable[..., RankingContext], query: str, place: int
) -> None:
    values = column(context(query), "match").values
    assert values[place] == 1 and (np.delete(values, place) < 1).all()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("kettle for tea", [0, 0, 0, 0.5 * 3 / 3 + 0.5]),
        ("peak kettle tea", [0.5 / 3, 0, 0, 0.5 * 2 / 3]),  # a brand; a title and a description
        ("red shoes", [1, 0, 0, 0]),
    ],
)
def test_coverage_by_hand(
    context: Callable[..., RankingContext], query: str, values: list[float]
) -> None:
    """Words anywhere in the item: half by their share, half where all are there."""
    found = column(context(query), "coverage")
    np.testing.assert_allclose(found.values, values)
    assert found.parts["all"].tolist() == [float(value == 1) for value in values]


def test_coverage_of_an_index_that_lacks_the_words_is_missing_and_says_why(
    context: Callable[..., RankingContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = context("kettle")
    monkeypatch.setattr(asked.index.columns, "other_words", None)
    assert SIGNALS["coverage"].compute(asked) == Missing("index_outdated")


def test_fresh_halves_in_ninety_days(context: Callable[..., RankingContext]) -> None:
    found = column(context("x", time=NOW), "fresh")
    assert found.values[:2].tolist() == [0.5, 1.0]
    assert found.known.tolist() == [True, True, False, False]
    assert column(context("x", time=NOW - 900 * DAY), "fresh").values[:2].tolist() == [1.0, 1.0]


def test_available_is_what_the_catalogue_says(context: Callable[..., RankingContext]) -> None:
    found = column(context("x"), "available")
    assert found.known.tolist() == [False, True, True, False]
    assert found.values[1:3].tolist() == [1, 0]
    assert SIGNALS["available"].compute(context("x", "shoe")) == Missing("no_field", degraded=False)


def test_now_is_the_requests_time_then_its_newest_event_then_the_clock() -> None:
    events = [Event("view", time=5.0), Event("view", time="1970-01-01T00:00:09Z"), Event("view")]
    assert now_of(3.0, events, lambda: 1.0) == 3.0
    assert now_of(None, events, lambda: 1.0) == 9.0
    assert now_of(None, events[2:], lambda: 1.0) == 1.0


def test_a_late_signal_is_left_out_but_never_the_engine(
    context: Callable[..., RankingContext],
) -> None:
    columns = compute(context("shoes"), ["engine", "semantic", "match"], RequestBudget(0.0))
    assert isinstance(columns["engine"], Column)
    assert columns["semantic"] == columns["match"] == Missing("deadline")


@pytest.mark.promise(1)
@pytest.mark.promise(5)
def test_a_signal_that_fails_is_left_out_and_named(
    context: Callable[..., RankingContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_context: RankingContext) -> Column:
        raise OSError("the disk is gone")

    broken = {**SIGNALS, "semantic": Signal("semantic", fail, "")}
    monkeypatch.setattr("reranker.signals.registry.SIGNALS", broken)
    columns = compute(context("shoes"), ["engine", "semantic", "match"])
    assert columns["semantic"] == Missing("internal_error")
    assert isinstance(columns["engine"], Column) and isinstance(columns["match"], Column)


def test_a_time_that_cannot_be_read_is_the_callers_to_mend(
    context: Callable[..., RankingContext],
) -> None:
    with pytest.raises(BadRequest, match="time"):
        compute(context("shoes", time="yesterday"), ["fresh"])


@pytest.mark.promise(2)
@pytest.mark.parametrize("n", [3, 5, 7, 59])
def test_equal_vectors_have_equal_cosines(context: Callable[..., RankingContext], n: int) -> None:
    """However many there are: a difference by rounding alone would become a whole place."""
    shop = context("boils water", *(f"new{place}" for place in range(n)))
    shop.item_vectors = np.repeat(shop.query_vectors.query("tea")[None], n, 0), np.full(n, True)
    values = column(shop, "semantic").values
    assert len(set(values.tolist())) == 1


def test_nan_and_infinity_become_not_known() -> None:
    mended = Column(np.array([1.0, math.nan, math.inf]), np.array([True, True, True]))
    assert mended.known.tolist() == [True, False, False]
    assert mended.lost == (("not_finite", 2),)


@pytest.mark.promise(2)
def test_columns_do_not_depend_on_the_other_candidates(
    context: Callable[..., RankingContext],
) -> None:
    both = context("red shoes for tea", "shoe", "B00X99")
    one = context("red shoes for tea", "B00X99")
    for name in ("semantic", "match"):
        assert column(both, name).values[1] == pytest.approx(column(one, name).values[0], abs=1e-6)


def test_every_signal_is_in_the_documentation() -> None:
    text = (ROOT / "docs/design.md").read_text()
    for name in SIGNALS:
        assert f"| `{name}` |" in text


def test_own_texts_are_encoded_only_until_the_deadline(
    context: Callable[..., RankingContext], state: ServedState
) -> None:
    sent = [Candidate(f"own {n}", text=f"own text {n} {time.monotonic_ns()}") for n in range(2)]
    late = context("x", *sent)
    late.deadline = 0.0
    assert SIGNALS["semantic"].compute(late) == Missing("not_in_index")
