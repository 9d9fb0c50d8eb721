"""normalization.py: raw signal values -> numbers that can be weighed against other signals'."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Values
from reranker.signals.columns import Column

Normalise = Literal["minmax", "zscore", "rank", "none"]

LARGEST: Final = 1e100


def normalised(column: Column, how: Normalise) -> Values:
    """Values (n,) over this request's candidates; the unknown get the mean of the known.

    The mean moves an item neither up nor down against those that the signal does know.
    """
    scaled = column.scaled.get(how)
    if scaled is None:
        scaled = column.scaled[how] = _normalised(column, how)
    return scaled


def _normalised(column: Column, how: Normalise) -> Values:
    if len(column.known) and column.complete:  # nearly always: there is nothing to fill in
        return _WAYS[how](column.values)
    known = column.values[column.known]
    out = np.zeros(len(column.values), dtype=np.float64)
    if not len(known):
        return out
    scaled = _WAYS[how](known)
    out[column.known] = scaled
    # Rounding takes the mean of equal values to one beside them, which would be an opinion.
    out[~column.known] = np.clip(scaled.mean(), scaled.min(), scaled.max())
    return out


def _minmax(values: Values) -> Values:
    """Lowest 0, highest 1; all equal: 0. Halved first, so that no spread overflows."""
    halves = values * 0.5
    low, high = np.minimum.reduce(halves), np.maximum.reduce(halves)
    spread = high - low
    if not spread > 0:
        return np.zeros_like(values)
    halves -= low
    halves /= spread
    return halves


def minmax_rows(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`_minmax` of each row of a matrix (k, n), to the last bit."""
    halves = rows * 0.5
    low = np.minimum.reduce(halves, axis=1)
    spread = np.maximum.reduce(halves, axis=1) - low
    halves -= low[:, None]
    halves /= np.where(spread > 0, spread, 1.0)[:, None]
    return halves


def _zscore(values: Values) -> Values:
    """Mean 0, standard deviation 1; all equal: 0."""
    size = np.abs(values).max()
    if size == 0:
        return np.zeros_like(values)
    scaled = values / size  # squares of huge scores would overflow
    spread = scaled.std()
    # Rounding leaves equal values a spread near 1e-17, which is no spread.
    return (scaled - scaled.mean()) / spread if spread > 1e-12 else np.zeros_like(values)


def _rank(values: Values) -> Values:
    """Highest 1, lowest 0, evenly spaced; equal values share the mean of their places."""
    if len(values) == 1:
        return np.zeros(1)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(places[inverse] / (len(values) - 1), dtype=np.float64)


def _none(values: Values) -> Values:
    """As they are, up to a size that no weights and no sum can carry to infinity."""
    return np.clip(values, -LARGEST, LARGEST)


_WAYS: Mapping[Normalise, Callable[[Values], Values]] = {
    "minmax": _minmax,
    "zscore": _zscore,
    "rank": _rank,
    "none": _none,
}
