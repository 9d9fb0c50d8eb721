"""linear.py: rows of judged candidates -> a weight for each signal.

The weights maximise the chance of drawing the relevant candidates first (listwise softmax, Cao et
al. 2007), pulled towards the weights that tuning begins with. The problem is convex: one answer,
whatever the number of signals, and few queries move the weights little. No weight goes below 0.
"""

from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Values
from reranker.blends.blend import Blend, SignalWeight
from reranker.tuning.matrices import Rows, shares_of_gain

_LARGEST: Final = 60.0
_MOST: Final = 1000.0  # that a blend may say
_NOTHING: Final = 1e-4  # of all weights: less than that is none


def fit_weights(rows: Rows, start: Values, pull: float) -> Values:
    """Weights (signals,) on the scale of the softmax. start: weights of any scale."""
    return softmax_fit(rows, shares_of_gain(rows), start, pull)


def softmax_fit(rows: Rows, target: Values, start: Values, pull: float) -> Values:
    """The same for any shares (rows,) to be foreseen."""
    from scipy.optimize import minimize

    asked = np.add.reduceat(target, rows.at[:-1]) > 0
    target = target / max(int(asked.sum()), 1)
    mass = np.add.reduceat(target, rows.at[:-1])  # of each request
    origin = start * _scale(rows, target, mass, start)

    def loss(weights: Values) -> tuple[float, Values]:
        value, slope = _softmax_loss(rows, target, mass, weights)
        away = weights - origin
        return value + 0.5 * pull * float(away @ away) / 10, slope + pull * away / 10

    fitted = minimize(
        loss, origin, jac=True, method="L-BFGS-B", bounds=[(0.0, _LARGEST)] * len(origin)
    )
    return np.asarray(fitted.x)


def log_likelihoods(rows: Rows, scores: Values) -> Values:
    """How well scores (rows,) on the softmax's scale foresee each request's gain (requests,)."""
    starts = rows.at[:-1]
    scores = scores + rows.offsets
    scores -= np.maximum.reduceat(scores, starts)[rows.owner]
    logs = scores - np.log(np.add.reduceat(np.exp(scores), starts))[rows.owner]
    return np.asarray(np.add.reduceat(shares_of_gain(rows) * logs, starts))


def with_weights(blend: Blend, weights: Values) -> Blend:
    """The blend with these weights, scaled so that they add up to what the blend's did."""
    total = float(weights_of(blend).sum()) or 1.0
    lasting = np.where(weights > _NOTHING * weights.sum(), weights, 0.0)
    scaled = lasting * (total / lasting.sum()) if lasting.sum() > 0 else lasting
    scaled *= min(1.0, _MOST / max(float(scaled.max()), _MOST))
    return msgspec.structs.replace(
        blend,
        signals={
            name: SignalWeight(float(f"{weight:.4g}"), part.normalise)
            for (name, part), weight in zip(blend.signals.items(), scaled.tolist(), strict=True)
        },
    )


def weights_of(blend: Blend) -> Values:
    """Its weights (signals,)."""
    return np.array([max(part.weight, 0.0) for part in blend.signals.values()])


def _softmax_loss(
    rows: Rows, target: Values, mass: Values, weights: Values
) -> tuple[float, Values]:
    """- sum of target x log softmax(scores), and its slope."""
    starts = rows.at[:-1]
    scores = rows.values @ weights + rows.offsets
    scores -= np.maximum.reduceat(scores, starts)[rows.owner]
    powers = np.exp(scores)
    total = np.add.reduceat(powers, starts)
    value = float(mass @ np.log(total) - target @ scores)
    slope = (powers / total[rows.owner]) * mass[rows.owner] - target
    return value, rows.values.T @ slope


def _scale(rows: Rows, target: Values, mass: Values, start: Values) -> float:
    """How sharp the softmax of the first weights has to be to fit best: a search by halves."""
    from scipy.optimize import minimize_scalar

    if not start.any():
        return 1.0
    fitted = minimize_scalar(
        lambda log: _softmax_loss(rows, target, mass, start * np.exp(log))[0],
        bounds=(-3.0, 4.0),
        method="bounded",
    )
    return float(np.exp(fitted.x))
