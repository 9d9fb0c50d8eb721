"""clicks.py: rows of shown candidates, and what was clicked -> how far each click counts.

What is clicked was looked at, and what stands on top is looked at more often: an item clicked at
position k counts 1 / p(k), clipped (Joachims et al. 2017). p is fitted to the very clicks: among
the items of one list the chance of the one clicked goes with p(position) x exp(weights . signals),
a softmax with one more term for the position (relevance and position add up, as in Guo et al.
2019). So one fixed order is enough, as long as lists differ in what the signals say at a position,
and lists without a click need not be there.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from indexes.storage.arrays import Floats, Ints, Values
from reranker.feedback.click_models import Examination
from reranker.metrics.ranking import gains
from reranker.tuning.columns import JudgedColumns
from reranker.tuning.linear import softmax_fit
from reranker.tuning.matrices import Rows, shares_of_gain

_KNOTS: Final = (1, 2, 3, 5, 10, 20, 50, 100)  # positions from 1 between which p bends
_LEAST: Final = 1e-3


def clicked(requests: Sequence[JudgedColumns]) -> Ints:
    """Numbers of the requests whose grades are clicks on a list that was shown."""
    return np.flatnonzero([judged.positions is not None for judged in requests])


def examination_of(rows: Rows, requests: Ints, start: Values) -> Examination:
    """How likely each position is looked at, never rising. rows: linear ones; requests: clicked.

    start: weights that the signals begin with.
    """
    shown = rows.of(requests)
    hinges = _hinges(shown.positions)
    whole = replace(shown, values=np.hstack([shown.values, -hinges]))
    origin = np.concatenate([start, np.zeros(hinges.shape[1])])
    target = shares_of_gain(shown)
    slopes = softmax_fit(whole, target, origin, pull=1.0 / len(requests))[len(start) :]
    places = np.arange(int(shown.positions.max(initial=0)) + 1)
    return Examination(np.maximum(np.exp(-_hinges(places) @ slopes), _LEAST))


def _hinges(positions: Ints) -> Floats:
    """Of each position from 0 (n,), how far log(position) has come between two knots (n, knots)."""
    heights = np.log(np.maximum(positions, 0) + 1.0)[:, None]
    low = np.log(np.array(_KNOTS, np.float64))
    high = np.append(low[1:], np.inf)
    return np.asarray(np.clip(heights - low, 0.0, high - low))


def looks_of(rows: Rows, examination: Examination) -> Values:
    """How likely each row was looked at (rows,); 1 in a judged request."""
    looks = examination.at(np.maximum(rows.positions, 0), np.iinfo(np.int64).max)
    return np.where(rows.positions >= 0, looks, 1.0)


def discounted_clicks(scores: Values, grades: Values, worth: Values) -> float:
    """Gain of what was clicked, each by what it counts and discounted by its rank: an estimate."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return float((gains(grades) * worth / np.log2(ranks + 2.0)).sum())
