"""scoring.py: columns and a blend -> scores, and what each signal adds to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from indexes.kernels import kernels
from indexes.storage.arrays import Values
from reranker.blends.blend import Blend
from reranker.blends.curves import curve_values
from reranker.blends.trees import tree_inputs, tree_scores, tree_shares
from reranker.signals.columns import LARGEST, Column, Missing, as_added, normalised
from reranker.signals.registry import SIGNALS, Columns


@dataclass(frozen=True, slots=True)
class Contribution:
    """One signal's share of the scores of all candidates. Arrays are (n,).

    column: None where the signal said nothing, which trees take for an answer, too.
    normalised: what the weight is multiplied with: normalised values, the sum of the curves, or the
    trees' share. curves: what each curve is worth.
    """

    signal: str
    column: Column | None
    normalised: Values
    weight: float
    amounts: Values  # weight * normalised
    curves: dict[str, Values] = field(default_factory=dict)


def scored(
    blend: Blend,
    columns: Columns,
    weights: Mapping[str, float],
    n: int,
    gate: float = 1.0,
    context: Mapping[str, float] | None = None,
    explained: bool = True,
) -> tuple[Values, list[Contribution]]:
    """Scores (n,) and what they are made of, in the blend's order.

    gate: what the weights of personal signals are multiplied by; those of signals that trust
    themselves less, by that. Without `explained`, trees whose weights are all 1 leave the
    contributions out: they cost forty times the scores.
    """
    factors = factors_of(blend, columns, weights, gate)
    if blend.kind == "linear" and not explained and n:
        return weighed(blend, columns, factors, n), []
    if blend.trees is None or not n:
        parts = contributions(blend, columns, factors)
        return added_up(parts, n), parts
    inputs = tree_inputs(
        blend.trees.inputs, columns, lambda name: blend.signals[name].normalise, context or {}, n
    )
    plain = all(factor == 1.0 for factor in factors.values())
    if plain and not explained:
        return tree_scores(blend.trees, inputs), []
    parts = [
        Contribution(name, _column(columns, name), share, factor, factor * share)
        for name, share in tree_shares(blend.trees, inputs).items()
        for factor in (factors.get(name, 1.0),)
    ]
    return tree_scores(blend.trees, inputs) if plain else added_up(parts, n), parts


def factors_of(
    blend: Blend, columns: Columns, weights: Mapping[str, float], gate: float
) -> dict[str, float]:
    """By signal, what its normalised values are multiplied with in this request."""
    factors = {}
    for name, part in blend.signals.items():
        factor, signal = part.weight * weights.get(name, 1.0), SIGNALS.get(name)
        if signal is not None and signal.personal:
            factor *= gate
        factors[name] = factor * trust_of(columns.get(name))
    return factors


def trust_of(column: Column | Missing | None) -> float:
    """What a signal's weight is multiplied with; 1 where it says nothing."""
    return column.trust if isinstance(column, Column) else 1.0


def weighed(blend: Blend, columns: Columns, factors: Mapping[str, float], n: int) -> Values:
    """Scores (n,) of a linear blend, to the last bit those of its contributions.

    The same operations on the same numbers in the same order, all columns at once.
    """
    return kernels.added_up(
        [
            as_added(column, part.normalise, factors[name])
            for name, part in blend.signals.items()
            if isinstance(column := columns.get(name), Column)
        ],
        LARGEST,
        n,
    )


def contributions(
    blend: Blend, columns: Columns, factors: Mapping[str, float]
) -> list[Contribution]:
    """What each present signal adds, by weights or by curves."""
    parts = []
    for name, part in blend.signals.items():
        column = columns.get(name)
        if column is None or isinstance(column, Missing):
            continue
        curves: dict[str, Values] = {}
        if blend.kind == "linear":
            values = normalised(column, part.normalise)
        else:
            curves = curve_values(column, blend.curves.get(name, {}), part.normalise)
            values = sum(curves.values(), np.zeros(len(column.values)))
        factor = factors[name]
        parts.append(Contribution(name, column, values, factor, factor * values, curves))
    return parts


def added_up(parts: list[Contribution], n: int) -> Values:
    """Scores (n,): the contributions added one after another, as the explanation lists them."""
    total = np.zeros(n, dtype=np.float64)
    for part in parts:
        total += part.amounts
    return total


def _column(columns: Columns, name: str) -> Column | None:
    column = columns.get(name)
    return column if isinstance(column, Column) else None
