"""relevance.py: query and candidates -> the signals that are the same for every shopper.

The engine's own order; the query's meaning and words against each item's; each item against the
others; and what the catalogue says of it.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from indexes.items.columns import UNKNOWN
from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import COUNTED, TAKEN, WHOLE, Program
from indexes.storage.arrays import Values
from reranker.signals.columns import (
    LARGEST,
    Column,
    Missing,
    Parts,
    any_of,
    as_added,
    complete,
    complete_column,
    indexed_only,
    over_all,
)
from reranker.signals.context import RankingContext

_HALF_RANKS: Final = 10.0  # of a first pass: every ten places further down count half ...
_HALF_SHARE: Final = 0.25  # ... or every quarter of a short list
_EVEN: Final = 0.05  # of a first pass, either way: what lies nearer is not told apart by its rank
_FEWEST: Final = 10  # candidates of which there is no telling what most are like
WORDS_SHARE: Final = 0.75
BRAND_SHARE: Final = 0.25
HALF_LIFE_DAYS: Final = 90.0
_DAY: Final = 86400.0


def engine(context: RankingContext) -> Column | Missing:
    """The engine's score where every candidate has one, else minus the position.

    The order of the candidates is the engine's word. Scores that contradict it (a rescored page)
    would change the order even with nothing to add, so then the order counts.
    """
    scores = [candidate.score for candidate in context.request.candidates]
    sent = len(scores) - scores.count(None)
    if sent and sent == len(scores):
        values = np.array(scores, dtype=np.float64)
        if not (values[1:] > values[:-1]).any():
            return complete_column(values)
    by_rank = -np.arange(len(scores), dtype=np.float64)
    if not sent:
        return complete_column(by_rank)
    reason = "partial_scores" if sent < len(scores) else "scores_against_order"
    return complete_column(by_rank, reason)


def semantic(context: RankingContext) -> Column | Missing:
    """Cosine of query vector and item vector, both of length 1.

    Model numbers mean nothing to the encoder: by their share of the words the vector of the item
    that they name stands in for the query's, or nothing where they name none.
    """
    if not context.query:
        return Missing("no_query")
    vectors, known = context.item_vectors
    if not any_of(known):
        return Missing("not_in_index")
    meant, trust = context.meant
    if not trust:
        return Missing("unknown_query")
    # Not `@`: its rounding depends on a row's place, and minmax would stretch that to a difference
    # between items of the same text.
    cosines = np.vecdot(vectors, meant).astype(np.float64)
    return _compared(indexed_only(cosines, known), context)


def _compared(column: Column, context: RankingContext) -> Column:
    """The same column on the scale of the catalogue's cosines, with the trust that it deserves.

    It counts less where the encoder knows less than half of the query.
    """
    column.trust = context.meant[1]
    column.unit = context.index.cosine_spread
    return column


def typical(context: RankingContext) -> Column | Missing:
    """Cosine with the mean of what a first pass finds: what most good candidates are like.

    Pseudo-relevance feedback (Rocchio, 1971) on item vectors. The first pass is engine + semantic,
    both from 0 to 1; the candidate at rank r counts 0.5 ^ (r / h), h = n / 4 and from 1 to 10.
    Ranks change hands at a last bit: so the mean counts over the scores within 0.05 of its own.
    """
    if not context.query:
        return Missing("no_query")
    if len(context.ids) < _FEWEST:
        return Missing("few_candidates", degraded=False)
    vectors, known = context.item_vectors
    if not any_of(known):
        return Missing("not_in_index")
    first = _first_pass(context)
    if isinstance(first, Missing):
        return first
    worth = _worth(first)
    if not complete(known):
        worth[~known] = 0.0
    cosines = kernels.likeness(vectors, worth)
    if not cosines.any():
        return Missing("not_in_index")
    return _compared(indexed_only(cosines, known), context)


def _worth(first: Values) -> npt.NDArray[np.float32]:
    """What each candidate (n,) counts: the mean, over the scores within _EVEN of its own, of what
    the rank of such a score counts. A score that moves by a little moves it by as little."""
    return kernels.even_worth(first, np.sort(first), _worth_of_ranks(len(first)), _EVEN)


@lru_cache(maxsize=1024)
def _worth_of_ranks(n: int) -> Values:
    """0.5 ^ (r / h) for as many better candidates r as there are, from n down to 0."""
    half = min(max(_HALF_SHARE * n, 1.0), _HALF_RANKS)
    worth: Values = 0.5 ** (np.arange(n, -1, -1) / half)
    worth.flags.writeable = False
    return worth


def _first_pass(context: RankingContext) -> Values | Missing:
    """Engine and semantic (n,), as most blends have had them before; Missing without the latter."""
    parts = []
    for name, signal in (("engine", engine), ("semantic", semantic)):
        column = context.columns.get(name) or signal(context)
        if isinstance(column, Missing):
            return column
        parts.append(as_added(column, "minmax", column.trust))
    return kernels.added_up(parts, LARGEST, len(context.ids))


def coverage(context: RankingContext) -> Column | Missing:
    """Which share of the query's words stand anywhere in the item; half of it only if all do.

    An engine adds up what each word is worth, and a rare one outweighs two that are missing: so
    "laptop stand" brings stands for anything. Coordination (Salton and McGill, 1983) asks for all.
    """
    if not context.query_words:
        return Missing("no_query")
    if not context.indexed.any():
        return Missing("not_in_index")
    if context.index.columns.other_words is None:
        return Missing("index_outdated")
    count = len(context.terms.hashes)
    share = context.words_in_title + context.read(words_elsewhere) / count
    whole = share > 1.0 - 0.5 / count

    def parts() -> Parts:
        return {"words": share, "all": whole.astype(np.float64)}

    return indexed_only(0.5 * share + 0.5 * whole, context.indexed, parts)


def words_elsewhere(context: RankingContext) -> Program | None:
    """How many of the query's words stand in the item, and not in its title."""
    others = context.index.columns.other_words
    return None if others is None else (COUNTED, others, context.terms.hashes)


def match(context: RankingContext) -> Column | Missing:
    """1 for the exact title, id or model; else 3/4 share of query words + 1/4 brand named."""
    if not context.query_words:
        return Missing("no_query")
    if not any_of(context.indexed):
        return Missing("not_in_index")
    share, exact = context.words_in_title, context.named_exactly
    brand = context.read(brand_is_named)
    value = np.maximum(exact, WORDS_SHARE * share + BRAND_SHARE * brand)

    def parts() -> Parts:
        return {"words": share, "brand": brand, "exact": exact}

    return indexed_only(value, context.indexed, parts)


def brand_is_named(context: RankingContext) -> Program:
    """Whether all words of the brand stand in the query."""
    return WHOLE, context.index.columns.brand_words, context.terms.hashes


def fresh(context: RankingContext) -> Column | Missing:
    """0.5 ** (age / 90 days); a date in the future counts as today."""
    updated = context.index.columns.updated[context.indexed_rows]
    if not np.isfinite(updated).any():
        return Missing("no_field", degraded=False)
    age = np.maximum(context.now - updated, 0.0) / _DAY
    values = over_all(np.exp2(-age / HALF_LIFE_DAYS), context.indexed)
    return Column(np.nan_to_num(values), over_all(np.isfinite(updated), context.indexed) > 0)


def available(context: RankingContext) -> Column | Missing:
    """1 where the catalogue says available, 0 where it says not."""
    flags = context.read(availability)
    stated = flags != UNKNOWN
    known = context.indexed if np.logical_and.reduce(stated) else context.indexed & stated
    if not any_of(known):
        return Missing("no_field", degraded=False)
    return Column(flags, known)


def availability(context: RankingContext) -> Program:
    """1 or 0 as the catalogue says, UNKNOWN where it does not."""
    return TAKEN, context.index.columns.available
