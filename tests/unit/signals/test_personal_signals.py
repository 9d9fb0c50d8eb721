"""Signals from behaviour, their gate, and what holds for them whatever the history."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.shop import TRAINED_AT, copy_home, small_shop, write_items

from indexes.build.rebuild import rebuild
from indexes.encoders.settings import EncoderSettings
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.blends.gate import Gate
from reranker.evaluation.evaluate import evaluate
from reranker.evaluation.leakage import Leak
from reranker.evaluation.requests import JudgedRequestReader
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, compute
from reranker.signals.user_history import UserHistory

PERSONAL = [name for name, signal in SIGNALS.items() if signal.personal and not signal.vectors]
DAY = 86_400.0
NOW = TRAINED_AT
IDS = [item["id"] for item in small_shop()]


def request(history: list[Event] | None, ids: list[str] = IDS[:12], **more: Any) -> RerankRequest:
    return RerankRequest(
        [Candidate(item) for item in ids], query="rain jacket", history=history, time=NOW, **more
    )


def event(item: str, days: float = 1.0, kind: str = "view") -> Event:
    return Event(type=kind, item=item, time=NOW - days * DAY)


def column(state: ServedState, name: str, asked: RerankRequest) -> Column | Missing:
    context = RankingContext(asked, state.index, state.query_vectors, 10, personal=state.personal)
    return compute(context, [name])[name]


def values(state: ServedState, name: str, asked: RerankRequest) -> list[float]:
    found = column(state, name, asked)
    assert isinstance(found, Column)
    return found.values.tolist()


def test_behaviour_is_the_inner_product_minus_the_mean(state: ServedState) -> None:
    asked = request([event("1"), event("6")])
    context = RankingContext(asked, state.index, state.query_vectors, 10, personal=state.personal)
    assert state.model
    rows = state.index.rows(IDS[:12])
    items = state.model.item_vectors(rows, state.index.vectors(rows))
    products = items @ context.user_vector
    found = values(state, "behaviour", asked)
    np.testing.assert_allclose(found, products - products.mean(), atol=1e-5)
    assert sum(found) == pytest.approx(0.0, abs=1e-5)


def test_repeat_by_hand(state: ServedState) -> None:
    assert state.personal.learned
    statistics = state.personal.learned.statistics
    statistics.card.lifts.update(view=2.0, purchase=-3.0)
    found = values(
        state,
        "repeat",
        request([event("1", 90), event("2", 0, "purchase"), event("2", 90), event("99")]),
    )
    assert found[0] == 0.0
    assert found[1] == pytest.approx(math.log1p(2.0 * 0.5))
    assert found[2] == pytest.approx(math.log1p(2.0 * 0.5))  # the purchase is not before now
    done = values(state, "repeat", request([event("3", 0.0001, "purchase")]))
    assert done[3] == pytest.approx(-3.0, abs=1e-4)


def test_taste_by_hand(state: ServedState) -> None:
    shop = {item["id"]: item for item in small_shop()}
    asked = request([event("0", 2), event("6", 1)])  # Arvo shoes, Fell jacket, newest first: 6
    found = column(state, "taste", asked)
    assert isinstance(found, Column)
    newest, older = 1 / 1.9, 0.9 / 1.9
    assert shop["0"]["brand"] == "Arvo"
    assert found.parts["brand"][0] == pytest.approx(older)
    assert found.parts["brand"][1] == pytest.approx(newest)
    # Sport: both; Sport > Shoes: the older one
    assert found.parts["category"][0] == pytest.approx((1.0 + older) / 2)
    usual = math.exp((math.log(10) + math.log(16)) / 2)
    assert found.parts["price"][3] == pytest.approx(min(13 / usual, usual / 13), abs=1e-6)


def test_together_knows_what_was_met_together(state: ServedState) -> None:
    found = values(state, "together", request([event("2")]))
    assert np.argmax(found) == 7  # jackets follow shoes of the same number
    assert found[2] == 0.0


def test_near_is_highest_for_the_item_itself(state: ServedState) -> None:
    found = values(state, "near", request([event("3")]))
    assert found[3] == pytest.approx(1.0, abs=1e-5)
    assert max(found) == found[3]


def test_popular_counts_events_by_weight(state: ServedState) -> None:
    found = column(state, "popular", request(None))
    assert isinstance(found, Column)
    assert set(found.parts) == {"view", "purchase"}
    weighed = found.parts["view"] * 1.0 + found.parts["purchase"] * 5.0
    np.testing.assert_allclose(found.values, np.log1p(weighed), rtol=1e-6)


@pytest.mark.promise(3)
@pytest.mark.promise(5)
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(None), "no_history"),
        (request([]), "no_history"),
        (request(None, user="nobody"), "no_history"),
        (request([event("not there")]), "unknown_history"),
        (request([Event(type="view", item="1", time=NOW)]), "no_history"),  # not before now
        (request([event("1")], personalize=False), "not_asked"),
    ],
)
def test_without_a_past_the_ranking_is_the_unpersonalised_one_bit_for_bit(
    state: ServedState, asked: RerankRequest, reason: str
) -> None:
    for name in PERSONAL:
        found = column(state, name, asked)
        assert isinstance(found, Missing)
        assert found.reason == reason
    plain = rerank(msgspec.structs.replace(asked, personalize=False), state)
    ranking = rerank(asked, state)
    assert ranking.results == plain.results
    assert ranking.gate is None
    named = {(one.signal, one.reason) for one in ranking.degraded}
    assert named == (set() if reason == "not_asked" else {(name, reason) for name in PERSONAL})


def test_a_gate_by_hand() -> None:
    gate = Gate(bias=-1.0, closest=2.0, query=0.0, together=0.0, length=0.0, floor=0.1)
    assert gate.value({"closest": 0.5}) == pytest.approx(0.1 + 0.9 * 0.5)
    assert Gate().value({}) < 0.05


def test_the_gate_multiplies_personal_contributions_only(state: ServedState) -> None:
    ranking = rerank(request([event("1"), event("6")], explain=True), state)
    assert ranking.gate is not None and 0 < ranking.gate < 1
    blend, _ = state.blend(None)
    explained = ranking.results[0].explanation
    assert explained
    for name, signal in explained.signals.items():
        factor = ranking.gate if name in PERSONAL else 1.0
        assert signal.weight == blend.signals[name].weight * factor


def test_train_published_a_default_blend_that_uses_the_model(state: ServedState) -> None:
    assert state.published.name == "default"
    assert state.published_version == 2
    assert set(PERSONAL) <= set(state.published.signals)
    assert state.versions["model"]


def test_an_event_changes_the_very_next_ranking(home: Path, state: ServedState) -> None:
    asked = request(None, user="fresh shopper")
    before = rerank(msgspec.structs.replace(asked, time=None), state)
    histories = open_histories(Workspace(home))
    histories.append([HistoryEvent(type="view", item="7", time=NOW, user="fresh shopper")])
    after = rerank(msgspec.structs.replace(asked, time=None), state)
    histories.forget(user="fresh shopper")
    histories.close()
    assert before.gate is None and after.gate is not None
    assert [one.score for one in before.results] != [one.score for one in after.results]
    gone = rerank(msgspec.structs.replace(asked, time=None), state)
    assert gone.results == before.results


def test_history_in_the_request_replaces_the_stored_one(state: ServedState) -> None:
    sent = rerank(request([event("44")], user="u1"), state)
    assert sent.results == rerank(request([event("44")]), state).results
    assert sent.results != rerank(request(None, user="u1"), state).results


def judged(user: str, time: float) -> Any:
    return JudgedRequestReader().read(
        {
            "id": f"{user} {time}",
            "user": user,
            "time": time,
            "query": "rain jacket",
            "history": [{"type": "view", "item": "1", "time": time - 5}],
            "candidates": [{"id": item} for item in IDS[:12]],
            "ratings": {"6": 1},
        }
    )


def test_requests_whose_answer_the_model_has_seen_are_refused_with_their_count(
    state: ServedState,
) -> None:
    seen, later = judged("u3", NOW - 30 * DAY), judged("u3", NOW)
    unknown = judged("somebody", NOW - 30 * DAY)
    found = evaluate([seen, later, unknown], state)
    assert (found.leaks, found.queries) == (1, 2)
    assert evaluate([seen, later, unknown], state, allow_leak=True).queries == 3
    with pytest.raises(Leak, match="--allow-leak") as failure:
        evaluate([seen], state)
    assert "1 requests" in failure.value.message


def test_strangers_histories_are_anothers(state: ServedState) -> None:
    requests = [judged(f"s{number}", NOW + number) for number in range(6)]
    found = evaluate(requests, state, wrong_history=True)
    rows = {"engine", "default", "default:stranger", "default:unpersonalised"}
    assert set(found.metrics) == rows
    assert found.gates["default"] > 0 and found.gates["default:unpersonalised"] == 0


def test_a_model_that_reads_searches_reads_this_one(state: ServedState) -> None:
    model = state.model
    assert model and not model.reads_searches
    asked = request([event("1"), event("6")])
    plain = RankingContext(asked, state.index, state.query_vectors, 10, personal=state.personal)
    without = plain.user_vector
    model.reads_searches = True
    try:
        context = RankingContext(
            asked, state.index, state.query_vectors, 10, personal=state.personal
        )
        assert isinstance(context.history, UserHistory)
        search = HistoryEvent(type="search", query="rain jacket", time=NOW)
        wanted = model.user_vector([*context.history.events, search], NOW, state.query_vectors)
        np.testing.assert_array_equal(context.user_vector, wanted)
        assert not np.allclose(wanted, without)
    finally:
        model.reads_searches = False


@pytest.mark.promise(5)
def test_a_model_of_other_vectors_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    copied = copy_home(home, tmp_path / "home")
    catalogue = write_items(tmp_path / "items.jsonl", small_shop())
    changed = {EncoderSettings: EncoderSettings(dimensions=128)}
    rebuild(Workspace(copied, changed), catalogue, progress=silent)
    other = load_state(Workspace(copied, changed))
    assert other.model is None
    assert other.versions["model"] is None
    ranking = rerank(request([event("1")]), other)
    assert len(ranking.results) == 12
    reasons = {one.signal: one.reason for one in ranking.degraded}
    assert reasons["behaviour"] == "model_mismatch"
    assert "taste" not in reasons  # it needs no model


@pytest.mark.promise(5)
def test_a_history_that_cannot_be_read_costs_only_itself(state: ServedState) -> None:
    def broken(*_asked: object) -> list[HistoryEvent]:
        raise OSError("the disk is gone")

    without = replace(state, personal=replace(state.personal, recent=broken))
    ranking = rerank(request(None, user="u1"), without)
    assert ranking.results == rerank(request(None), state).results
    assert {one.reason for one in ranking.degraded} == {"history_unavailable"}
