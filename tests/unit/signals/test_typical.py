"""What most good candidates are like, on the small shop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.storage.arrays import Values, Vectors
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.ranking.ranking import wanted
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute
from reranker.signals.relevance import typical

IDS = ["55", *[str(number) for number in range(10)]]  # board games; shoes and jackets


@pytest.fixture(scope="module")
def state(shop_home: Path) -> ServedState:
    return load_state(Workspace(shop_home))


def column(state: ServedState, query: str, ids: list[str]) -> Column | Missing:
    request = RerankRequest([Candidate(one) for one in ids], query=query)
    return typical(RankingContext(request, state.index, state.query_vectors, text_limit=0))


def test_one_item_unlike_all_others_is_the_least_typical(state: ServedState) -> None:
    found = column(state, "shoes", IDS)
    assert isinstance(found, Column)
    assert found.values[1:6].min() > found.values[0] + 0.1


def test_by_hand(state: ServedState) -> None:
    """What the rank of each score nearby counts, in the mean over 20,001 of them."""
    found = column(state, "running shoes", IDS)
    assert isinstance(found, Column)
    vectors = state.index.vectors(state.index.rows(IDS)).astype(np.float64)
    cosines = vectors @ state.query_vectors.query("running shoes")
    scaled = (cosines - cosines.min()) / np.ptp(cosines)
    first = np.linspace(1, 0, len(IDS)) + scaled
    near = np.linspace(-0.05, 0.05, 20_001)
    better = (first[:, None, None] > (first[:, None] + near)[..., None].T).sum(axis=0)
    worth = (0.5 ** (better / (len(IDS) / 4))).mean(axis=0)
    centre = worth @ vectors
    expected = vectors @ centre / np.sqrt(centre @ centre)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def scores_of(
    state: ServedState, ids: list[str], change: Callable[[Vectors], Vectors]
) -> tuple[Values, Values]:
    """`typical`, and the scores of the built-in blend, where vectors differ from the index's."""
    query = "running shoes"
    cosines = state.index.vectors(state.index.rows(ids)) @ state.query_vectors.query(query)
    candidates = [Candidate(ids[at], score=-float(cosines[at])) for at in np.argsort(cosines)]
    request = RerankRequest(candidates, query=query)
    context = RankingContext(request, state.index, state.query_vectors, text_limit=0)
    vectors, known = context.item_vectors
    context.item_vectors = change(vectors), known
    columns = compute(context, wanted(DEFAULT, {}))
    found = columns["typical"]
    assert isinstance(found, Column)
    return found.values, scored(DEFAULT, columns, {}, len(ids), explained=False)[0]


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(10, 60))
def test_a_last_bit_of_the_vectors_is_a_last_bit_of_the_scores(
    state: ServedState, seed: int, count: int
) -> None:
    """Where the engine puts the items the other way round, the first pass finds all the same."""
    chance = np.random.default_rng(seed)
    ids = [str(number) for number in chance.permutation(60)[:count]]

    def changed(vectors: Vectors) -> Vectors:
        return np.nextafter(vectors, chance.choice(np.float32([-2, 2]), vectors.shape))

    before = scores_of(state, ids, lambda vectors: vectors)
    after = scores_of(state, ids, changed)
    np.testing.assert_allclose(before[0], after[0], rtol=0, atol=5e-7)
    # Dot products round by 1e-7, which min-max stretches where the candidates are much alike.
    np.testing.assert_allclose(before[1], after[1], rtol=0, atol=3e-6)


def test_when_there_is_no_telling(state: ServedState) -> None:
    assert column(state, "shoes", IDS[:9]) == Missing("few_candidates", degraded=False)
    assert column(state, "", IDS) == Missing("no_query")
    assert column(state, "shoes", [f"x{n}" for n in range(12)]) == Missing("not_in_index")
