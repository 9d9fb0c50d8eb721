"""worse_queries.py: a judged set and weights -> the next request that the blend makes worse."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from reranker.evaluation.leakage import Leaks
from reranker.evaluation.requests import rerank_request
from reranker.metrics.ranking import has_ideal, ndcg
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from service.page.parts.context import Page
from service.page.parts.matrix import with_factors

MOST: Final = 200  # requests that one press of the button ranks
_EQUAL: Final = 1e-9


class Step(NamedTuple):
    """key: of the request that got worse, if there is one. looked: at how many judged ones."""

    key: str | None
    looked: int


def next_worse(
    page: Page, name: str, after: str | None, blend: str | None, factors: Mapping[str, float]
) -> Step:
    """The first request after this one, round the set, that the blend ranks worse than the engine.

    Requests that are a leak (DESIGN's invariant 7) are passed over, as `evaluate` refuses them.
    """
    state, looked = page.state, 0
    leaks = Leaks(state, [state.blend(blend)[0]], allowed=False)
    for key, judged in islice(page.sets.following(name, after), MOST):
        if not has_ideal(list(judged.ratings.values())) or leaks.refuses(judged):
            continue
        looked += 1
        if _change(judged, state, blend, factors) < -_EQUAL:
            return Step(key, looked)
    return Step(None, looked)


def _change(
    judged: JudgedRequest, state: ServedState, blend: str | None, factors: Mapping[str, float]
) -> float:
    """NDCG@10 of the blend's order less that of the engine's."""
    request = msgspec.structs.replace(
        with_factors(rerank_request(judged), factors), blend=blend, explain=False, top_n=None
    )
    before = [candidate.id for candidate in request.candidates]
    after = [result.id for result in rerank(request, state).results]
    return _ndcg(after, judged.ratings) - _ndcg(before, judged.ratings)


def _ndcg(ids: Sequence[str], ratings: Mapping[str, float]) -> float:
    return ndcg([ratings.get(item, 0.0) for item in ids], list(ratings.values()))
