"""test_profiles.py: what is kept of a history changes how fast a ranking is, never the ranking."""

# fixtures of another file are named as arguments

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.cached import lazily
from indexes.kernels import kernels
from reranker.blends.blend import PERSONAL, Blend, SignalWeight
from reranker.events.events import HistoryEvent
from reranker.ranking.ranking import rerank
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState
from reranker.requests import Candidate, RerankRequest
from reranker.runtime.caches import RowMemo
from reranker.signals.columns import Column
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute
from reranker.signals.user_history import Personalization
from reranker.signals.user_profiles import UserProfile, UserProfiles

NOW = 1_790_000_000.0
IDS = [str(number) for number in range(1, 13)]


def events(*items: str, newest: float = NOW) -> list[HistoryEvent]:
    return [
        HistoryEvent(type="view", item=item, time=newest - 600.0 * (len(items) - place))
        for place, item in enumerate(items)
    ]


def kept_for(
    state: ServedState, histories: dict[str, list[HistoryEvent]]
) -> tuple[Callable[[str, str], bytes], UserProfiles]:
    """Ranks for a user and a query, by a state that keeps profiles."""
    import msgspec

    def recent(user: str | None, *_: Any) -> list[HistoryEvent]:
        return list(histories.get(user or "", []))  # a new list each time, as a store gives it

    personal = Personalization(state.personal.learned, recent=recent, profiles=UserProfiles(3))
    keeping = replace(state, personal=personal, published=PERSONAL)

    def ranked(user: str, query: str) -> bytes:
        asked = RerankRequest(
            [Candidate(item) for item in IDS], query=query, user=user, time=NOW, explain=True
        )
        return msgspec.json.encode(rerank(asked, keeping).results)

    return ranked, personal.profiles


@pytest.mark.parametrize("searches", [0, 3])
def test_a_kept_profile_ranks_to_the_byte_as_one_worked_out_anew(
    state: ServedState, searches: int
) -> None:
    model = state.model
    assert model
    before = model.about.get("searches")
    model.about["searches"] = searches
    try:
        histories = {"ann": events("1", "6", "3"), "bob": events("9")}
        ranked, profiles = kept_for(state, histories)
        asked = [(user, query) for query in ("rain jacket", "desk lamp") for user in histories]
        first = [kept_for(state, histories)[0](*one) for one in asked]
        assert [ranked(*one) for one in asked * 3] == first * 3
        assert (profiles.counts.hits, profiles.counts.misses) == (10, 2)
    finally:
        model.about["searches"] = before


def test_an_event_more_or_less_is_another_profile(state: ServedState) -> None:
    histories = {"ann": events("1", "6")}
    ranked, profiles = kept_for(state, histories)
    two = ranked("ann", "rain jacket")
    histories["ann"] = events("1", "6", "2")
    three = ranked("ann", "rain jacket")
    assert three != two
    histories["ann"] = events("1", "6")
    assert ranked("ann", "rain jacket") == two
    assert profiles.counts.misses == 3
    histories["ann"] = []
    nobody = ranked("ann", "rain jacket")
    assert nobody != two
    assert not len(profiles._profiles)


def test_only_so_many_profiles_are_kept_and_unused_ones_go(state: ServedState) -> None:
    histories = {user: events("1", "6") for user in "abcd"}
    ranked, profiles = kept_for(state, histories)
    for user in "abcda":  # d took the place of a
        ranked(user, "rain jacket")
    assert profiles.counts.misses == 5
    profiles.drop_unused()
    assert len(profiles._profiles) == 3
    profiles._profiles._seconds = 0.001
    time.sleep(0.01)
    profiles.drop_unused()
    assert not len(profiles._profiles)


def test_a_history_without_anything_known_has_a_profile_too(state: ServedState) -> None:
    profile = UserProfile(events("nowhere"), state.index, state.personal.learned)
    assert profile.rows.tolist() == []
    assert profile.price is None
    assert profile.brands.of(np.array([5], np.uint64)).tolist() == [0]


finite = st.floats(-1e6, 1e6)
columns = st.lists(
    st.tuples(
        st.lists(finite, min_size=5, max_size=5),
        st.lists(st.booleans(), min_size=5, max_size=5),
        st.sampled_from(["minmax", "zscore", "rank", "none"]),
        st.floats(-3, 3),
    ),
    min_size=1,
    max_size=6,
)


@given(columns, st.integers(1, 5))
@settings(max_examples=200)
def test_scores_are_the_same_to_the_bit_whether_explained_or_not(found: Any, n: int) -> None:
    names = ("engine", "semantic", "match", "typical", "available", "fresh")
    made = {
        name: Column(np.array(values[:n]), np.array(known[:n]))
        for name, (values, known, _, _) in zip(names, found, strict=False)
    }
    blend = Blend(
        name="any",
        signals={
            name: SignalWeight(weight, how)
            for name, (_, _, how, weight) in zip(names, found, strict=False)
        },
    )
    plain, parts = scored(blend, made, {}, n, explained=False)
    told, shares = scored(blend, made, {}, n, explained=True)
    assert not parts
    assert len(shares) == len(made)
    assert plain.tobytes() == told.tobytes()


def test_a_row_memo_works_each_row_out_once() -> None:
    asked: list[int] = []

    def lengths(vectors: Any) -> Any:
        asked.append(len(vectors))
        return np.linalg.norm(vectors, axis=1).astype(np.float32)

    memo = RowMemo(4, lengths)
    vectors = np.array([[3, 4], [6, 8], [5, 12], [1, 0]], np.float32)
    rows = np.array([2, 0, -1, 3])
    assert memo(rows, vectors).tolist() == [5, 10, 13, 1]
    assert memo(rows, vectors).tolist() == [5, 10, 13, 1]
    assert asked == [4, 1]  # what is in no index is never remembered
    assert memo(rows[:0], vectors[:0]).tolist() == [] and asked == [4, 1]


def test_lazily_works_out_once_and_holds_no_other_object_up() -> None:
    going, done = threading.Event(), threading.Event()

    class Waiting:
        @lazily
        def value(self) -> object:
            going.wait(10)
            return object()

    class_wide = Waiting()
    slow = threading.Thread(target=lambda: (class_wide.value, done.set()))
    slow.start()
    quick = Waiting()
    going.set()
    assert quick.value is quick.value
    slow.join(10)
    assert done.is_set()
    assert class_wide.value is class_wide.value


def test_what_is_kept_of_a_row_does_not_depend_on_its_company(state: ServedState) -> None:
    model = state.model
    assert model
    rows = np.arange(len(state.index), dtype=np.int64)
    vectors = state.index.vectors(rows)
    for lengths in (model.whitening.lengths, model._as_text_lengths):
        whole = lengths(vectors)
        for some in (rows[::3], rows[:1], rows[7:24]):
            assert lengths(vectors[some]).tobytes() == whole[some].tobytes()


def test_items_of_the_same_vector_are_equally_near_wherever_they_stand(state: ServedState) -> None:
    asked = RerankRequest(
        [Candidate(f"{number}", text="A warm rain jacket") for number in range(900, 933)],
        user="ann",
        time=NOW,
    )
    personal = Personalization(state.personal.learned, recent=lambda *_: events("1", "6", "3"))
    context = RankingContext(asked, state.index, state.query_vectors, 100, personal=personal)
    column = compute(context, ["near"])["near"]
    assert isinstance(column, Column)
    assert len(set(column.values.tolist())) == 1
    assert len(set(column.parts["raw"].tolist())) == 1


def test_habits_of_a_shop_where_nobody_met_the_same(state: ServedState) -> None:
    learned = state.personal.learned
    assert learned
    statistics = copy.copy(learned.statistics)
    statistics.counts, statistics._popular = statistics.counts[:0], None
    statistics._numbers = np.full_like(statistics._numbers, -1)
    rows = np.array([0, 1, -1])
    assert statistics.counts_by_type(rows) == {}
    weights = np.ones(len(statistics.card.types))
    popularity = kernels.filled(rows, [statistics.popularity(weights)])
    assert popularity.tolist() == [[0.0, 0.0, 0.0]]
