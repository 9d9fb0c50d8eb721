"""curves.py: boosted trees that read one input each -> curves with few knots.

The trees of one input add up to a function with steps. A line through the middle of each step is
smoother than they are, can be drawn, and can be bent by hand.
"""

from typing import Any, Final

import numpy as np

from indexes.storage.arrays import Values
from reranker.blends.curves import Curve
from reranker.signals.columns import SCALED
from reranker.tuning.matrices import Rows

KNOTS: Final = 24
_FLAT: Final = 1e-3  # a curve that moves less than this share of the largest is left out


def curves_of(booster: Any, rows: Rows, weights: dict[str, float]) -> dict[str, dict[str, Curve]]:
    """One curve for each input that the trees use, by signal and input.

    weights: of the straight lines that the trees were added to, by signal; they are part of the
    curves of the scaled inputs.
    """
    steps = _steps(booster, len(rows.names))
    lines: dict[str, tuple[Values, Values]] = {}
    for place, name in enumerate(rows.names):
        signal, _, part = name.partition(".")
        slope = weights.get(signal, 0.0) if part == SCALED else 0.0
        column = rows.values[:, place]
        column = column[np.isfinite(column)]
        if len(column) and (steps[place] or slope):
            lines[name] = _line(steps[place], slope, column)
    largest = max((np.ptp(y) for _, y in lines.values()), default=0.0)
    curves: dict[str, dict[str, Curve]] = {}
    for name, (x, y) in lines.items():
        if np.ptp(y) > _FLAT * largest:
            signal, _, part = name.partition(".")
            knots = _fewer(x, y)
            short, first = np.unique(
                [float(f"{value:.9g}") for value in x[knots]], return_index=True
            )
            curves.setdefault(signal, {})[part] = Curve(
                short.tolist(), [float(f"{value:.5g}") for value in y[knots][first]]
            )
    return curves


def _steps(booster: Any, inputs: int) -> list[list[Any]]:
    """The trees of each input."""
    trees: list[list[Any]] = [[] for _ in range(inputs)]
    for tree in booster.dump_model()["tree_info"]:
        root = tree["tree_structure"]
        if "split_feature" in root:
            trees[root["split_feature"]].append(root)
    return trees


def _line(trees: list[Any], slope: float, column: Values) -> tuple[Values, Values]:
    """x and y through the middle of every step, from the smallest to the largest value seen."""
    low, high = float(column.min()), float(column.max())
    cuts = np.unique([cut for tree in trees for cut in _thresholds(tree)])
    cuts = cuts[(cuts > low) & (cuts < high)]
    edges = np.concatenate([[low], cuts, [high]])
    middles = (edges[:-1] + edges[1:]) / 2
    x = np.unique(np.concatenate([[low], middles, [high]]))
    y = np.zeros(len(x))
    for tree in trees:
        _add(tree, x, np.ones(len(x), dtype=bool), y)
    return x, y + slope * x


def _thresholds(node: Any) -> list[float]:
    if "split_feature" not in node:
        return []
    below, above = node["left_child"], node["right_child"]
    return [float(node["threshold"]), *_thresholds(below), *_thresholds(above)]


def _add(node: Any, x: Values, here: np.ndarray[Any, Any], y: Values) -> None:
    """Add a tree's values to y where `here`; LightGBM goes left at or below the threshold."""
    if "split_feature" not in node:
        y[here] += node["leaf_value"]
        return
    left = x <= float(node["threshold"])
    _add(node["left_child"], x, here & left, y)
    _add(node["right_child"], x, here & ~left, y)


def _fewer(x: Values, y: Values) -> list[int]:
    """At most KNOTS places that keep the line's shape: always add the worst missed one."""
    knots = [0, len(x) - 1] if len(x) > 1 else [0]
    while len(knots) < min(KNOTS, len(x)):
        missed = np.abs(np.interp(x, x[knots], y[knots]) - y)
        worst = int(missed.argmax())
        if missed[worst] <= _FLAT * max(np.ptp(y), 1e-12):
            break
        knots = sorted([*knots, worst])
    return knots
