"""What most good candidates are like, on the small shop."""

from pathlib import Path

import numpy as np
import pytest

from indexes.workspace import Workspace
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
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
    """The engine's order counts by place alone where the query's cosines are in that order."""
    found = column(state, "running shoes", IDS)
    assert isinstance(found, Column)
    vectors = state.index.vectors(state.index.rows(IDS)).astype(np.float64)
    cosines = vectors @ state.query_vectors.query("running shoes")
    scaled = (cosines - cosines.min()) / np.ptp(cosines)
    first = np.linspace(1, 0, len(IDS)) + scaled
    worth = np.empty(len(IDS))
    worth[np.argsort(-first)] = 0.5 ** (np.arange(len(IDS)) / (len(IDS) / 4))
    centre = worth @ vectors
    expected = vectors @ centre / np.sqrt(centre @ centre)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_when_there_is_no_telling(state: ServedState) -> None:
    assert column(state, "shoes", IDS[:9]) == Missing("few_candidates", degraded=False)
    assert column(state, "", IDS) == Missing("no_query")
    assert column(state, "shoes", [f"x{n}" for n in range(12)]) == Missing("not_in_index")
