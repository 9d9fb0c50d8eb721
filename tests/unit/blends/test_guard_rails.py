"""Guard rails and diversity move items after the scores; what they move is listed, and adds up."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, Blend, SignalWeight
from reranker.blends.diversity import Diversity, diversified
from reranker.blends.guard_rails import Guards, Placed, guarded, within_limits
from reranker.ranking.ranking import Ranking, rank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.signals.context import RankingContext

Ranks = Callable[..., Ranking]


@pytest.fixture(scope="module")
def state(shop_home: Any) -> ServedState:
    return load_state(Workspace(shop_home))


@pytest.fixture
def ranks(state: ServedState) -> Ranks:
    """Rank these items with the default blend and these rules."""

    def run(ids: list[str], query: str = "running shoes", **parts: Any) -> Ranking:
        history = parts.pop("history", None)
        fields = {"guards": Guards(), "diversity": None} | parts
        blend: Blend = msgspec.structs.replace(DEFAULT, name="ruled", **fields)
        candidates = [Candidate(one, float(-place)) for place, one in enumerate(ids)]
        asked = RerankRequest(candidates, query=query, explain=True, history=history)
        return rank(asked, state, blend, 1)

    return run


IDS = ["30", "41", "2", "17", "0", "9", "55", "3"]  # 0 to 4 are running shoes; 30, 0, 55 are gone


def order(ranking: Ranking) -> list[str]:
    return [one.id for one in ranking.results]


def moves(ranking: Ranking, item: str) -> list[tuple[str, int, int]]:
    explained = next(one for one in ranking.results if one.id == item).explanation
    assert explained is not None
    return [(move.guard, move.from_, move.to) for move in explained.moves]


def test_without_rules_the_scores_decide_and_nothing_is_listed(ranks: Ranks) -> None:
    ranking = ranks(IDS)
    scores = [one.score for one in ranking.results]
    assert scores == sorted(scores, reverse=True)
    assert not any(moves(ranking, item) for item in IDS)


def test_pinned_first_and_buried_last_for_the_query_that_they_name(ranks: Ranks) -> None:
    rules = Guards(
        pinned=[Placed(["55", "nowhere", "41"], ["Running  shoe"])], buried=[Placed(["2"])]
    )
    ranking = ranks(IDS, guards=rules)
    assert order(ranking)[:2] == ["55", "41"] and order(ranking)[-1] == "2"
    assert moves(ranking, "55")[-1][0] == "pinned"
    assert order(ranks(IDS, query="kettle", guards=rules))[0] not in ("55", "41")


def test_unavailable_items_go_last_and_pins_are_stronger(ranks: Ranks) -> None:
    ranking = ranks(IDS, guards=Guards(unavailable_last=True))
    assert set(order(ranking)[-3:]) == {"30", "0", "55"}
    both = ranks(IDS, guards=Guards(unavailable_last=True, pinned=[Placed(["30"])]))
    assert order(both)[0] == "30"


def test_bought_items_go_last_unless_cancelled(ranks: Ranks) -> None:
    history = [
        Event(type="purchase", item="2", time=1.0),
        Event(type="purchase", item="3", time=2.0),
        Event(type="cancel", item="3", time=3.0),
    ]
    ranking = ranks(IDS, guards=Guards(bought_last=True), history=history)
    assert order(ranking)[-1] == "2" and order(ranking)[0] in ("3", "0")
    assert order(ranks(IDS, guards=Guards(bought_last=True)))[-1] != "2"


def test_an_exact_title_never_moves_down(ranks: Ranks, state: ServedState) -> None:
    title = state.index.columns.item(int(state.index.rows(["41"])[0])).title
    ids = ["2", "41", "3", "1"]
    shoes = {"semantic": SignalWeight(-1.0)}  # the exact title is then the worst
    assert order(ranks(ids, query=title, signals=shoes))[-1] == "41"
    kept = ranks(ids, query=title, signals=shoes, guards=Guards(exact_stays=True))
    assert order(kept).index("41") <= 1
    assert moves(kept, "41")[-1] == ("limits", 4, 2)


@given(st.permutations(range(9)), st.integers(0, 9), st.lists(st.integers(0, 8), max_size=4))
def test_limits_hold_and_change_as_little_as_they_can(
    wanted: list[int], away: int, stays: list[int]
) -> None:
    n = len(wanted)
    places = np.arange(n)
    latest = np.minimum(places + away, n - 1)
    latest[stays] = places[stays]
    found = within_limits(np.array(wanted), np.maximum(places - away, 0), latest)
    rank = np.argsort(found)
    assert sorted(found.tolist()) == list(range(n))
    assert (rank <= latest).all() and (rank >= places - away).all()
    if away >= n - 1 and not stays:
        assert found.tolist() == wanted
    if away == 0:
        assert found.tolist() == list(range(n))


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@given(st.integers(0, 4))
def test_moves_lead_from_the_place_by_score_to_the_place_that_is_shown(most: int) -> None:
    order_ = np.array([3, 1, 4, 0, 2])
    context = RankingContext.__new__(RankingContext)
    context.__dict__["query_words"] = []
    after, found = guarded(Guards(max_move=most), context, order_)
    for candidate in range(5):
        steps = found.get(candidate, [])
        by_score = order_.tolist().index(candidate) + 1
        assert (steps[0].from_ if steps else by_score) == by_score
        assert (steps[-1].to if steps else by_score) == after.tolist().index(candidate) + 1
        assert abs(after.tolist().index(candidate) - candidate) <= most


def test_diversity_by_hand() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=np.float32)
    known = np.array([True, True, True, False])
    scores = np.array([1.0, 0.9, 0.5, 0.0])
    order_ = np.arange(4)
    # second place, strength 0.5: 0.5 x 0.9 - 0.5 x 1 < 0.5 x 0.5 - 0; third: -0.05 < 0 - 0
    found = diversified(Diversity(0.5, 10), order_, scores, vectors, known)
    assert found.tolist() == [0, 2, 3, 1]
    assert diversified(Diversity(0.0, 10), order_, scores, vectors, known).tolist() == [0, 1, 2, 3]
    assert diversified(Diversity(0.5, 2), order_, scores, vectors, known).tolist()[2:] == [2, 3]


def test_diversity_is_listed_as_a_move(ranks: Ranks) -> None:
    ranking = ranks(IDS, diversity=Diversity(0.9, 8))
    named = {guard for item in IDS for guard, _, _ in moves(ranking, item)}
    assert named == {"diversity"}
    assert sorted(order(ranking)) == sorted(IDS)
