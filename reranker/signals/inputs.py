"""inputs.py: one signal's column -> the numbers that learned blends read of it.

scaled: as a linear blend normalises it, within the request. rank: 1 for the best candidate, 0 for
the worst. value: as the signal gave it, comparable between requests. Besides, each of its parts.
What the signal does not know counts as the mean of what it does know.
"""

from typing import Final

import numpy as np

from indexes.storage.arrays import Mask, Values
from reranker.signals.columns import Column, complete
from reranker.signals.normalization import LARGEST, Normalise, normalised

SCALED: Final = "scaled"
RANK: Final = "rank"
VALUE: Final = "value"
_PARTS: Final = {
    "match": ("words", "brand", "exact"),
    "near": ("mean", "last", "raw"),
    "taste": ("brand", "category", "price"),
}


def input_names(column: Column) -> list[str]:
    """Every input that this column has."""
    return [SCALED, RANK, VALUE, *column.parts]


def known_inputs(signal: str) -> list[str] | None:
    """Every input that a signal can have; None where that goes by the shop's types of events."""
    if signal in ("popular", "repeat"):
        return None
    return [SCALED, RANK, VALUE, *_PARTS.get(signal, ())]


def input_of(column: Column, name: str, normalise: Normalise) -> Values | None:
    """One input (n,); None where the column has none of this name."""
    if name == SCALED:
        return normalised(column, normalise)
    if name == RANK:
        return normalised(column, "rank")
    if name == VALUE:
        return _filled(column.values, column.known)
    part = column.parts.get(name)
    return None if part is None else _filled(part, column.known)


def _filled(values: Values, known: Mask) -> Values:
    """The values, with the mean of the known ones where nothing is known."""
    if complete(known):
        return np.clip(values, -LARGEST, LARGEST)
    known_values = np.clip(values[known], -LARGEST, LARGEST)
    filled = np.full(len(values), known_values.mean() if len(known_values) else 0.0)
    filled[known] = known_values
    return filled
