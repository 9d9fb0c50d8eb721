"""ranking.py: grades in ranked order, and all ratings of the query -> how good the order is.

`grades` holds one grade per ranked item, best rank first; an unjudged item counts as 0.
`ratings` holds every rating of the query, also of items that no ranking contains, in any order:
what is possible is measured against all of them. An item is relevant when its grade is above 0.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from indexes.errors import Failure
from indexes.storage.arrays import Floats

DEFAULT_METRICS = ("ndcg@10", "mrr", "precision@10", "recall@10", "hit@10", "map")

# 2^1000 is near the largest float; a scale of 0 to 100 still fits.
MAX_GRADE = 1000.0


def gains(grades: ArrayLike, linear_gain: bool = False) -> Floats:
    """What an item of each grade is worth: 2^grade - 1, or the grade itself."""
    above = np.maximum(np.asarray(grades, dtype=np.float64), 0.0)
    return above if linear_gain else np.exp2(above) - 1.0


def has_ideal(ratings: ArrayLike, linear_gain: bool = False) -> bool:
    """False where no order can be better than another: such a query is left out and counted."""
    return bool(np.any(gains(ratings, linear_gain) > 0.0))


def ndcg(grades: ArrayLike, ratings: ArrayLike, k: int = 10, linear_gain: bool = False) -> float:
    """Discounted gain of the first k, as a share of what the best order of all ratings has."""
    ideal = _discounted(np.sort(gains(ratings, linear_gain))[::-1], k)
    return _discounted(gains(grades, linear_gain), k) / ideal if ideal > 0.0 else 0.0


def mrr(grades: ArrayLike) -> float:
    """1 / rank of the first relevant item; 0 without one."""
    relevant = np.flatnonzero(np.asarray(grades) > 0.0)
    return 1.0 / (int(relevant[0]) + 1) if relevant.size else 0.0


def precision(grades: ArrayLike, k: int = 10) -> float:
    """Share of relevant items among the first k ranks; ranks that are missing count as misses."""
    return float(np.count_nonzero(np.asarray(grades)[:k] > 0.0)) / k


def recall(grades: ArrayLike, ratings: ArrayLike, k: int = 10) -> float:
    """Share of all relevant items that stand among the first k."""
    relevant = np.count_nonzero(np.asarray(ratings) > 0.0)
    return float(np.count_nonzero(np.asarray(grades)[:k] > 0.0) / relevant) if relevant else 0.0


def hit(grades: ArrayLike, k: int = 10) -> float:
    """1 when the first k hold a relevant item, else 0."""
    return float(np.any(np.asarray(grades)[:k] > 0.0))


def average_precision(grades: ArrayLike, ratings: ArrayLike) -> float:
    """Mean, over all relevant items, of the precision at their ranks (0 for one not ranked)."""
    relevant = np.count_nonzero(np.asarray(ratings) > 0.0)
    ranks = np.flatnonzero(np.asarray(grades) > 0.0) + 1
    if not relevant:
        return 0.0
    return float(np.sum(np.arange(1, ranks.size + 1) / ranks) / relevant)


class Measures(NamedTuple):
    """Several metrics by name, to be taken of many rankings."""

    names: tuple[str, ...]
    functions: tuple[Callable[[Floats, Floats], float], ...]

    def of(self, grades: Floats, ratings: Floats) -> tuple[float, ...]:
        return tuple(function(grades, ratings) for function in self.functions)


def measures(names: Iterable[str] = DEFAULT_METRICS, linear_gain: bool = False) -> Measures:
    """Look metrics up by name: ndcg@K precision@K recall@K hit@K with any K, mrr, map."""
    unique = tuple(dict.fromkeys(names))
    return Measures(unique, tuple(_function(name, linear_gain) for name in unique))


def _function(name: str, linear_gain: bool) -> Callable[[Floats, Floats], float]:
    kind, at, cut = name.partition("@")
    if name in _UNCUT:
        return _UNCUT[name]
    if kind in _CUT and re.fullmatch(r"[1-9][0-9]{0,5}", cut):
        options: dict[str, Any] = {"linear_gain": linear_gain} if kind == "ndcg" else {}
        return partial(_CUT[kind], k=int(cut), **options)
    allowed = ", ".join([*(f"{known}@K" for known in _CUT), *_UNCUT])
    raise Failure(f"Unknown metric {name!r}.", field="metric", hint=f"Known: {allowed}.")


_UNCUT: dict[str, Callable[[Floats, Floats], float]] = {
    "mrr": lambda grades, ratings: mrr(grades),
    "map": average_precision,
}
_CUT: dict[str, Callable[..., float]] = {
    "ndcg": ndcg,
    "precision": lambda grades, ratings, k: precision(grades, k),
    "recall": recall,
    "hit": lambda grades, ratings, k: hit(grades, k),
}


def _discounted(ranked_gains: Floats, k: int) -> float:
    top = ranked_gains[:k]
    return float(top @ _discounts(top.size))


@lru_cache(maxsize=1024)
def _discounts(length: int) -> Floats:
    return np.asarray(1.0 / np.log2(np.arange(2, length + 2)), dtype=np.float64)


def grades_of(ids: Sequence[str], ratings: dict[str, float]) -> Floats:
    """The grade of each item in this order; an unjudged item gets 0."""
    return np.array([ratings.get(item, 0.0) for item in ids], dtype=np.float64)
