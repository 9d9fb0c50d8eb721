"""pareto.py: a blend made bolder or more careful -> its metric against how lists change.

Every point multiplies what text signals and personal signals add, and leaves the engine alone. A
point is on the front when no other one gains more and changes less.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

import msgspec
import numpy as np

from reranker.blends.blend import Blend
from reranker.metrics.ranking import Measures
from reranker.signals.registry import SIGNALS
from reranker.tuning.columns import JudgedColumns

_TEXT: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
_PERSONAL: Final = (0.0, 0.5, 1.0, 2.0)
TOP: Final = 10


class ChangePoint(msgspec.Struct, frozen=True):
    """text, personal: the multipliers. changed: share of the engine's first 10 that is replaced."""

    text: float
    personal: float
    value: float
    changed: float
    front: bool


def change_points(
    judged: Sequence[tuple[JudgedColumns, Blend]], metrics: Measures
) -> list[ChangePoint]:
    """Points in the order of how much they change; requests come with the blend that ranks them."""
    personal = any(columns.gate for columns, _ in judged)
    outcomes = []
    for text, own in product(_TEXT, _PERSONAL if personal else (1.0,)):
        results = [_point(columns, blend, text, own, metrics) for columns, blend in judged]
        value, changed = np.mean(results, axis=0).tolist()
        outcomes.append((changed, -value, text, own))
    outcomes.sort()
    points, best = [], -np.inf
    for changed, negative, text, own in outcomes:
        points.append(ChangePoint(text, own, -negative, changed, front=-negative > best))
        best = max(best, -negative)
    return points


def _point(
    judged: JudgedColumns, blend: Blend, text: float, own: float, metrics: Measures
) -> tuple[float, float]:
    weights = {
        name: own if SIGNALS[name].personal else text for name in blend.signals if name != "engine"
    }
    order = judged.order(blend, weights)
    first = min(TOP, len(order))
    shared = np.count_nonzero(order[:first] < first) / first
    ranked = order[judged.rows[order]]
    return metrics.of(judged.grades[ranked], judged.ratings)[0], 1.0 - shared
