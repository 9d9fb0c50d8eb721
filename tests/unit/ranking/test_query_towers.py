"""Queries read into the space of pictures, and shoppers who buy a look."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.item_vectors import publish_with_vectors
from support.shop import copy_home

from indexes.encoders.query_encoder import load_query_encoder
from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.ranking.deadlines import DeadlineRanker
from reranker.ranking.query_towers import query_towers
from reranker.ranking.ranking import rerank
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.budget import Breakers, RequestBudget, spending
from reranker.runtime.caches import QueryVectors
from reranker.runtime.guarded_encoder import GuardedEncoder
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute
from service.live.reload import check_canary

COLOURS = 5  # items i0 to i4 have each another, i5 to i9 again in this order


@pytest.fixture(scope="module")
def state(pictured_home: Path) -> ServedState:
    return load_state(Workspace(pictured_home), breakers=Breakers())


def asked(query: str = "shoes", history: list[Event] | None = None) -> RerankRequest:
    candidates = [Candidate(f"i{number}", score=1.0) for number in range(COLOURS, 2 * COLOURS)]
    return RerankRequest(candidates, query=query, history=history, time=1.7e9 + 60)


def test_a_query_is_compared_with_the_pictures(state: ServedState) -> None:
    request = asked("red shoes")
    context = context_of(request, state)
    column = compute(context, ["depicts"])["depicts"]
    assert isinstance(column, Column)
    pictures = state.index.modalities["image"]
    vectors, _ = pictures.rows(context.rows)
    tower = load_query_encoder(pictures.folder / "encoder")
    wanted = vectors @ tower.encode_queries(["red shoes"])[0]
    np.testing.assert_allclose(column.parts["image"], wanted, atol=1e-5)
    before = state.towers["image"].misses
    compute(context_of(request, state), ["depicts"])
    assert state.towers["image"].misses == before  # remembered by query


@pytest.mark.parametrize("bought", range(COLOURS))
def test_who_buys_a_look_is_shown_it(state: ServedState, bought: int) -> None:
    """All texts are the same: only a picture says which item is like the one that was bought."""
    history = [Event(type="purchase", item=f"i{bought}", time=1.7e9)]
    request = asked(history=history)
    request = msgspec.structs.replace(request, weights={"depicts": 0.0}, explain=True)
    ranked = rerank(request, state)
    assert ranked.results[0].id == f"i{bought + COLOURS}"
    explanation = ranked.results[0].explanation
    assert explanation is not None and explanation.signals["looks"].contribution > 0


def test_models_that_know_none_of_its_words_are_ready(state: ServedState) -> None:
    assert len(check_canary(state).results) > 1


def test_an_index_without_pictures_has_no_towers(shop_home: Path) -> None:
    assert load_state(Workspace(shop_home)).towers == {}


def test_vectors_of_a_file_have_no_tower(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    ids = [f"{number}" for number in range(60)]
    publish_with_vectors(home, ids, np.random.default_rng(1).normal(size=(60, 5)))
    assert load_state(Workspace(home)).towers == {}


def test_a_tower_that_cannot_be_loaded_is_left_out(
    state: ServedState, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Modality:
        name, folder, dimensions, weight = "image", tmp_path, 24, 1.0

    (tmp_path / "encoder").mkdir()
    index: Any = type("Index", (), {"modalities": {"image": Modality()}})
    with caplog.at_level(logging.WARNING, "reranker"):
        assert query_towers(index, RankingSettings()) == {}
    assert "queries are not compared with image" in caplog.text


def test_a_tower_that_fails_costs_its_signal_alone(state: ServedState) -> None:
    class Failing:
        def encode_queries(self, texts: list[str]) -> Any:
            raise RuntimeError(texts)

        encode_documents = encode_queries

        def known_share(self, _text: str) -> float:
            return 1.0

    breakers = Breakers(failures=1)
    failing = GuardedEncoder(Failing(), 24, breakers.of("image_tower"), "image_tower")
    towers = {"image": QueryVectors(failing, 10)}
    context = RankingContext(asked(), state.index, state.query_vectors, 0, towers=towers)
    budget = RequestBudget(time.perf_counter() + 600, breakers)
    with spending(budget):
        columns = compute(context, ["semantic", "depicts"], budget)
    assert isinstance(columns["semantic"], Column)
    assert columns["depicts"] == Missing("encoder_failed")
    assert breakers.of("image_tower").open and not breakers.of("encoder").open


def test_a_tower_that_no_signal_reads_is_not_waited_for(state: ServedState) -> None:
    plain = Blend(
        name="plain", signals={"engine": SignalWeight(1.0), "semantic": SignalWeight(1.0)}
    )
    own, ranker = replace(state, published=plain), DeadlineRanker(Breakers())
    request = msgspec.structs.replace(asked("boots of felt"), time=None)
    ranker.rerank(request, own, time.perf_counter() + 600)
    assert ranker.at_hand(request, own, time.perf_counter() + 600) is not None


def context_of(request: RerankRequest, state: ServedState) -> RankingContext:
    return RankingContext(request, state.index, state.query_vectors, 0, towers=state.towers)
