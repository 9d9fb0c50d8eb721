"""What holds of every ranking, whatever is asked, known, missing or broken."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.breakable import FAULTS, IDS, Shop, broken_signals, raises
from support.shop import TRAINED_AT, Rerank
from support.strategies import (
    bodies,
    candidates,
    faults,
    given_values,
    histories,
    id_lists,
    ids,
    queries,
    sent_lists,
    users,
)

from indexes.names import normalised
from indexes.workspace import Workspace
from reranker.ranking.ranking import Ranking, rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.caches import QueryVectors
from reranker.signals.registry import SIGNALS

PERSONAL = [name for name, signal in SIGNALS.items() if signal.personal]
HEAVY = pytest.mark.heavy
Recorded = Callable[[str, object], None]


@pytest.fixture(scope="module")
def state(trained_home: Path) -> ServedState:
    return load_state(Workspace(trained_home))


@pytest.fixture(scope="module")
def robust(trained_home: Path) -> Shop:
    return Shop(trained_home, breaker_failures=1_000_000)


def check(sent: Sequence[str], results: Sequence[dict[str, Any]]) -> None:
    """Exactly the candidates sent, once each, by score; a score is its contributions' sum."""
    assert sorted(result["index"] for result in results) == list(range(len(sent)))
    for place, result in enumerate(results):
        assert result["rank"] == place + 1
        assert result["id"] == sent[result["index"]]
        assert math.isfinite(result["score"])
        if result.get("explanation"):
            total = sum(result["explanation"]["contributions"].values())
            assert math.isclose(total, result["score"], rel_tol=1e-9, abs_tol=1e-6)
    keys = [(-result["score"], result["index"]) for result in results]
    assert keys == sorted(keys), "by score, and equal scores in the engine's order"


def check_ranking(sent: Sequence[str], ranking: Ranking) -> None:
    check(sent, msgspec.to_builtins(ranking.results))


# Over HTTP


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@settings(max_examples=200)
@given(bodies)
def test_any_request_gives_its_candidates_back_once_each_by_score(
    rerank: Rerank, body: dict[str, Any]
) -> None:
    sent = [candidate["id"] for candidate in body["candidates"]]
    everything = rerank({**body, "explain": True, "top_n": None})["results"]
    check(sent, everything)
    answer = rerank({**body, "explain": True})
    assert answer["results"] == everything[: body.get("top_n", len(sent))]
    assert all(part["reason"] != "internal_error" for part in answer["degraded"])


@pytest.mark.promise(2)
@pytest.mark.promise(3)
@settings(max_examples=60)
@given(candidates, st.booleans())
def test_with_nothing_to_add_the_engines_order_comes_back(
    rerank: Rerank, sent: list[dict[str, Any]], silence: bool
) -> None:
    """Either every other signal is told to be silent, or nothing is known of query and items."""
    if silence:
        body = {"candidates": sent, "query": "red shoes"}
        body["weights"] = {name: 0 for name in SIGNALS if name != "engine"}
    else:
        body = {"candidates": [{"id": f"unknown {c['id']}"} for c in sent], "query": ""}
    answer = rerank(body)
    assert [result["index"] for result in answer["results"]] == list(range(len(sent)))


@pytest.mark.promise(1)
@settings(max_examples=60)
@given(sent=st.lists(ids, max_size=12))
def test_an_id_that_comes_twice_is_refused_and_nothing_else_is(
    client: FlaskClient, sent: list[str]
) -> None:
    body = {"candidates": [{"id": one} for one in sent], "query": "red shoes"}
    answer = client.post("/rerank", data=msgspec.json.encode(body))
    forms = [normalised(one) for one in sent]
    if len(set(forms)) < len(sent) or not all(forms):
        assert answer.status_code == 422
        assert answer.get_json()["error"]["field"].startswith("candidates[")
    else:
        assert sorted(one["id"] for one in answer.get_json()["results"]) == sorted(sent)


# Whatever fails


@pytest.mark.promise(1)
@settings(max_examples=60)
@given(sent_lists, faults, queries, users, st.booleans())
def test_any_faults_give_back_what_was_sent(
    robust: Shop,
    sent: list[str],
    faults: dict[str, str],
    query: str,
    user: str | None,
    explain: bool,
) -> None:
    _with_faults(robust, sent, faults, query=query, explain=explain, **given_values(user=user))


@HEAVY
@pytest.mark.promise(1)
def test_very_many_faults_give_back_what_was_sent(robust: Shop, record_property: Recorded) -> None:
    chance = np.random.default_rng(5)
    runs = 20_000
    record_property("runs", runs)
    for _ in range(runs):
        sent = [str(one) for one in chance.permutation(70)[: chance.integers(0, 40)]]
        names = chance.choice([*SIGNALS], chance.integers(0, 5), replace=False)
        faults = {str(name): str(chance.choice([*FAULTS])) for name in names}
        _with_faults(robust, sent, faults, query="rain jacket", user=f"u{chance.integers(60)}")


def _with_faults(shop: Shop, sent: list[str], faults: dict[str, str], **more: Any) -> None:
    with broken_signals(faults):
        answer = shop.ask(candidates=[{"id": one} for one in sent], **{"user": "nobody", **more})
    check(sent, answer["results"])


@pytest.mark.promise(1)
@pytest.mark.parametrize("examples", [100, pytest.param(50_000, marks=HEAVY)])
def test_any_candidates_come_back_once_each_whatever_fails(
    state: ServedState, examples: int, record_property: Recorded
) -> None:
    runs = 0

    @settings(max_examples=examples)
    @given(id_lists, histories, faults, queries, st.booleans(), st.booleans(), st.booleans())
    def ranks(
        sent: list[str],
        history: list[Event],
        broken: dict[str, str],
        query: str,
        encoder: bool,
        store: bool,
        explain: bool,
    ) -> None:
        nonlocal runs
        runs += 1
        trial = replace(state, personal=replace(state.personal, recent=raises)) if store else state
        asked = RerankRequest(
            [Candidate(one) for one in sent],
            query=query,
            user="u1",
            history=None if store else history,
            explain=explain,
            time=TRAINED_AT,
        )
        with ExitStack() as stack:
            stack.enter_context(broken_signals(broken))
            if encoder:
                stack.enter_context(patch.object(QueryVectors, "encoded", raises))
            check_ranking(sent, rerank(asked, trial))

    ranks()
    record_property("runs", runs)


# Whoever asks


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@settings(max_examples=40)
@given(histories, st.booleans())
def test_any_history_ranks_all_candidates_and_explains_the_sum(
    state: ServedState, history: list[Event], explain: bool
) -> None:
    sent = [*IDS[:20], "gone", "new"]
    asked = [Candidate(one) for one in sent]
    ranking = rerank(
        RerankRequest(
            asked, query="rain jacket", history=history, time=TRAINED_AT, explain=explain
        ),
        state,
    )
    check_ranking(sent, ranking)
    for one in ranking.results:
        if one.explanation:
            total = 0.0
            for amount in one.explanation.contributions.values():
                total += amount
            assert total == one.score, "to the bit, added in their order"
            assert one.explanation.gate == ranking.gate


@pytest.mark.promise(3)
@settings(max_examples=60)
@given(sent=id_lists, history=histories, query=queries)
def test_personal_weights_of_zero_are_the_unpersonalised_ranking_bit_for_bit(
    state: ServedState, sent: list[str], history: list[Event], query: str
) -> None:
    asked = RerankRequest(
        [Candidate(one) for one in sent], query=query, history=history, time=TRAINED_AT
    )
    silent = msgspec.structs.replace(asked, weights=dict.fromkeys(PERSONAL, 0.0))
    plain = msgspec.structs.replace(asked, personalize=False)
    assert rerank(silent, state).results == rerank(plain, state).results
