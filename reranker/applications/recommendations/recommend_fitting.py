"""recommend_fitting.py: moments held out of a training -> the blend of POST /recommend.

Asked is as POST /recommend asks, with the shopper's events before the last item of the moment;
neither the counts nor the encoder that answer have seen the moment. Weights maximise the chance of
drawing the item that came first (listwise softmax, Cao et al. 2007).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexes.storage.arrays import Floats, Ints, Mask, Values
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.recommend import prepare
from reranker.applications.recommendations.recommend_blend import (
    BLENDED,
    ENCODER,
    FITTED,
    RecommendCard,
    alone,
    built_in,
    recommend_blend,
)
from reranker.applications.recommendations.wishes import Wish
from reranker.ranking.state import ServedState
from reranker.requests import Event, RerankRequest
from reranker.signals.columns import Column, normalised
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute
from reranker.tuning.linear import softmax_fit
from reranker.tuning.matrices import Rows

FEWEST: Final = 50  # moments with which anything is fitted
MOST: Final = 1500  # that are: more move the weights no further
_PULL: Final = 3.0  # moments that the built-in weights count for
_FIRST: Final = 10


@dataclass(frozen=True, eq=False)
class Moment:
    """history: oldest first, all before the item that came. time: right after the newest."""

    history: Sequence[Event]
    time: float
    item: str


@dataclass(frozen=True, eq=False)
class Asked:
    """What FITTED say of the candidates of one moment (n, FITTED), and which of them came (n,)."""

    values: Floats
    came: Mask

    def ndcg(self, weights: Values) -> float:
        """NDCG@10; 0 where the item that came is no candidate. Equal scores count against."""
        if not self.came.any():
            return 0.0
        scores = self.values @ weights
        rank = int(np.count_nonzero(scores >= scores[self.came][0]))
        return 1.0 / float(np.log2(rank + 1.0)) if rank <= _FIRST else 0.0


def fit_recommend(moments: Iterable[Moment], state: ServedState) -> RecommendCard:
    """state: a trial, whose counts and encoder have not seen the moments."""
    encoder = bool(state.model and state.model.has_encoder)
    start = RecommendCard(recommend_blend(built_in(encoder), ""))
    lists = CatalogueLists(state.index, state.personal.learned, start)
    return best_card([_asked(moment, state, lists) for moment in moments], encoder)


def best_card(asked: Sequence[Asked], encoder: bool) -> RecommendCard:
    """The blend, or the signal that it does not come up to on moments that its fit has not seen."""
    if len(asked) < FEWEST:
        note = f"Built-in weights: {len(asked)} held-out moments are too few to fit any."
        return RecommendCard(recommend_blend(built_in(encoder), note))
    first, second = asked[::2], asked[1::2]
    informative = np.any([one.values.any(axis=0) for one in asked], axis=0).tolist()
    tried = {
        name: alone(name)
        for name, says in zip(FITTED, informative, strict=True)
        if says and (encoder or name != ENCODER)
    }
    tried[BLENDED] = fitted(first, encoder)
    ndcg = {name: _mean(second, weights) for name, weights in tried.items()}
    chosen = max(ndcg, key=lambda name: (ndcg[name], name == BLENDED))
    weights = fitted(asked, encoder) if chosen == BLENDED else tried[chosen]
    note = (
        f"Fitted by `reranker train` on {len(asked):,} moments held out of it: NDCG@10 "
        f"{ndcg[chosen]:.3f} on the half that the fit had not seen."
    )
    return RecommendCard(recommend_blend(weights, note), chosen, ndcg, len(asked))


def fitted(asked: Sequence[Asked], encoder: bool) -> Values:
    """Weights (FITTED,), of the moments whose item is among the candidates."""
    told = [one for one in asked if one.came.any()]
    start = built_in(encoder)
    if not told:
        return start
    at: Ints = np.append(0, np.cumsum([len(one.came) for one in told]))
    came = np.concatenate([one.came for one in told]).astype(np.float64)
    rows = Rows(list(FITTED), np.concatenate([one.values for one in told]), came, at)
    return softmax_fit(rows, came, start, _PULL / len(told))


def _asked(moment: Moment, state: ServedState, lists: CatalogueLists) -> Asked:
    shopper = RerankRequest([], history=list(moment.history), time=moment.time)
    request = prepare(Wish(shopper, top_n=_FIRST), state, lists).request
    context = RankingContext(
        request, state.index, state.query_vectors, 0, personal=state.personal, towers=state.towers
    )
    columns = compute(context, FITTED)
    values = np.zeros((len(request.candidates), len(FITTED)))
    for place, name in enumerate(FITTED):
        column = columns[name]
        if isinstance(column, Column):
            values[:, place] = normalised(column, "none")
    came = np.array([candidate.id == moment.item for candidate in request.candidates], bool)
    return Asked(values, came)


def _mean(asked: Sequence[Asked], weights: Values) -> float:
    return float(np.mean([one.ndcg(weights) for one in asked]))
