"""curves.py: the inputs of a signal -> its share of the score, by functions that can be drawn.

A curve is a function of one number: straight lines between its knots, level beyond them. A signal's
value is the sum of its curves, so a blend of curves is an additive model: what it thinks of every
signal can be looked at, and bent by hand.
"""

from collections.abc import Mapping
from itertools import pairwise

import msgspec
import numpy as np

from indexes.storage.arrays import Values
from reranker.errors import BadBlend
from reranker.signals.columns import Column, Normalise, input_of, known_inputs


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Knots: x increasing, y what the curve is worth there."""

    x: list[float]
    y: list[float]

    def __call__(self, values: Values) -> Values:
        """What the curve is worth at these values (n,)."""
        return np.interp(values, self.x, self.y)


Curves = Mapping[str, Curve]  # by input: "scaled", "rank", "value" or a part's name


def curve_values(column: Column, curves: Curves, normalise: Normalise) -> dict[str, Values]:
    """What each curve of one signal is worth, by input; each (n,).

    An input that the column does not have is worth nothing.
    """
    values_of_curves = {}
    for name, curve in curves.items():
        values = input_of(column, name, normalise)
        if values is not None:
            values_of_curves[name] = curve(values)
    return values_of_curves


def check_curves(curves: Mapping[str, Curves]) -> None:
    """BadBlend for knots that are no function."""
    for signal, by_input in curves.items():
        for name, curve in by_input.items():
            problem = _problem(curve) or _no_input(signal, name)
            if problem:
                field = f"curves.{signal}.{name}"
                raise BadBlend(f"{field} {problem}.", field=field)


def _no_input(signal: str, name: str) -> str | None:
    known = known_inputs(signal)
    if known is None or name in known:
        return None
    return f"is no input of {signal}; it has {', '.join(known)}"


def _problem(curve: Curve) -> str | None:
    if len(curve.x) != len(curve.y) or not curve.x:
        return f"has {len(curve.x)} x and {len(curve.y)} y; as many of each, and at least one"
    if not all(np.isfinite([*curve.x, *curve.y])) or max(map(abs, curve.y)) > 1e6:
        return "holds a number that is none, or a y beyond a million"
    if any(after <= before for before, after in pairwise(curve.x)):
        return "has an x that is not above the one before it"
    with np.errstate(over="ignore"):
        slopes = np.diff(curve.y) / np.diff(curve.x)
    if not np.isfinite(slopes).all():
        return "rises beyond any number between two of its knots"
    return None
