"""default_blend.py: held-out searches -> the `default` blend of this shop, with an encoder or not.

What needs no history keeps its built-in weights: they are all that is known of the shop's engine,
which did not make these candidates. What was learned is weighed against it by a listwise softmax
(Cao et al. 2007), each learned signal pulled towards its built-in weight, and the gate towards the
built-in gate. Every request is met a second time with another shopper's history: a gate that lets
in what has nothing to do with a search pays for it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats, Ints, Values
from reranker.blends.blend import DEFAULT, PERSONAL, Blend, SignalWeight
from reranker.blends.gate import Gate
from reranker.metrics.ranking import gains, ndcg
from reranker.ranking.scoring import scored
from reranker.signals.columns import Column, normalised
from reranker.signals.registry import SIGNALS
from reranker.tuning.clicks import clicked, discounted_clicks, examination_of, looks_of
from reranker.tuning.columns import JudgedColumns
from reranker.tuning.linear import weights_of
from reranker.tuning.matrices import Rows, linear_rows, shares_of_gain

# What needs no history: personal signals, `looks` among them, are weighed beside it.
BASE: Final = msgspec.structs.replace(
    DEFAULT,
    signals={name: part for name, part in DEFAULT.signals.items() if not SIGNALS[name].personal},
)
LEARNED: Final = tuple(name for name in PERSONAL.signals if name not in BASE.signals)
FEATURES: Final = ("closest", "query", "together", "length")
_HOLDS: Final = (100.0, 30.0, 10.0)  # requests that the built-in weights count for
_FOLDS: Final = 5
_TRY: Final = 3  # every third request of a training part says how firmly to hold
_STRANGERS: Final = 0.25  # of a request's worth with another shopper's history
_LARGEST: Final = 60.0
_LEAST_BASE: Final = 0.2  # of its scale with the built-in weights
_TOLERANCE: Final = 0.5  # standard errors that a firmer hold may lose
_SEED: Final = 20_261_128


@dataclass(frozen=True, eq=False)
class Lists:
    """Candidates of all requests, one list under the other.

    values (rows, 1 + signals): what needs no history, weighed as built in, then a column for each
    learned signal. owner (rows,): the list. shares (rows,): of the list's gain, times its worth.
    features (lists, 1 + len(FEATURES)): what the gate reads, after a 1; NaN-free. at (lists + 1,).
    """

    values: Floats
    shares: Values
    features: Floats
    at: Ints

    @cached_property
    def owner(self) -> Ints:
        """The list of each candidate (rows,)."""
        return np.repeat(np.arange(len(self.at) - 1), np.diff(self.at))

    def of(self, lists: Ints) -> "Lists":
        """These lists only."""
        rows = np.concatenate(
            [np.arange(self.at[number], self.at[number + 1]) for number in lists.tolist()]
        )
        at = np.append(0, np.cumsum(np.diff(self.at)[lists]))
        return Lists(self.values[rows], self.shares[rows], self.features[lists], at)


@dataclass(frozen=True, eq=False)
class HeldOutSearches:
    """Searches that nothing was learned from, and a row for each candidate that could be taken.

    Of a list that was shown, what was not shown has no row, and what was taken counts 1 / (how
    likely its place is looked at), clipped (Joachims et al. 2017).
    """

    requests: Sequence[JudgedColumns]
    rows: Rows

    @classmethod
    def of(cls, requests: Sequence[JudgedColumns]) -> "HeldOutSearches":
        rows, logged = linear_rows(requests, PERSONAL), clicked(requests)
        if len(logged):
            curve = examination_of(rows, logged, weights_of(PERSONAL))
            rows = replace(rows, looks=looks_of(rows, curve))
        return cls(requests, rows)

    @cached_property
    def shares(self) -> Values:
        """Of each list's gain (rows,)."""
        return shares_of_gain(self.rows)

    @cached_property
    def _taken(self) -> float:
        """Gain of what was taken in a list that was shown, on average."""
        rows = self.rows
        gain = (gains(rows.grades) * rows.worth)[rows.positions >= 0]
        return max(float(gain.sum()) / max(len(clicked(self.requests)), 1), 1e-12)

    def ndcg(self, scores: Values, which: Ints) -> Values:
        """NDCG@10 of these requests (n,), ranked by the scores of their rows.

        Of a list that was shown: the discounted gain of what was taken, over the mean one's.
        """
        part, values = self.rows.of(which), []
        for number, begin, end in zip(which.tolist(), part.at[:-1], part.at[1:], strict=True):
            judged, own = self.requests[number], scores[begin:end]
            if judged.positions is None:
                order = np.argsort(-own, kind="stable")
                values.append(ndcg(part.grades[begin:end][order], judged.ratings))
            else:
                worth = part.worth[begin:end]
                gain = discounted_clicks(own, part.grades[begin:end], worth)
                values.append(gain / self._taken)
        return np.array(values)


def lists_of(requests: Sequence[JudgedColumns], signals: Sequence[str], shares: Values) -> Lists:
    """One list a request. shares (rows,): of its gain, times its worth."""
    blocks, features = [], []
    for judged in requests:
        n = len(judged.grades)
        base, _ = scored(BASE, judged.columns, {}, n, explained=False)
        block = np.zeros((n, 1 + len(signals)))
        block[:, 0] = base
        for place, name in enumerate(signals, 1):
            column = judged.columns.get(name)
            if isinstance(column, Column):
                block[:, place] = normalised(column, PERSONAL.signals[name].normalise)
        blocks.append(block[judged.rows])
        features.append([1.0, *(judged.gate.get(name, 0.0) for name in FEATURES)])
    at = np.append(0, np.cumsum([len(block) for block in blocks]))
    return Lists(np.concatenate(blocks), shares, np.array(features), at)


def joined(parts: Sequence[Lists]) -> Lists:
    """All lists of the parts."""
    sizes = np.concatenate([np.diff(part.at) for part in parts])
    return Lists(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.shares for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.append(0, np.cumsum(sizes)),
    )


class DefaultFit:
    """Weights of some learned signals beside the built-in ones, and the gate of the personal ones.

    One vector holds all that is fitted: the scale of what needs no history, a weight a signal, and
    the gate's numbers, its bias first.
    """

    def __init__(self, signals: Sequence[str]) -> None:
        self.signals = tuple(signals)
        self._gated = np.array([False, *(SIGNALS[name].personal for name in self.signals)])
        self._weights = np.array([PERSONAL.signals[name].weight for name in self.signals])
        gate = PERSONAL.gate or Gate()
        self._gate = np.array([gate.bias, *(getattr(gate, name) for name in FEATURES)])

    def start(self, lists: Lists) -> Values:
        """The built-in weights and gate, as sharp as fits the lists best."""
        from scipy.optimize import minimize_scalar

        weights = np.append(1.0, self._weights)

        def loss(log: float) -> float:
            return self._loss(lists, np.concatenate([weights * np.exp(log), self._gate]))[0]

        best = minimize_scalar(loss, bounds=(-3.0, 4.0), method="bounded")
        return np.concatenate([weights * np.exp(best.x), self._gate])

    def fitted(self, lists: Lists, hold: float) -> Values:
        """hold: requests that the built-in numbers count for."""
        from scipy.optimize import minimize

        start = self.start(lists)
        pull = hold / max(float(lists.shares.sum()), 1e-12) / 10.0

        def loss(numbers: Values) -> tuple[float, Values]:
            value, slope = self._loss(lists, numbers)
            away = numbers - start
            return value + 0.5 * pull * float(away @ away), slope + pull * away

        count = 1 + len(self.signals)
        bounds = [(_LEAST_BASE * start[0], _LARGEST), *[(0.0, _LARGEST)] * (count - 1)]
        bounds += [(-20.0, 20.0)] * len(self._gate)
        solved = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
        return np.asarray(solved.x)

    def scores(self, lists: Lists, numbers: Values) -> Values:
        """Of every candidate (rows,)."""
        return self._parts(lists, numbers)[0]

    def closed(self, numbers: Values) -> Values:
        """The same numbers with the gate closed: a ranking without a history."""
        shut = numbers.copy()
        shut[: 1 + len(self.signals)][self._gated] = 0.0
        return shut

    def blend(self, numbers: Values, note: str) -> Blend:
        """The numbers as a blend; what needs no history has its built-in weights."""
        base, weights, gate = numbers[0], numbers[1 : 1 + len(self.signals)], self._split(numbers)
        signals = dict(BASE.signals)
        for name, weight in zip(self.signals, (weights / base).tolist(), strict=True):
            signals[name] = SignalWeight(_short(weight), PERSONAL.signals[name].normalise)
        bias, *rest = gate.tolist()
        opened = Gate(bias=_short(bias), **dict(zip(FEATURES, map(_short, rest), strict=True)))
        return msgspec.structs.replace(DEFAULT, note=note, signals=signals, gate=opened)

    def _split(self, numbers: Values) -> Values:
        return numbers[1 + len(self.signals) :]

    def _parts(self, lists: Lists, numbers: Values) -> tuple[Values, Values, Values]:
        """Scores (rows,), the gate of each list, and what it lets in (rows,)."""
        weights = numbers[: 1 + len(self.signals)]
        opened = 1.0 / (1.0 + np.exp(-np.clip(lists.features @ self._split(numbers), -50.0, 50.0)))
        personal = lists.values @ np.where(self._gated, weights, 0.0)
        scores = lists.values @ np.where(self._gated, 0.0, weights)
        return scores + opened[lists.owner] * personal, opened, personal

    def _loss(self, lists: Lists, numbers: Values) -> tuple[float, Values]:
        """Mean of - share x log softmax(scores) over the lists, and its slope."""
        starts, owner = lists.at[:-1], lists.owner
        scores, opened, personal = self._parts(lists, numbers)
        scores = scores - np.maximum.reduceat(scores, starts)[owner]
        powers = np.exp(scores)
        total = np.add.reduceat(powers, starts)
        mass = np.add.reduceat(lists.shares, starts)
        worth = max(float(mass.sum()), 1e-12)
        value = float(mass @ np.log(total) - lists.shares @ scores) / worth
        away = ((powers / total[owner]) * mass[owner] - lists.shares) / worth
        let_in = away * opened[owner]
        by_weight = np.where(self._gated, let_in @ lists.values, away @ lists.values)
        by_list = np.add.reduceat(away * personal, starts) * opened * (1.0 - opened)
        return value, np.concatenate([by_weight, by_list @ lists.features])


class Fitted(msgspec.Struct, frozen=True):
    """numbers: of all requests. ndcg (requests,): of each, by numbers that had not seen it;
    strangers, impersonal: the same with another shopper's history, and without any."""

    numbers: Values
    ndcg: Values
    strangers: Values
    impersonal: Values


def cross_fitted(
    fit: DefaultFit, own: HeldOutSearches, strangers: Sequence[JudgedColumns]
) -> Fitted:
    """The numbers, and what they are worth on requests that they had not seen.

    strangers: the same requests with another shopper's history.
    """
    lists = (
        lists_of(own.requests, fit.signals, own.shares),
        lists_of(strangers, fit.signals, _STRANGERS * own.shares),
    )
    count = len(own.requests)
    every = np.arange(count)
    folds = np.random.default_rng(_SEED).permutation(count) % _FOLDS
    values = np.zeros((3, count))
    for fold in range(_FOLDS):
        test = np.flatnonzero(folds == fold)
        numbers = _fitted_best(fit, lists, own, np.flatnonzero(folds != fold))
        for place in range(2):
            values[place, test] = own.ndcg(fit.scores(lists[place].of(test), numbers), test)
        values[2, test] = own.ndcg(fit.scores(lists[0].of(test), fit.closed(numbers)), test)
    return Fitted(_fitted_best(fit, lists, own, every), *values)


def _fitted_best(
    fit: DefaultFit, lists: tuple[Lists, Lists], own: HeldOutSearches, train: Ints
) -> Values:
    """Held as firmly as does not clearly lose within these requests."""
    third = np.arange(len(train)) % _TRY == 0
    learn, test = train[~third], train[third]
    part, tried = joined([each.of(learn) for each in lists]), lists[0].of(test)
    values = np.array(
        [own.ndcg(fit.scores(tried, fit.fitted(part, hold)), test) for hold in _HOLDS]
    )
    best = values[values.mean(axis=1).argmax()]
    lost = best[None] - values
    error = lost.std(axis=1) / np.sqrt(lost.shape[1])
    hold = _HOLDS[int(np.flatnonzero(lost.mean(axis=1) <= _TOLERANCE * error + 1e-12)[0])]
    return fit.fitted(joined([each.of(train) for each in lists]), hold)


def _short(number: float) -> float:
    return float(f"{number:.4g}")
