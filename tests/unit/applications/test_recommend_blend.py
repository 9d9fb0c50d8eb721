"""The blend of recommendations: fitted on moments, served where nothing alone is better."""

from pathlib import Path

import numpy as np
import pytest
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.recommend import prepare, prepare_exact, ranked_rows
from reranker.applications.recommendations.recommend_blend import BLENDED, FITTED
from reranker.applications.recommendations.recommend_fitting import FEWEST, Asked, best_card
from reranker.applications.recommendations.wishes import Exclude, Wish
from reranker.histories.store import open_histories
from reranker.ranking.ranking import rerank
from reranker.ranking.state import load_state
from reranker.requests import RerankRequest

CANDIDATES = 30


def moments(told: tuple[str, ...], count: int = 200) -> list[Asked]:
    """Of each the item that came is what these signals say together, beside noise in the others."""
    rng = np.random.default_rng(4)
    asked = []
    for _ in range(count):
        values = rng.random((CANDIDATES, len(FITTED)))
        tells = sum(values[:, FITTED.index(name)] for name in told)
        came = np.zeros(CANDIDATES, bool)
        came[int(np.argmax(tells))] = True
        asked.append(Asked(values, came))
    return asked


def test_a_blend_is_served_where_several_signals_tell() -> None:
    card = best_card(moments(("engine", "near", "repeat")), encoder=True)
    assert card.chosen == BLENDED and card.moments == 200
    assert card.ndcg[BLENDED] == max(card.ndcg.values()) > 0.9
    weights = {name: part.weight for name, part in card.blend.signals.items()}
    assert min(weights[name] for name in ("engine", "near", "repeat")) > max(
        weights.get(name, 0.0) for name in ("popular", "together", "taste")
    )


@pytest.mark.parametrize("told", ["engine", "together", "behaviour"])
def test_what_ships_is_at_least_as_good_as_each_signal_alone(told: str) -> None:
    card = best_card(moments((told,)), encoder=told == "behaviour")
    assert card.ndcg[card.chosen] == max(card.ndcg.values()) >= card.ndcg[told] > 0.98
    assert card.blend.signals[told].weight > 0
    assert ("behaviour" in card.ndcg) == (told == "behaviour")


def test_few_moments_leave_the_built_in_weights() -> None:
    card = best_card(moments(("near",), FEWEST - 1), encoder=False)
    assert (card.chosen, card.moments, card.ndcg) == (BLENDED, 0, {})
    assert "behaviour" not in card.blend.signals and card.blend.signals["engine"].weight > 0


def test_exact_scoring_ranks_every_item_that_may_be_named_by_the_same_scores(
    trained_home: Path, tmp_path: Path
) -> None:
    workspace = Workspace(copy_home(trained_home, tmp_path / "home"))
    histories = open_histories(workspace)
    state = load_state(workspace, histories)
    lists = CatalogueLists(state.index, state.personal.learned)
    wish = Wish(RerankRequest([], user="u3"), exclude=Exclude(items=["7"]), top_n=5)
    some, every = prepare(wish, state, lists), prepare_exact(wish, state, lists)
    assert len(every.request.candidates) == len(state.index) - 1
    own = {item.id: item.score for item in some.request.candidates}
    for candidate in every.request.candidates:
        assert own.get(candidate.id, candidate.score) == candidate.score
    best = [ranked_rows(rerank(each.request, each.state), state.index) for each in (some, every)]
    assert best[0].tolist() == best[1].tolist()
    histories.close()
