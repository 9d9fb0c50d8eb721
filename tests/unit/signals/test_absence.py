"""What is not there: no candidates, a shopper who was away, searches to learn from."""

import logging

import pytest
from support.shop import TRAINED_AT

from reranker.evaluation.requests import rerank_request
from reranker.model.served_model import SEARCH_SHARE, reads_searches
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState
from reranker.requests import Candidate, Event, JudgedRequest, RerankRequest
from reranker.signals.columns import Column
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute

DAY = 86_400.0
CANDIDATES = [Candidate(f"{number}") for number in range(12)]


def view(days_ago: float, item: str = "1") -> Event:
    return Event(type="view", item=item, time=TRAINED_AT - days_ago * DAY)


def context(state: ServedState, asked: RerankRequest) -> RankingContext:
    clock = lambda: TRAINED_AT  # noqa: E731
    return RankingContext(
        asked, state.index, state.query_vectors, 10, clock=clock, personal=state.personal
    )


def test_an_empty_list_with_a_history_is_an_answer_and_no_error(
    state: ServedState, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="reranker"):
        ranking = rerank(RerankRequest([], query="rain jacket", history=[view(1)]), state)
    assert ranking.results == []
    assert not [record for record in caplog.records if record.exc_info]


def test_a_history_sent_along_does_not_hide_how_long_a_shopper_was_away(
    state: ServedState,
) -> None:
    assert state.personal.learned
    state.personal.learned.statistics.card.lifts.update(view=2.0)

    def repeated(days_ago: float, time: float | None) -> float:
        asked = RerankRequest(CANDIDATES, history=[view(days_ago)], time=time)
        column = compute(context(state, asked), ["repeat"])["repeat"]
        assert isinstance(column, Column)
        return float(column.values[1])

    assert repeated(180.0, None) == pytest.approx(repeated(180.0, TRAINED_AT))
    assert repeated(180.0, None) < 0.5 * repeated(1.0, None)


def test_now_is_never_before_a_history_whose_clock_is_ahead(state: ServedState) -> None:
    ahead = RerankRequest(CANDIDATES, history=[view(-1.0), view(2.0, "2")])
    now = context(state, ahead)
    assert now.now == TRAINED_AT + DAY
    assert len(now.known_history.events) == 2


def test_a_logged_request_without_a_time_was_asked_after_its_history() -> None:
    judged = JudgedRequest(CANDIDATES, history=[view(400.0), view(402.0)])
    asked = rerank_request(judged)
    newest = TRAINED_AT - 400 * DAY
    assert isinstance(asked.time, float) and newest < asked.time < newest + 1.0
    assert rerank_request(JudgedRequest(CANDIDATES, history=[Event("view", "1")])).time is None


def test_one_search_by_chance_makes_no_model_that_reads_searches() -> None:
    events = round(10 / SEARCH_SHARE)
    for searches, reads in ((0, False), (1, False), (9, False), (10, True), (500, True)):
        assert reads_searches({"searches": searches, "events": events}) is reads
