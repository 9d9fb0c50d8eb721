"""significance.py: differences, query by query -> wins, effect size, Holm's p, who moved most."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats

EQUAL: Final = 1e-9  # values that differ by rounding only are a tie


class Comparison(msgspec.Struct, frozen=True):
    """One metric of one blend against the baseline, besides the difference itself.

    effect: Cohen's d_z, the mean difference in standard deviations of the differences; None where
    all differ by the same amount, or there is only one query. p_holm: p, corrected for the number
    of blends compared.
    """

    wins: int
    ties: int
    losses: int
    effect: float | None
    p_holm: float | None


def comparisons(differences: Floats, p_holm: Sequence[float | None]) -> list[Comparison]:
    """One per column of `differences` (queries, metrics)."""
    wins = np.count_nonzero(differences > EQUAL, axis=0).tolist()
    losses = np.count_nonzero(differences < -EQUAL, axis=0).tolist()
    return [
        Comparison(
            wins=won,
            ties=len(differences) - won - lost,
            losses=lost,
            effect=effect_size(column),
            p_holm=p,
        )
        for won, lost, column, p in zip(wins, losses, differences.T, p_holm, strict=True)
    ]


def effect_size(differences: Floats) -> float | None:
    """Cohen's d_z of paired differences (queries,): mean / standard deviation (n - 1)."""
    if len(differences) < 2:
        return None
    if np.all(np.abs(differences) <= EQUAL):
        return 0.0
    deviation = float(differences.std(ddof=1))
    return float(differences.mean()) / deviation if deviation > EQUAL else None


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values of several comparisons, corrected together (Holm 1979); None stays None.

    The smallest is multiplied by their number, the next by one less, and none falls below the
    one before it.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    lowest = 0.0
    for rank, (p, place) in enumerate(known):
        lowest = max(lowest, min(1.0, p * (len(known) - rank)))
        corrected[place] = lowest
    return corrected
