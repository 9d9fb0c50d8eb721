"""cart_evaluation.py: sequences -> how well carts are completed and next baskets foreseen.

Split by time: the counts and the blend are of the baskets before a moment, asked is at those after
it, each with the shopper's own baskets before it. The whole catalogue is ranked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec
import numpy as np

from indexes.storage.arrays import Floats, Ints
from reranker.applications.carts.baskets import Baskets, baskets_of
from reranker.applications.carts.cart_baselines import Score, cart_baselines
from reranker.applications.carts.cart_fitting import (
    Case,
    FittedCarts,
    cases_of,
    fit_carts,
    numbered,
)
from reranker.applications.carts.cart_model import (
    COMPONENTS,
    TASKS,
    CartReader,
    best_first,
    contributions,
)
from reranker.metrics.intervals import Difference, paired_differences
from reranker.training.sequences import Sequences

TRAINED: Final = 0.8  # of the baskets, the oldest
CASES: Final = 4_000  # of each task, drawn at random
K: Final = 10
METRICS: Final = ("recall@10", "ndcg@10", "repeat_recall@10", "explore_recall@10")
BLEND: Final = "blend"
_FEWEST: Final = 10
_SEED: Final = 7
_RESAMPLES: Final = 2_000
_GAINS: Final = 1.0 / np.log2(np.arange(2, K + 2))


class CartReport(msgspec.Struct, frozen=True, kw_only=True):
    """metrics: by model. Of completion `recall@10`, `ndcg@10`, `repeat_recall@10` (of what the
    shopper bought before) and `explore_recall@10`; of the next basket the same behind `next_`.
    `blend` is what is served. shipped: what that is for completion, `blend` or one component;
    shipped_next: for the next basket. difference: blend minus the best other model of each task,
    by NDCG@10, with the 95 % interval over shoppers.
    """

    metrics: dict[str, dict[str, float]]
    shipped: str
    shipped_next: str
    best_single: dict[str, str]
    difference: dict[str, dict[str, Difference]]
    cases: dict[str, int]
    baskets: int
    items: int
    trained: int


class TooFewBaskets(ValueError):
    """There is nothing to ask."""


def evaluate_carts(
    sequences: Sequences,
    gap_minutes: float,
    min_users: int,
    min_users_together: int,
    most: int = CASES,
) -> CartReport:
    """Categories are not looked at: items of the cart's own are foreseen, too.

    min_users: of an item before the split; one of fewer is known to nobody, and missed by all.
    """
    every = baskets_of(sequences, gap_minutes)
    if len(every) < _FEWEST:
        raise TooFewBaskets(f"{len(every)} visits with a purchase are too few: {_FEWEST} are asked")
    cut = float(np.quantile(every.times, TRAINED))
    before, rows = numbered(every.before(cut), min_users)
    if not len(rows):
        raise TooFewBaskets(f"no item was bought by {min_users} shoppers before the split")
    fitted = fit_carts(before, np.zeros(len(rows), np.int64), min_users_together)
    contest = _Contest(CartReader(fitted.counts), fitted, cart_baselines(before, len(rows)))
    known = _renumbered(every, rows)
    later = np.flatnonzero(known.times >= cut)
    drawn = np.sort(np.random.default_rng(_SEED).permutation(later)[:most])
    results = {task: contest.results(task, cases_of(task, known, drawn)) for task in TASKS}
    return _report(results, fitted, len(every), len(before), len(rows))


class _Results(NamedTuple):
    """Of one task: by model (cases, METRICS), NaN where a case has nothing of the kind."""

    cases: list[Case]
    of: dict[str, Floats]


class _Contest:
    """Everyone who foresees."""

    def __init__(self, reader: CartReader, fitted: FittedCarts, plain: Mapping[str, Score]) -> None:
        self.reader, self.fitted, self.plain = reader, fitted, plain
        self.items = len(reader.counts.counts)

    def results(self, task: str, cases: list[Case]) -> _Results:
        values: dict[str, list[list[float]]] = {}
        for case in cases:
            for name, best in self._best(task, case).items():
                values.setdefault(name, []).append(_measured(case, best))
        return _Results(cases, {name: np.array(rows) for name, rows in values.items()})

    def _best(self, task: str, case: Case) -> dict[str, Ints]:
        """The K best items by each model; those of the cart complete nothing."""
        met = case._replace(
            cart=case.cart[case.cart < self.items],
            past=[basket[basket < self.items] for basket in case.past],
        )
        pool = self.reader.pool(met.cart, met.past)
        if task == "complete":
            pool = pool.without(met.cart)
        weights = {name: {name: 1.0} for name in COMPONENTS} | {BLEND: self.fitted.weights[task]}
        best = {}
        for name, one in weights.items():
            scores = contributions(pool, one).sum(axis=1)
            order = best_first(pool.numbers, scores, self.reader.counts.counts)
            best[name] = pool.numbers[order[:K]]
        for name, score in self.plain.items():
            scores = score(met).astype(np.float64)
            if task == "complete":
                scores = scores.copy()
                scores[met.cart] = -np.inf
            best[name] = np.argsort(-scores, kind="stable")[:K]
        return best


def _measured(case: Case, best: Ints) -> list[float]:
    """METRICS of one list."""
    right = np.isin(best, case.truth)
    ideal = float(_GAINS[: min(len(case.truth), K)].sum())
    before = np.concatenate(case.past) if case.past else np.zeros(0, np.int64)
    repeat = np.isin(case.truth, before)
    parts = (case.truth[repeat], case.truth[~repeat])
    recalls = [float(np.isin(part, best).mean()) if len(part) else np.nan for part in parts]
    share = float(right.sum()) / len(case.truth)
    return [share, float(right @ _GAINS[: len(best)]) / ideal, *recalls]


def _report(
    results: dict[str, _Results], fitted: FittedCarts, baskets: int, trained: int, items: int
) -> CartReport:
    metrics: dict[str, dict[str, float]] = {}
    difference: dict[str, dict[str, Difference]] = {}
    best_single: dict[str, str] = {}
    for task, (cases, of) in results.items():
        if len(cases) < 2:
            raise TooFewBaskets(f"{len(cases)} baskets after the split are too few ({task})")
        prefix = "" if task == "complete" else "next_"
        for name, part in of.items():
            means = [float(np.nanmean(one)) if np.isfinite(one).any() else 0.0 for one in part.T]
            named = zip(METRICS, means, strict=True)
            metrics.setdefault(name, {}).update({prefix + key: mean for key, mean in named})
        singles = [name for name in of if name != BLEND]
        best = best_single[task] = max(singles, key=lambda name: float(of[name][:, 1].mean()))
        apart = of[BLEND][:, :2] - of[best][:, :2]
        pairs = paired_differences(apart, [case.shopper for case in cases], _RESAMPLES)
        difference[task] = dict(zip(METRICS[:2], pairs, strict=True))
    return CartReport(
        metrics=metrics,
        shipped=fitted.chosen["complete"],
        shipped_next=fitted.chosen["next"],
        best_single=best_single,
        difference=difference,
        cases={task: len(result.cases) for task, result in results.items()},
        baskets=baskets,
        trained=trained,
        items=items,
    )


def _renumbered(baskets: Baskets, rows: Ints) -> Baskets:
    """Items as their place in rows (m,), in order; others from m on."""
    place = np.minimum(np.searchsorted(rows, baskets.items), len(rows) - 1)
    known = rows[place] == baskets.items
    return replace(baskets, items=np.where(known, place, len(rows) + baskets.items))
