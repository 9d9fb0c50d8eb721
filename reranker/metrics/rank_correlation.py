"""rank_correlation.py: two orders of the same candidates -> how far they agree."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

TOP: Final = 10


class Agreement(msgspec.Struct, frozen=True):
    """overlap: share of the served first ten that the other has among its first ten. tau: Kendall's
    over the served first ten, as the other orders them (1 the same, -1 reversed). displacement:
    places by which they moved, on average. same_first: whether the first is the same."""

    overlap: float
    tau: float
    displacement: float
    same_first: bool


def agreement(served: Sequence[int], other: Sequence[int], top: int = TOP) -> Agreement | None:
    """Orders as places in the engine's list, best first; None without a served result.

    An item that `other` lacks, because it was cut, counts as standing right behind its end.
    """
    first = list(served[:top])
    if not first:
        return None
    place = {candidate: at for at, candidate in enumerate(other)}
    places = np.array([place.get(candidate, len(other)) for candidate in first])
    shared = int(np.sum(places < len(first)))
    return Agreement(
        overlap=shared / len(first),
        tau=_kendall(places),
        displacement=float(np.abs(places - np.arange(len(first))).mean()),
        same_first=bool(places[0] == 0),
    )


def _kendall(places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Of places in an order against 0, 1, 2, ...; ties count as neither (tau-a)."""
    pairs = len(places) * (len(places) - 1) // 2
    if not pairs:
        return 1.0
    signs = np.sign(places[None, :] - places[:, None])
    return float(np.triu(signs, 1).sum() / pairs)
