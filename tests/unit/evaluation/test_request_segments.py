"""test_request_segments.py: which requests are of which segment, and what each segment shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.workspace import Workspace
from reranker.evaluation.aggregate import Aggregate
from reranker.evaluation.breakdown import Breakdown, Proof
from reranker.evaluation.results import QueryResult
from reranker.evaluation.slices import Facts, RequestFacts, RequestSegments
from reranker.metrics.intervals import paired_differences
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, JudgedRequest, RerankRequest

QUERIES = ("", "tv", "red shoes", "big red shoes", "big red running shoes", "Red  Shoes")


@pytest.fixture(scope="module")
def state(shop_home: Path) -> ServedState:
    return load_state(Workspace(shop_home))


def members(requests: Sequence[tuple[str, RequestFacts | None]]) -> dict[str, list[int]]:
    segments = RequestSegments()
    for query, facts in requests:
        segments.add(query, facts)
    return {name: np.flatnonzero(mask).tolist() for (_, name), mask in segments.members().items()}


def test_segments_by_words_history_and_what_the_model_has_seen() -> None:
    facts = [
        RequestFacts(words=0, history=0, cold=True),
        RequestFacts(words=1, history=1, cold=False),
        RequestFacts(words=2, history=2, cold=False),
        RequestFacts(words=3, history=4, cold=False),
        RequestFacts(words=4, history=5, cold=True),
        RequestFacts(words=9, history=50, cold=False),
    ]
    assert members([(str(place), one) for place, one in enumerate(facts)]) == {
        "no query": [0],
        "query 1 word": [1],
        "query 2-3 words": [2, 3],
        "query 4+ words": [4, 5],
        "new user": [0],
        "known user": [1, 2, 3, 4, 5],
        "history 0": [0],
        "history 1": [1],
        "history 2-4": [2, 3],
        "history 5+": [4, 5],
        "cold item": [0, 4],
        "seen items": [1, 2, 3, 5],
    }


def test_segments_by_digits() -> None:
    facts = [RequestFacts(1, digits=digits) for digits in (0, 1, 2, 1)]
    assert members([(str(place), one) for place, one in enumerate(facts)]) == {
        "query without digits": [0],
        "query with digits": [1, 3],
        "model number": [2],
    }


@pytest.mark.parametrize(
    ("query", "digits"),
    [("tent", 0), ("tent 2 person", 1), ("cream 50 ml", 1), ("WF-1000XM4 case", 2), ("lp 746f", 2)],
)
def test_what_digits_a_query_has(state: ServedState, query: str, digits: int) -> None:
    judged = JudgedRequest([Candidate("1")], query=query, ratings={"1": 1.0})
    assert Facts(state)(judged, RerankRequest([Candidate("1")], query=query)).digits == digits


def test_a_kind_that_would_repeat_the_total_is_left_out() -> None:
    assert members([("a", RequestFacts(words=1)), ("b", RequestFacts(words=1))]) == {}


def test_head_queries_are_those_asked_as_often_as_the_middle_request() -> None:
    facts = RequestFacts(words=1)
    # of 9 requests the middle one asks what is asked 3 times
    queries = ["tv", " TV", "tv", "Tv", "shoes", "shoes", "shoes", "lamp", "bed"]
    assert members([(query, facts) for query in queries]) == {
        "head query": [0, 1, 2, 3, 4, 5, 6],
        "tail query": [7, 8],
    }


def test_there_is_no_head_where_every_query_is_asked_once() -> None:
    facts = RequestFacts(words=1)
    assert members([(query, facts) for query in "abc"]) == {}
    # most are asked once: a head query is asked twice all the same
    queries = ["a", "b", "c", "d", "e", "e"]
    assert members([(query, facts) for query in queries])["head query"] == [4, 5]


def test_requests_left_out_count_for_frequency_and_empty_queries_for_nothing() -> None:
    facts = RequestFacts(words=1)
    requests = [("tv", facts), ("tv", None), ("bed", facts), ("", RequestFacts()), ("", None)]
    found = members(requests)
    assert (found["head query"], found["tail query"]) == ([0], [1])
    assert found["no query"] == [2]


def result(place: int, query: str, facts: RequestFacts, after: float) -> QueryResult:
    metrics = {"engine": {"mrr": 0.5, "map": 0.25}, "b": {"mrr": after, "map": 0.25}}
    return QueryResult(str(place), query, None, 1, 1, {}, metrics, {}, 0, facts=facts)


def proved(results: Sequence[QueryResult], resamples: int = 500) -> tuple[Proof, Aggregate]:
    aggregate = Aggregate(("mrr", "map"), ("engine", "b"))
    breakdown = Breakdown(["b"], "engine", "mrr")
    for one in results:
        aggregate.add(one)
        breakdown.add(one)
    differences = {"b": aggregate.differences("b", "engine", resamples)}
    return breakdown.of(aggregate, differences, resamples, 7)["b"], aggregate


@given(
    st.lists(
        st.tuples(
            st.sampled_from(QUERIES),
            st.integers(0, 6),
            st.booleans(),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_segments_of_one_kind_add_up_to_the_whole(
    rows: list[tuple[str, int, bool, float]],
) -> None:
    results = [
        result(place, query, RequestFacts(len(query.split()), history, cold), after)
        for place, (query, history, cold, after) in enumerate(rows)
    ]
    proof, aggregate = proved(results, resamples=100)
    whole = aggregate.means()["b"]["mrr"]
    for kind in {one.kind for one in proof.segments} - {"query frequency"}:
        parts = [one for one in proof.segments if one.kind == kind]
        assert sum(one.queries for one in parts) == len(rows)
        total = sum(one.queries * one.metrics["b"]["mrr"] for one in parts)
        assert total / len(rows) == pytest.approx(whole)


def test_a_segment_is_measured_as_the_whole_is() -> None:
    rng = np.random.default_rng(1)
    results = [
        result(place, f"q{place}", RequestFacts(1 + place % 2), float(after))
        for place, after in enumerate(rng.random(60))
    ]
    proof, aggregate = proved(results)
    one, two = proof.segments
    assert [one.segment, two.segment] == ["query 1 word", "query 2-3 words"]
    apart = (aggregate.values("b") - aggregate.values("engine"))[::2]
    assert list(one.difference.values()) == paired_differences(apart, None, 500, 7)
    assert one.metrics["engine"] == {"mrr": 0.5, "map": 0.25}
    assert list(one.metrics) == ["engine", "b"]


def test_the_worst_segment_is_marked_among_those_with_ten_queries() -> None:
    def spread(few: int) -> list[QueryResult]:
        counts = ((1, 20, 0.6), (2, 20, 0.4), (5, few, 0.0))
        facts = [(words, after) for words, times, after in counts for _ in range(times)]
        return [
            result(place, f"q{place}", RequestFacts(words), after)
            for place, (words, after) in enumerate(facts)
        ]

    (worst,) = [one.segment for one in proved(spread(few=9))[0].segments if one.worst]
    assert worst == "query 2-3 words"
    (worst,) = [one.segment for one in proved(spread(few=10))[0].segments if one.worst]
    assert worst == "query 4+ words"


@pytest.mark.parametrize(("after", "below"), [(0.4, True), (0.6, False), (0.5, False)])
def test_a_segment_whose_whole_interval_lies_below_the_engine_is_marked(
    after: float, below: bool
) -> None:
    facts = [(2, 0.9)] * 20 + [(1, after + 0.01 * (place % 3 - 1)) for place in range(20)]
    results = [
        result(place, f"q{place}", RequestFacts(words), value)
        for place, (words, value) in enumerate(facts)
    ]
    marked = {one.segment: one.below for one in proved(results)[0].segments}
    assert marked == {"query 1 word": below, "query 2-3 words": False}
