"""click_worlds.py: shoppers whose taste is known, and their clicks on one fixed order."""

import numpy as np

from indexes.storage.arrays import Floats, Ints, Values
from reranker.blends.blend import Blend, SignalWeight
from reranker.metrics.ranking import ndcg
from reranker.requests import Candidate, JudgedRequest
from reranker.signals.columns import Column, everything
from reranker.signals.registry import Columns
from reranker.tuning.columns import JudgedColumns

SIGNALS = ("engine", "semantic", "match", "popular", "fresh")
TASTE = np.array([1.0, 2.5, 0.0, 2.0, 0.5])
SERVED = np.array([2.0, 1.0, 1.0, 0.3, 0.3])
CANDIDATES, PAGE = 60, 24
LOOKED_AT = np.arange(1.0, PAGE + 1) ** -1.0


def blend_of(weights: Floats) -> Blend:
    """A linear blend of these weights."""
    parts = zip(SIGNALS, weights.tolist(), strict=True)
    return Blend(name="default", signals={name: SignalWeight(weight) for name, weight in parts})


def searches(count: int, seed: int, labels: str) -> list[JudgedColumns]:
    """What the signals say of each search's candidates, with true grades or with clicks.

    labels: "true", grades 0 to 3 by the shopper's utility; "clicks", what was clicked on the order
    of SERVED, by a position-based model: only lists with a click are there.
    """
    rng = np.random.default_rng(seed)
    made: list[JudgedColumns] = []
    while len(made) < count:
        values = rng.random((CANDIDATES, len(SIGNALS)))
        values = (values - values.min(axis=0)) / np.ptp(values, axis=0)
        useful = values @ TASTE + rng.normal(0.0, 0.25, CANDIDATES)
        liked = 1.0 / (1.0 + np.exp(-3.0 * (useful - 4.2)))
        order = np.argsort(-values @ SERVED)[:PAGE]
        clicks = order[rng.random(PAGE) < LOOKED_AT * liked[order]]
        if labels == "true":
            grades = np.searchsorted([3.6, 4.2, 4.8], useful).astype(np.float64)
        elif not len(clicks):
            continue
        else:
            grades = np.zeros(CANDIDATES)
            grades[clicks] = 1.0
        made.append(_columns(len(made), values, grades, order if labels == "clicks" else None))
    return made


def _columns(number: int, values: Floats, grades: Values, order: Ints | None) -> JudgedColumns:
    ids = [f"{place}" for place in range(CANDIDATES)]
    shown = None if order is None else [ids[place] for place in order.tolist()]
    positions = None
    if order is not None:
        positions = np.full(CANDIDATES, -1)
        positions[order] = np.arange(PAGE)
    request = JudgedRequest(
        [Candidate(item) for item in ids], id=f"r{number}", query=f"q{number}", shown=shown
    )
    signals: Columns = {
        name: Column(column, everything(CANDIDATES))
        for name, column in zip(SIGNALS, values.T.copy(), strict=True)
    }
    ratings = grades if order is None else grades[grades > 0]
    return JudgedColumns(request, signals, grades, ratings, {}, {}, positions)


def true_value(blend: Blend, tested: list[JudgedColumns]) -> float:
    """NDCG@10 of a blend by the shoppers' true grades."""
    return float(np.mean([ndcg(one.grades[one.order(blend)], one.ratings, 10) for one in tested]))
