"""ordered.py: what a visit held so far -> the chance that its cart is ordered in it.

A logistic regression on a few counts, fitted on a part of the shoppers and measured on the rest.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Floats, Ints
from reranker.applications.carts.cart_model import Ordered
from reranker.applications.carts.carts import CART, PURCHASE, UNCART
from reranker.model.card import NONE
from reranker.training.sequences import Sequences

INPUTS: Final = ("lines", "events", "minutes", "since_cart", "orders", "left_carts")
_FEWEST: Final = 20  # ordered carts, and as many unordered ones, with which it is fitted
_MOST: Final = 200_000  # moments
_PENALTY: Final = 1e-3
_SEED: Final = 1


class VisitState:
    """A shopper's events, taken one by one, oldest first, as far as `INPUTS` reads them."""

    def __init__(self, gap_minutes: float) -> None:
        self._gap = gap_minutes * 60.0
        self._time: float | None = None
        self._begin = self._cart_time = 0.0
        self._events = self._orders = self._left = 0
        self._bought = False
        self.lines: dict[object, None] = {}

    def add(self, kind: str, item: object, time: float) -> bool:
        """Take one; whether it begins a visit."""
        new = self._time is None or time - self._time > self._gap
        if new:
            self._left += bool(self.lines) and not self._bought
            self._begin, self._events, self._bought = time, 0, False
        self._time = time
        self._events += 1
        if kind == CART:
            self.lines[item] = None
            self._cart_time = time
        elif kind == UNCART:
            self.lines.pop(item, None)
        elif kind == PURCHASE:
            self.lines.pop(item, None)
            self._orders += not self._bought
            self._bought = True
        return new

    def inputs(self, lines: int | None = None) -> list[float]:
        """log(1 + x) of: lines in the cart, events and minutes of the visit, minutes since the last
        item was put in, visits that ended in an order, and visits that left a cart."""
        time = self._time or 0.0
        since = max(time - self._cart_time, 0.0) / 60.0 if self._cart_time else 0.0
        counts = [len(self.lines) if lines is None else lines, self._events]
        minutes = [max(time - self._begin, 0.0) / 60.0, since]
        return [math.log1p(one) for one in (*counts, *minutes, self._orders, self._left)]


class Moments(NamedTuple):
    """With something in the cart: inputs (n, INPUTS), whether the visit bought yet (n,), whose."""

    inputs: Floats
    ordered: npt.NDArray[np.bool_]
    shoppers: Ints


def moments_of(sequences: Sequences, gap_minutes: float) -> Moments:
    """Every moment after an event that leaves something in the cart, but a purchase's own."""
    inputs: list[list[float]] = []
    ordered: list[bool] = []
    shoppers: list[int] = []
    for shopper, state, bought_later in _visits(sequences, gap_minutes):
        inputs.append(state)
        ordered.append(bought_later)
        shoppers.append(shopper)
    shape = (-1, len(INPUTS))
    return Moments(np.reshape(inputs, shape), np.array(ordered, bool), np.array(shoppers, np.int64))


def _visits(sequences: Sequences, gap_minutes: float) -> Iterator[tuple[int, list[float], bool]]:
    names = list(sequences.weights)
    if CART not in names or names.index(CART) not in sequences.types:
        return
    kinds = [names[number] for number in sequences.types.tolist()]
    items, times = sequences.items.tolist(), sequences.times.tolist()
    yielded = 0
    for shopper in np.random.default_rng(_SEED).permutation(len(sequences)).tolist():
        state = VisitState(gap_minutes)
        waiting: list[list[float]] = []  # moments of this visit whose end is not known yet
        for at in range(sequences.at[shopper], sequences.at[shopper + 1]):
            if items[at] == NONE and kinds[at] in (CART, UNCART, PURCHASE):
                continue
            new = state.add(kinds[at], items[at], times[at])
            if new or kinds[at] == PURCHASE:
                yield from ((shopper, one, not new) for one in waiting)
                yielded += len(waiting)
                waiting = []
            if state.lines and kinds[at] != PURCHASE:
                waiting.append(state.inputs())
        yield from ((shopper, one, False) for one in waiting)
        yielded += len(waiting)
        if yielded >= _MOST:
            return


def fit_ordered(moments: Moments) -> Ordered | None:
    """None where too few carts were ordered, or too few were not, to tell them apart."""
    yes = int(moments.ordered.sum())
    if min(yes, len(moments.ordered) - yes) < _FEWEST:
        return None
    held = np.random.default_rng(_SEED).random(int(moments.shoppers.max()) + 1) < 0.2
    test = held[moments.shoppers]
    measured: dict[str, float] = {}
    learn = moments.ordered[~test]
    if test.any() and 0 < moments.ordered[test].sum() < test.sum() and 0 < learn.sum() < len(learn):
        from reranker.metrics.classification import action_metrics

        trial = _logistic(moments.inputs[~test], learn)
        measured = action_metrics(moments.ordered[test], chances(trial, moments.inputs[test]))
    weights = _logistic(moments.inputs, moments.ordered)
    return Ordered(
        inputs=list(INPUTS),
        weights=weights[:-1].tolist(),
        bias=float(weights[-1]),
        moments=len(moments.ordered),
        base_rate=float(moments.ordered.mean()),
        measured=measured,
    )


def chance_of(ordered: Ordered, inputs: list[float]) -> float:
    """That this cart is ordered in this visit."""
    return float(chances(np.array([*ordered.weights, ordered.bias]), np.array([inputs]))[0])


def chances(weights: Floats, inputs: Floats) -> Floats:
    """weights (inputs + 1,), the bias last; inputs (n, inputs) -> (n,)."""
    scores = inputs @ weights[:-1] + weights[-1]
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -30.0, 30.0))))


def _logistic(inputs: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """Weights and bias, by L-BFGS with a small penalty on the weights of standardised inputs."""
    from scipy.optimize import minimize

    mean, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6)
    ready = np.column_stack([(inputs - mean) / spread, np.ones(len(inputs))])
    sign = np.where(truth, 1.0, -1.0)
    penalised = np.append(np.full(inputs.shape[1], _PENALTY), 0.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margins = sign * (ready @ weights)
        value = float(np.logaddexp(0.0, -margins).mean() + penalised @ weights**2)
        wrong = -sign * np.exp(-np.logaddexp(0.0, margins))
        return value, ready.T @ wrong / len(ready) + 2 * penalised * weights

    best = minimize(loss, np.zeros(ready.shape[1]), jac=True, method="L-BFGS-B").x
    weights = best[:-1] / spread
    return np.append(weights, best[-1] - weights @ mean)
