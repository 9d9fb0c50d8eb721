"""test_profiles.py: what is kept of a history changes how fast a ranking is, never the ranking."""

# fixtures of another file are named as arguments

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.cached import lazily
from indexes.items.index import ItemIndex, published_version
from indexes.kernels import kernels
from indexes.storage.arrays import Rows, Vectors
from indexes.storage.row_vectors import RowVectors
from indexes.workspace import Workspace
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


def test_a_change_of_an_item_costs_the_profiles_of_those_who_met_it_alone(
    home: Path, state: ServedState
) -> None:
    index = ItemIndex(published_version(Workspace(home)))
    profiles = UserProfiles(3)
    histories = {"ann": events("1", "6"), "bob": events("9")}

    def kept() -> list[UserProfile]:
        return [profiles.of(name, met, index, None) for name, met in histories.items()]

    before = kept()
    assert [profile.price for profile in before] == [profile.price for profile in kept()]
    index.change({"6": {"available": False, "image": "x.png"}, "3": {"title": "Red lamp"}})
    assert kept() == before
    index.change({"6": {"price": 4711.0}})
    assert [one is other for one, other in zip(kept(), before, strict=True)] == [False, True]
    index.change({"9": {"removed": True}})
    ann, bob = kept()
    assert bob.rows.tolist() == [] and before[1].rows.tolist() != []
    index.change({"9": {"removed": False}})
    assert kept()[0] is ann and kept()[1].rows.tolist() == before[1].rows.tolist()


def test_numbers_and_directions_of_a_changed_vector_are_worked_out_anew(home: Path) -> None:
    index = ItemIndex(published_version(Workspace(home)))
    rows = index.rows(["1", "6", "9"])
    lengths = RowMemo(len(index), lambda _rows, vectors: np.linalg.norm(vectors * 3, axis=1))

    def of(own: Rows) -> tuple[Vectors, Vectors]:
        return 2 * index.vectors(own)[:, :1], index.vectors(own)[:, 1]

    doubled = RowVectors(2, 1, of, index.live.versions)
    for title in ("Red lamp", "Blue boots", "Blue boots"):
        lengths(rows, index.vectors(rows))
        doubled(rows[:2])
        index.change({"6": {"title": title}})
        number = hash(title) % 5 + 2
        vectors = {
            digest: np.full(index.dimensions, number, np.float16)
            for digest in index.live.next_texts(9)
        }
        index.change({}, vectors)
        live = index.vectors(rows)
        assert live[1].tolist() == [number] * index.dimensions
        np.testing.assert_allclose(lengths(rows, live), np.linalg.norm(live * 3, axis=1), rtol=1e-6)
        kept = doubled(rows[:2])
        np.testing.assert_array_equal(kept.table[kept.places], 2 * live[:2, :1])
        np.testing.assert_array_equal(kept.numbers[kept.places], live[:2, 1])
    index.change({"6": {"title": index.columns.published(int(rows[1])).title}})
    assert index.vectors(rows)[1].tolist() != live[1].tolist()


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

    def lengths(_rows: Any, vectors: Any) -> Any:
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
    for lengths in (lambda _, of: model.whitening.lengths(of), model._content._lengths_of):
        whole = lengths(rows, vectors)
        for some in (rows[::3], rows[:1], rows[7:24]):
            assert lengths(some, vectors[some]).tobytes() == whole[some].tobytes()


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
