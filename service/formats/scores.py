"""scores.py: scores in the order of a ranking -> numbers in (0, 1) that fall from rank to rank.

Clients sort by the number alone, some in 32 bits and after adding 1 to it, and some parsers take
neither an exponent nor a whole number nor more than 18 characters. So there are steps of a
millionth from 0.001 on: strictly falling, whatever diversity and guard rails moved, at most eight
characters with a decimal point.
"""

import math
from collections.abc import Sequence
from typing import Final

_STEPS: Final = 1_000_000
_LOWEST: Final = 1_000  # steps; below a thousandth numbers come near those with an exponent
_HIGHEST: Final = _STEPS - 1
_RAW_STEPS: Final = 1_000
_FARTHEST: Final = 700.0  # where exp has no larger number


def falling(scores: Sequence[float]) -> list[float]:
    """The logistic function of each score (n,), strictly falling: 0.001 to 0.999999."""
    numbers = []
    before = _STEPS
    for place, score in enumerate(scores):
        steps = min(round(_logistic(score) * _STEPS), before - 1)
        before = min(max(steps, _LOWEST + len(scores) - place), _HIGHEST)
        numbers.append(before / _STEPS)
    return numbers


def falling_raw(scores: Sequence[float]) -> list[float]:
    """Numbers (n,) on the scale of the scores, strictly falling in steps of a thousandth."""
    numbers = []
    before: int | None = None
    for score in scores:
        steps = round(min(max(score, -1e6), 1e6) * _RAW_STEPS)
        before = steps if before is None else min(steps, before - 1)
        numbers.append(before / _RAW_STEPS)
    return numbers


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-min(max(score, -_FARTHEST), _FARTHEST)))
