"""cart_fitting.py: baskets -> counts and a blend of what they say, fitted on the newest baskets.

The blend is fitted on baskets that the counts it is fitted with have not seen; then the counts take
these in, too. `evaluate cart` fits by the same function on the baskets before its test.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from indexes.storage.arrays import Floats, Ints, Mask
from reranker.applications.carts.baskets import Baskets
from reranker.applications.carts.cart_counts import count_baskets
from reranker.applications.carts.cart_model import (
    COMPONENTS,
    TASKS,
    CartCounts,
    CartReader,
    best_first,
)

VALIDATION: Final = 0.15  # of the baskets, the newest, fit the blend
CASES: Final = 1_500  # of each task
_FEWEST: Final = 100  # cases with which a blend is fitted at all
_EACH: Final = 100  # of the pool of each case, the best by each component
_PENALTY: Final = 1e-3
_STEPS: Final = (0.5, 0.25, 0.1, 0.05, 0.25, 0.1, 0.03)
_GROWTH: Final = 3e-4  # of NDCG@10
_SEED: Final = 1
PLAIN: Final = {"complete": "cosine", "next": "personal"}  # where too little is there to fit


class Case(NamedTuple):
    """What is asked: items in the cart, the baskets before; and what was bought with or after."""

    basket: int
    shopper: int
    cart: Ints
    past: list[Ints]
    truth: Ints


@dataclass(frozen=True, eq=False)
class FittedCarts:
    """Counts of all baskets, and by task the weights and what is served: `blend` or a component."""

    counts: CartCounts
    weights: dict[str, dict[str, float]]
    chosen: dict[str, str]


def completions(baskets: Baskets, chosen: Ints, seed: int = _SEED) -> list[Case]:
    """Of each basket of two items or more one is hidden, drawn at random; the rest is the cart."""
    rng = np.random.default_rng(seed)
    cases = []
    for basket in chosen.tolist():
        items = baskets[basket]
        draw = int(rng.integers(max(len(items), 1)))
        if len(items) >= 2:
            past = [baskets[at] for at in baskets.earlier(basket)]
            cart = np.delete(items, draw)
            cases.append(
                Case(basket, int(baskets.shoppers[basket]), cart, past, items[draw : draw + 1])
            )
    return cases


def next_baskets(baskets: Baskets, chosen: Ints) -> list[Case]:
    """The whole of each basket is foreseen of the one before it, as the cart, and all before."""
    cases = []
    for basket in chosen.tolist():
        before = baskets.earlier(basket)
        if before:
            past = [baskets[at] for at in before]
            shopper = int(baskets.shoppers[basket])
            cases.append(Case(basket, shopper, past[-1], past, baskets[basket]))
    return cases


def cases_of(task: str, baskets: Baskets, chosen: Ints) -> list[Case]:
    """Of one of TASKS."""
    return completions(baskets, chosen) if task == "complete" else next_baskets(baskets, chosen)


def fit_carts(baskets: Baskets, shelves: Ints, least_together: int = 1) -> FittedCarts:
    """Weights fitted on the newest VALIDATION of the baskets, counts of all of them."""
    cut = float(np.quantile(baskets.times, 1.0 - VALIDATION)) if len(baskets) else 0.0
    reader = CartReader(count_baskets(baskets.before(cut), shelves, least_together))
    rng = np.random.default_rng(_SEED)
    newest = rng.permutation(np.flatnonzero(baskets.times >= cut))
    weights, chosen = {}, {}
    for task in TASKS:
        cases = cases_of(task, baskets, newest[: 2 * CASES])[:CASES]
        weights[task], chosen[task] = fit_blend(reader, cases, task)
    counts = count_baskets(baskets, shelves, least_together)
    return FittedCarts(counts, weights, chosen)


def fit_blend(reader: CartReader, cases: list[Case], task: str) -> tuple[dict[str, float], str]:
    """The weights of one task, and what is served by them.

    A blend fitted on one half of the cases has to be at least as good on the other as the best
    single component there is; else that component is served alone.
    """
    if len(cases) < _FEWEST:
        return {PLAIN[task]: 1.0, "popular": 1e-3}, PLAIN[task]
    lists = [_Listed.of(reader, case, task) for case in cases]
    half = len(lists) // 2
    single = {name: np.eye(len(COMPONENTS))[at] for at, name in enumerate(COMPONENTS)}
    tried = single | {"blend": _blended(lists[:half], list(single.values()))}
    quality = {name: _quality(lists[half:], weights) for name, weights in tried.items()}
    best = max(quality, key=lambda name: (quality[name], name == "blend"))
    weights = _blended(lists, list(single.values())) if best == "blend" else single[best]
    return dict(zip(COMPONENTS, weights.tolist(), strict=True)), best


@dataclass(frozen=True, eq=False)
class _Listed:
    """The likeliest of one case's pool: columns (k, components), which are right (k,)."""

    columns: Floats
    right: Mask
    wanted: int  # right ones, in the pool or not

    @classmethod
    def of(cls, reader: CartReader, case: Case, task: str) -> "_Listed":
        pool = reader.pool(case.cart, case.past)
        if task == "complete":
            pool = pool.without(case.cart)
        right = np.isin(pool.numbers, case.truth)
        best = np.zeros(len(right), bool)
        counts = reader.counts.counts
        for column in pool.columns.T:
            best[best_first(pool.numbers, column, counts)[:_EACH]] = True
        return cls(pool.columns[best], right[best], len(case.truth))

    def ndcg(self, weights: Floats) -> float:
        """NDCG@10 of the list in the order of these weights; equal scores as `best_first`."""
        bought = self.columns[:, COMPONENTS.index("popular")]
        order = np.lexsort((-bought, -(self.columns @ weights)))[:10]
        gains = 1.0 / np.log2(np.arange(2, 12))
        return float(self.right[order] @ gains[: len(order)]) / float(
            gains[: min(self.wanted, 10)].sum()
        )


def _quality(lists: list[_Listed], weights: Floats) -> float:
    return float(np.mean([one.ndcg(weights) for one in lists]))


def _blended(lists: list[_Listed], singles: list[Floats]) -> Floats:
    """From the best of the conditional logit and the single components uphill in NDCG@10.

    Coordinate ascent (Metzler and Croft 2007): one weight at a time, by steps of its column's
    spread, as long as NDCG@10 grows by more than chance would have it.
    """
    spread = np.maximum(np.concatenate([one.columns for one in lists]).std(axis=0), 1e-9)
    starts = [_fitted(lists), *singles]
    qualities = [_quality(lists, weights) for weights in starts]
    best = max(qualities)
    weights = starts[qualities.index(best)].copy()
    for step in _STEPS:
        size = step * float(np.abs(weights * spread).max())
        for at in range(len(weights)):
            for sign in (1.0, -1.0):
                changed = weights.copy()
                changed[at] += sign * size / spread[at]
                quality = _quality(lists, changed)
                if quality > best + _GROWTH:
                    weights, best = changed, quality
    return weights


def _fitted(lists: list[_Listed]) -> Floats:
    """Conditional logit (McFadden 1974): each right item against its list, by L-BFGS.

    Columns are brought to one spread first; the penalty is on weights of that scale.
    """
    from scipy.optimize import minimize

    lists = [one for one in lists if one.right.any()]
    if not lists:
        return np.zeros(len(COMPONENTS))
    columns = np.concatenate([one.columns for one in lists])
    spread = np.maximum(columns.std(axis=0), 1e-9)
    columns = columns / spread
    sizes = np.array([len(one.right) for one in lists])
    begin = np.append(0, np.cumsum(sizes)[:-1])
    share = np.concatenate([one.right / one.right.sum() for one in lists])

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = columns @ weights
        tops = np.maximum.reduceat(scores, begin)
        powers = np.exp(scores - np.repeat(tops, sizes))
        sums = np.add.reduceat(powers, begin)
        logs = np.log(sums) + tops
        chance = powers / np.repeat(sums, sizes)
        value = (logs.sum() - share @ scores) / len(sizes)
        slope = columns.T @ (chance - share) / len(sizes)
        return value + _PENALTY * float(weights @ weights), slope + 2 * _PENALTY * weights

    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B")
    return np.asarray(found.x / spread)


def numbered(baskets: Baskets, least: int) -> tuple[Baskets, Ints]:
    """Baskets with their items as 0..m - 1, of those that so many shoppers bought, and which (m,).

    Baskets without such an item are left out.
    """
    owner = baskets.owner
    pairs = np.unique(np.stack([baskets.items, baskets.shoppers[owner]]), axis=1)
    rows, shoppers = np.unique(pairs[0], return_counts=True)
    rows = rows[shoppers >= least]
    stays = np.isin(baskets.items, rows)
    sizes = np.bincount(owner[stays], minlength=len(baskets))
    there = np.flatnonzero(sizes)
    return (
        Baskets(
            baskets.shoppers[there],
            baskets.times[there],
            np.append(0, np.cumsum(sizes[there])),
            np.searchsorted(rows, baskets.items[stays]),
        ),
        rows,
    )
