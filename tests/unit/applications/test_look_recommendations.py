"""Recommendations and similar items take up what no text says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.look_shop import DOTTED, STRIPED, look_vectors, with_vectors
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.applications.recommendations import item_space
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.item_lists import similar
from reranker.applications.recommendations.look_space import LookSpace
from reranker.applications.recommendations.recommend import recommend
from reranker.applications.recommendations.wishes import (
    Exclude,
    PageContext,
    Recommendations,
    Wish,
)
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Event, RerankRequest

BLANK = "s11"


@pytest.fixture(scope="module")
def state(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedState:
    home = copy_home(shop_home, tmp_path_factory.mktemp("looks") / "home")
    vectors = look_vectors()
    del vectors[BLANK]
    with_vectors(home, image=vectors)
    return load_state(Workspace(home))


@pytest.fixture(scope="module")
def lists(state: ServedState) -> CatalogueLists:
    return CatalogueLists(state.index, state.personal.learned)


def ids(answer: Recommendations) -> list[str]:
    return [result.id for result in answer.results]


def bought(*items: str) -> RerankRequest:
    history = [Event(type="purchase", item=item, time=1.7e9 + at) for at, item in enumerate(items)]
    return RerankRequest([], history=history)


def test_who_buys_a_look_is_recommended_it(state: ServedState, lists: CatalogueLists) -> None:
    for look, first in ((STRIPED, STRIPED[:2]), (DOTTED, DOTTED[:2])):
        wish = Wish(bought(*first), exclude=Exclude(bought=True), top_n=3)
        answer = recommend(wish, state, lists)
        assert set(ids(answer)) <= set(look) - set(first)
        reason = answer.results[0].reason
        assert (reason.kind, reason.item) in {("similar", item) for item in first}
        assert reason.text == 'similar to "cotton shirt"'


def test_similar_items_by_look(state: ServedState, lists: CatalogueLists) -> None:
    answer = similar(state, lists, "s0", "look", 5)
    assert set(ids(answer)) == set(STRIPED[1:])
    assert answer.results[0].reason.item == "s0"
    assert set(ids(similar(state, lists, "s0", "both", 5))) == set(STRIPED[1:])
    assert BLANK in ids(similar(state, lists, "s0", "text", 11))


def test_the_page_brings_what_looks_like_its_item(
    state: ServedState, lists: CatalogueLists
) -> None:
    wish = Wish(RerankRequest([], time=1.7e9), context=PageContext(item="s1"), top_n=5)
    assert len(set(ids(recommend(wish, state, lists))) & set(DOTTED)) >= 3


def test_why_nothing_looks_like_it(
    state: ServedState, lists: CatalogueLists, shop_home: Path
) -> None:
    answer = similar(state, lists, BLANK, "look", 3)
    assert ("looks", "item_without_vector") in {(one.signal, one.reason) for one in answer.degraded}
    plain = load_state(Workspace(shop_home))
    answer = similar(plain, CatalogueLists(plain.index, None), "1", "look", 3)
    assert ("looks", "no_item_vectors") in {(one.signal, one.reason) for one in answer.degraded}
    assert len(answer.results) == 3, "the fallbacks fill it up"


def test_a_large_catalogue_is_searched_by_an_inverted_file(
    state: ServedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = LookSpace(state.index)
    monkeypatch.setattr(item_space, "EXACT", 10)
    monkeypatch.setattr(item_space, "_PER_LIST", 30)
    inverted = LookSpace(state.index)
    row, worth = state.index.rows(["s0"]), np.ones(1)
    allowed = np.ones(len(state.index), bool)
    allowed[row] = False
    assert set(inverted.alike(row, worth, allowed, 5)) == set(exact.alike(row, worth, allowed, 5))


def test_a_modality_of_weight_0_says_nothing(state: ServedState) -> None:
    index = dataclasses.replace(state).index
    weight, index.modalities["image"].weight = index.modalities["image"].weight, 0.0
    try:
        assert CatalogueLists(index, None).looks is None
    finally:
        index.modalities["image"].weight = weight
