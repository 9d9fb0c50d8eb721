"""fitting.py: judged columns -> a blend of each kind, fitted as much as validation bears out.

How strongly to fit is chosen on a part of the training requests: the steadiest choice that is not
clearly worse than the best one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from indexes.storage.arrays import Ints, Values
from reranker.blends.blend import Blend, Kind, SignalWeight
from reranker.feedback.click_models import Examination
from reranker.metrics.ranking import Measures, gains
from reranker.tuning.click_estimates import drawn_requests
from reranker.tuning.clicks import clicked, discounted_clicks, examination_of, looks_of
from reranker.tuning.columns import JudgedColumns
from reranker.tuning.curves import curves_of
from reranker.tuning.linear import fit_weights, log_likelihoods, weights_of, with_weights
from reranker.tuning.matrices import Rows, learned_rows, linear_rows
from reranker.tuning.splits import inner_folds
from reranker.tuning.trees import LIKE, grown, grown_from, trees_of

KINDS: Final[tuple[Kind, ...]] = ("linear", "curves", "trees")
_HOLDS: Final = (300.0, 100.0, 30.0, 10.0, 3.0)  # how many queries the first weights count for
_FIRM: Final = 1e6
_CURVE_ROUNDS: Final = (10, 25, 50, 100, 200, 350)
_TREE_ROUNDS: Final = (15, 40, 80, 150, 250)
_LARGE: Final = 100_000  # candidates
_TOLERANCE: Final = 0.5  # standard errors that a steadier choice may lose

N = TypeVar("N", int, float)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A blend, and what each validation request was worth to it (requests,)."""

    blend: Blend
    validated: Values


class Fitter:
    """Fits blends of all kinds on parts of the same requests; the matrices are made once."""

    def __init__(
        self, requests: Sequence[JudgedColumns], start: Blend, metric: Measures, threads: int = 2
    ) -> None:
        self._requests, self._start = requests, start
        rows = sum(len(judged.grades) for judged in requests)
        self._threads = threads if rows > _LARGE else 1  # threads cost more than they bring there
        self._metric = metric
        # Curves and trees read how near a history is by themselves; a gate on top blunts them.
        self._open = msgspec.structs.replace(start, gate=None)
        self._gated = linear_rows(requests, start)
        self._plain = linear_rows(requests, self._open)
        self._alone = learned_rows(requests, start, context=False)
        self._with_context = learned_rows(requests, start, context=True)
        self.examination = self._count_clicks(clicked(requests))

    def _count_clicks(self, requests: Ints) -> Examination | None:
        """How likely each position was looked at, by which every click is weighed from here on."""
        if not len(requests):
            return None
        curve = examination_of(self._gated, requests, weights_of(self._start))
        looks = looks_of(self._gated, curve)
        self._gated, self._plain, self._alone, self._with_context = (
            replace(rows, looks=looks)
            for rows in (self._gated, self._plain, self._alone, self._with_context)
        )
        gain = (gains(self._gated.grades) * self._gated.worth)[self._gated.positions >= 0]
        self._clicked_gain = float(gain.sum()) / len(requests)
        return curve

    @cached_property
    def _every(self) -> tuple[Rows, Rows]:
        """What trees and lines read of every candidate, also of those that nobody saw."""
        learned = learned_rows(self._requests, self._start, context=True, every=True)
        return learned, linear_rows(self._requests, self._start, every=True)

    def drawn_examinations(self, draws: int, seed: int) -> list[Examination]:
        """The same of shoppers drawn again: how far it may be wrong."""
        numbers = clicked(self._requests)
        start = weights_of(self._start)
        plain = replace(self._gated, looks=None)
        return [
            examination_of(plain, drawn_requests(self._requests, numbers, seed + draw), start)
            for draw in range(draws)
        ]

    def fit(self, kind: Kind, train: Ints) -> Fitted:
        """A blend of this kind, of these requests."""
        fits = {"linear": self._linear, "curves": self._curves, "trees": self._trees}
        return fits[kind](train)

    def _linear(self, train: Ints) -> Fitted:
        hold, values = self._hold(self._gated, train)
        return Fitted(with_weights(self._start, self._weights(self._gated, train, hold)), values)

    def _curves(self, train: Ints) -> Fitted:
        hold, _ = self._hold(self._plain, train)

        def grow(part: Ints, rounds: int) -> tuple[Any, Values]:
            weights = self._weights(self._plain, part, hold)
            rows = self._alone.of(part)
            line = self._plain.of(part).values @ weights
            return grown(rows, rounds, alone=True, start=line, threads=self._threads), weights

        def scores(model: tuple[Any, Values], part: Ints, rounds: int) -> Values:
            booster, weights = model
            line = self._plain.of(part).values @ weights
            return line + _predicted(booster, self._alone.of(part), rounds)

        rounds, values = self._rounds(train, self._few(_CURVE_ROUNDS), grow, scores)
        booster, weights = grow(train, rounds)
        slopes = dict(zip(self._start.signals, weights.tolist(), strict=True))
        curves = curves_of(booster, self._alone.of(train), slopes)
        blend = msgspec.structs.replace(
            self._open, kind="curves", signals=self._ones(curves), curves=curves
        )
        return Fitted(blend, values)

    def _trees(self, train: Ints) -> Fitted:
        clicks = self.examination is not None
        hold = self._hold(self._gated, train)[0] if clicks else _FIRM

        def grow(part: Ints, rounds: int) -> Any:
            rows = self._with_context.of(part)
            if not clicks:
                return grown(rows, rounds, alone=False, threads=self._threads)
            inputs, line = (every.of(part).values for every in self._every)
            like = inputs, line @ self._weights(self._gated, part, hold)
            return grown_from(rows, rounds, like, threads=self._threads)

        def scores(model: Any, part: Ints, rounds: int) -> Values:
            return _predicted(model, self._with_context.of(part), LIKE * clicks + rounds)

        rounds, values = self._rounds(train, self._few(_TREE_ROUNDS), grow, scores)
        trees = trees_of(grow(train, rounds), self._with_context.of(train))
        blend = msgspec.structs.replace(
            self._open, kind="trees", signals=self._ones(self._start.signals), trees=trees
        )
        return Fitted(blend, values)

    def _few(self, rounds: tuple[int, ...]) -> tuple[int, ...]:
        """Few queries bear out few rounds, and are asked many times over; clicks perhaps none."""
        least = () if self.examination is None else (1,)
        most = max(50, len(self._requests) / 4)
        return (*least, *(count for count in rounds if count <= most))

    def _ones(self, names: Any) -> dict[str, SignalWeight]:
        return {name: SignalWeight(1.0, self._start.signals[name].normalise) for name in names}

    def _weights(self, rows: Rows, train: Ints, hold: float) -> Values:
        return fit_weights(rows.of(train), weights_of(self._start), hold / len(train))

    def _hold(self, rows: Rows, train: Ints) -> tuple[float, Values]:
        """How firmly the first weights are held, and the validation values of that choice.

        With clicks not moving at all is a choice, too.
        """
        holds = _HOLDS if self.examination is None else (_FIRM, *_HOLDS)
        values: list[list[Values]] = [[] for _ in holds]
        likely: list[list[Values]] = [[] for _ in holds]
        for fold in inner_folds(self._requests, train):
            tested = rows.of(fold.test)
            for place, hold in enumerate(holds):
                weights = self._weights(rows, fold.train, hold)
                values[place].append(self._values(tested.values @ weights, fold.test))
                likely[place].append(log_likelihoods(tested, tested.values @ weights))
        return self._chosen(holds, values, likely)

    def _rounds(
        self,
        train: Ints,
        choices: tuple[int, ...],
        grow: Callable[[Ints, int], Any],
        scores: Callable[[Any, Ints, int], Values],
    ) -> tuple[int, Values]:
        """After how many rounds boosting stops, and the validation values of that choice."""
        values: list[list[Values]] = [[] for _ in choices]
        likely: list[list[Values]] = [[] for _ in choices]
        for fold in inner_folds(self._requests, train):
            model, tested = grow(fold.train, choices[-1]), self._gated.of(fold.test)
            for place, rounds in enumerate(choices):
                line = scores(model, fold.test, rounds)
                values[place].append(self._values(line, fold.test))
                likely[place].append(log_likelihoods(tested, line))
        return self._chosen(choices, values, likely)

    def _chosen(
        self, choices: tuple[N, ...], values: list[list[Values]], likely: list[list[Values]]
    ) -> tuple[N, Values]:
        """The steadiest choice, and what it was worth to each validation request.

        Clicks are noisier than judgments: there, how likely they are decides, of which each says
        more than of the metric.
        """
        if self.examination is None:
            return _steadiest(choices, values)
        choice, _ = _steadiest(choices, likely)
        return choice, np.concatenate(values[choices.index(choice)])

    def _values(self, scores: Values, part: Ints) -> Values:
        """The metric of each of these requests, ranked by scores (rows,).

        Of clicks, an estimate of their discounted gain over the mean one: they were seen where they
        stood, and a plain metric would favour the order that was shown.
        """
        rows, values = self._gated.of(part), []
        for number, begin, end in zip(part.tolist(), rows.at[:-1], rows.at[1:], strict=True):
            judged, grades = self._requests[number], rows.grades[begin:end]
            if judged.positions is not None:
                gain = discounted_clicks(scores[begin:end], grades, rows.worth[begin:end])
                values.append(gain / max(self._clicked_gain, 1e-12))
                continue
            order = np.argsort(-scores[begin:end], kind="stable")
            values.append(self._metric.of(grades[order], judged.ratings)[0])
        return np.array(values)


def _predicted(booster: Any, rows: Rows, rounds: int) -> Values:
    return np.asarray(booster.predict(rows.values, num_iteration=rounds), np.float64)


def _steadiest(choices: tuple[N, ...], validated: list[list[Values]]) -> tuple[N, Values]:
    """The first choice that loses no more than half a standard error against the best."""
    values = np.array([np.concatenate(parts) for parts in validated])  # (choices, requests)
    best = values[values.mean(axis=1).argmax()]
    lost = best[None] - values
    error = lost.std(axis=1) / np.sqrt(lost.shape[1])
    place = int(np.flatnonzero(lost.mean(axis=1) <= _TOLERANCE * error + 1e-12)[0])
    return choices[place], values[place]
