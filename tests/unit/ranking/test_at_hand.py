"""test_at_hand.py: in the thread of the request only what needs no waiting is ranked."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.shop import TRAINED_AT, copy_home, patient

from reranker.blends.blend import PERSONAL, SignalWeight
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Histories
from reranker.histories.store import open_histories
from reranker.ranking.deadlines import DeadlineRanker
from reranker.ranking.ranking import PartialRanking, Ranking, rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.budget import Breakers, RequestBudget, Stages
from reranker.runtime.caches import QueryVectors
from reranker.signals.registry import SIGNALS, Signal

EVERY = msgspec.structs.replace(
    PERSONAL,
    signals={
        name: part if part.weight else SignalWeight(0.5, part.normalise)
        for name, part in PERSONAL.signals.items()
    },
)
ASKED = RerankRequest(
    [Candidate(str(number), score=float(-number)) for number in range(30)],
    query="rain jacket",
    user="u3",
)


@pytest.fixture(scope="module")
def home(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(trained_home, tmp_path_factory.mktemp("at-hand") / "home")


@pytest.fixture
def histories(home: Path) -> Iterator[Histories]:
    opened = open_histories(patient(home))
    yield opened
    opened.close()


class Ranker:
    """By a state of this home; says which requests were at hand."""

    def __init__(self, home: Path, histories: Histories) -> None:
        self.breakers = Breakers()
        state = load_state(patient(home), histories, self.breakers)
        self.state: ServedState = replace(state, published=EVERY)
        self.ranker = DeadlineRanker(self.breakers)

    def at_hand(self, request: RerankRequest = ASKED, seconds: float = 1000.0) -> Ranking | None:
        return self.ranker.at_hand(request, self.state, time.perf_counter() + seconds)

    def rerank(self, request: RerankRequest = ASKED) -> Ranking:
        return self.ranker.rerank(request, self.state, time.perf_counter() + 1000.0)


@pytest.fixture
def ranker(home: Path, histories: Histories) -> Ranker:
    return Ranker(home, histories)


def asked(**changes: Any) -> RerankRequest:
    return msgspec.structs.replace(ASKED, **changes)


def test_what_was_asked_for_before_is_at_hand_and_ranked_as_ever(ranker: Ranker) -> None:
    assert ranker.at_hand() is None
    first = ranker.rerank()
    again = ranker.at_hand()
    assert again is not None
    anew = rerank(ASKED, ranker.state)
    for ranking in (first, anew):
        assert [one.id for one in ranking.results] == [one.id for one in again.results]
        for one, other in zip(ranking.results, again.results, strict=True):
            # The clock has gone on between them, and `repeat` halves by it.
            assert one.score == pytest.approx(other.score, abs=1e-6)
    assert again.degraded == first.degraded


def test_who_has_no_history_is_at_hand_too(ranker: Ranker) -> None:
    stranger = asked(user="nobody at all")
    first = ranker.rerank(stranger)
    again = ranker.at_hand(stranger)
    assert again is not None
    assert [one.id for one in again.results] == [one.id for one in first.results]
    unnamed = asked(user=None)
    assert ranker.at_hand(unnamed) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "never asked before"},
        {"user": "u4"},
        {"session": "s"},
        {"history": [Event(type="view", item="1")]},
        {"time": TRAINED_AT},
        {"blend": "another"},
        {"candidates": [Candidate("1"), Candidate("new", text="a jacket")]},
        {"candidates": [Candidate(str(number)) for number in range(1001)]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_may_have_to_be_waited_for_is_not(ranker: Ranker, changes: dict[str, Any]) -> None:
    ranker.rerank()
    assert ranker.at_hand(asked(**changes)) is None


def test_nor_is_anything_with_little_time_left(ranker: Ranker) -> None:
    ranker.rerank()
    assert ranker.at_hand(seconds=0.001) is None


def test_where_the_time_is_over_the_engines_order_is_at_hand(ranker: Ranker) -> None:
    late = ranker.at_hand(asked(query="never asked before"), seconds=-1.0)
    assert late is not None
    assert [one.id for one in late.results] == [one.id for one in ASKED.candidates]
    assert [(one.signal, one.reason) for one in late.degraded] == [("all", "deadline")]


def test_nor_while_anything_fails(ranker: Ranker) -> None:
    ranker.rerank()
    breaker = ranker.breakers.of("history")
    breaker.failed()
    assert ranker.at_hand() is None
    breaker.worked()
    assert ranker.at_hand() is not None


def test_nor_by_a_signal_that_somebody_else_put_there(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker.rerank()
    near = SIGNALS["near"]
    monkeypatch.setitem(SIGNALS, "near", Signal("near", near.compute, "", True, True))
    assert ranker.at_hand() is None


def test_a_new_event_counts_at_once(ranker: Ranker, histories: Histories) -> None:
    before = ranker.rerank()
    assert ranker.at_hand() is not None
    histories.append([HistoryEvent(type="view", item="29", time=time.time() - 1, user="u3")])
    assert ranker.at_hand() is None
    after = ranker.rerank()
    assert after.results != before.results
    again = ranker.at_hand()
    assert again is not None
    assert [one.id for one in again.results] == [one.id for one in after.results]


def test_a_store_that_another_thread_reads_is_not_waited_for(
    ranker: Ranker, histories: Any
) -> None:
    ranker.rerank()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with histories._read_lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    found = ranker.at_hand()
    go_on.set()
    thread.join()
    assert found is not None, "what is in memory needs nobody's turn"


@pytest.mark.parametrize("towers", [0, 2])
def test_all_encoders_are_asked_for_a_new_query_and_tell_once(ranker: Ranker, towers: int) -> None:
    own = ranker.state.query_vectors
    others = {f"tower {number}": QueryVectors(own._encoder, 10) for number in range(towers)}
    state, new = replace(ranker.state, towers=others), asked(query=f"never asked, {towers}")
    told: queue.Queue[None] = queue.Queue()
    until = time.perf_counter() + 1000.0
    assert ranker.ranker.fetch(new, state, until, lambda: told.put(None))
    told.get(timeout=60)
    assert all(vectors.holds(new.query) for vectors in (own, *others.values()))
    assert told.empty()
    assert not ranker.ranker.fetch(new, state, until, lambda: None), "nothing is missing now"
    assert not ranker.ranker.fetch(asked(query=" "), state, until, lambda: None)


class Ending(Stages):
    """The clock of a ranking that is nearly made when whoever waits for it does so no longer."""

    def __init__(self, budget: RequestBudget) -> None:
        super().__init__()
        self.budget = budget

    def __call__(self, name: str) -> Stages:
        if name == "results":
            self.budget.leave()
        return super().__call__(name)


@pytest.mark.parametrize("left", [False, True])
def test_what_somebody_else_may_still_read_is_not_lent_to_the_next(
    ranker: Ranker, left: bool
) -> None:
    """At the deadline the waiting thread explains what is done, while this one may just end."""
    budget, begun = RequestBudget(), list[PartialRanking]()
    stages = Ending(budget) if left else Stages()
    rerank(ASKED, ranker.state, budget, stages, begun.append)
    assert ("item_vectors" in vars(begun[0].context)) is left
