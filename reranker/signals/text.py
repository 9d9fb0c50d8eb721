"""text.py: the query's meaning against each item's, and each item's against the others'."""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Values
from reranker.signals.columns import (
    Column,
    Missing,
    complete,
    complete_column,
    indexed_only,
    normalised,
)
from reranker.signals.context import RankingContext

_HALF_RANKS: Final = 10.0  # of a first pass: every ten places further down count half ...
_HALF_SHARE: Final = 0.25  # ... or every quarter of a short list
_HALF_KNOWN: Final = 0.5  # of the query's tokens: from there on its vector counts in full
_FEWEST: Final = 10  # candidates of which there is no telling what most are like


def engine(context: RankingContext) -> Column | Missing:
    """The engine's score where every candidate has one, else minus the position.

    The order of the candidates is the engine's word. Scores that contradict it (a rescored page)
    would change the order even with nothing to add, so then the order counts.
    """
    scores = [candidate.score for candidate in context.request.candidates]
    by_rank = -np.arange(len(scores), dtype=np.float64)
    sent = [score for score in scores if score is not None]
    if not sent:
        return complete_column(by_rank)
    if len(sent) < len(scores):
        return complete_column(by_rank, "partial_scores")
    values = np.array(sent, dtype=np.float64)
    if (values[1:] > values[:-1]).any():
        return complete_column(by_rank, "scores_against_order")
    return complete_column(values)


def semantic(context: RankingContext) -> Column | Missing:
    """Cosine of query vector and item vector, both of length 1."""
    if not context.query:
        return Missing("no_query")
    vectors, known = context.item_vectors
    if not known.any():
        return Missing("not_in_index")
    if not context.query_known:
        return Missing("unknown_query")
    # Not `@`: its rounding depends on a row's place, and minmax would stretch that to a difference
    # between items of the same text.
    cosines = np.vecdot(vectors, context.query_vector).astype(np.float64)
    return _trusted(indexed_only(cosines, known), context)


def _trusted(column: Column, context: RankingContext) -> Column:
    """The same column, which counts less where the encoder knows less than half of the query."""
    column.trust = min(1.0, context.query_known / _HALF_KNOWN)
    return column


def typical(context: RankingContext) -> Column | Missing:
    """Cosine with the mean of what a first pass finds: what most good candidates are like.

    Pseudo-relevance feedback (Rocchio, 1971) on item vectors. The first pass is engine + semantic,
    both from 0 to 1; the candidate at rank r counts 0.5 ^ (r / h), h = n / 4 and from 1 to 10.
    """
    if not context.query:
        return Missing("no_query")
    if len(context.ids) < _FEWEST:
        return Missing("few_candidates", degraded=False)
    vectors, known = context.item_vectors
    if not known.any():
        return Missing("not_in_index")
    first = _first_pass(context)
    if isinstance(first, Missing):
        return first
    worth = np.empty(len(first), np.float32)
    worth[np.argsort(-first, kind="stable")] = _worth_of_ranks(len(first))
    if not complete(known):
        worth[~known] = 0.0
    centre = worth @ vectors
    length = float(np.sqrt(centre @ centre))
    if length == 0:
        return Missing("not_in_index")
    cosines = np.vecdot(vectors, centre / np.float32(length)).astype(np.float64)
    return _trusted(indexed_only(cosines, known), context)


@lru_cache(maxsize=1024)
def _worth_of_ranks(n: int) -> npt.NDArray[np.float32]:
    half = min(max(_HALF_SHARE * n, 1.0), _HALF_RANKS)
    worth: npt.NDArray[np.float32] = (0.5 ** (np.arange(n) / half)).astype(np.float32)
    worth.flags.writeable = False
    return worth


def _first_pass(context: RankingContext) -> Values | Missing:
    """Engine and semantic (n,), as most blends have had them before; Missing without the latter."""
    first = np.zeros(len(context.ids))
    for name, signal in (("engine", engine), ("semantic", semantic)):
        column = context.columns.get(name) or signal(context)
        if isinstance(column, Missing):
            return column
        first += normalised(column, "minmax") * column.trust
    return first
