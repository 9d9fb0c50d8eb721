"""importance.py: a blend of any kind -> how much each of its signals counts, and what it reads.

A weight means the same in linear blends alone. A curve or a tree brings its own scale, so its
weight is 1 until somebody bends it, and says nothing about how much it counts.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from reranker.blends.blend import Blend
from reranker.blends.trees import Trees
from reranker.signals.registry import in_order

UNITS: Final = {"linear": "weight", "curves": "span of its curves", "trees": "share of the gain"}


class Importance(NamedTuple):
    """One signal's. value: in UNITS of the blend's kind. reads: its inputs, the weightiest first,
    each with its part of the value; none in a linear blend."""

    signal: str
    value: float
    reads: dict[str, float]
    weight: float


def importances(blend: Blend) -> list[Importance]:
    """Each signal's, in the order that signals have everywhere; `context` of trees comes last.

    linear: the weight. curves: how far the score can move by the signal, highest minus lowest
    knot, times the weight. trees: share of the loss that splits on its inputs took away (gain,
    as LightGBM counts it), which does not change with the weight.
    """
    reads = _reads(blend)
    names = in_order([*blend.signals, *(name for name in reads if name not in blend.signals)])
    return [_importance(blend, name, reads.get(name, {})) for name in names]


def gain_shares(trees: Trees) -> dict[str, float]:
    """The share of the gain by input, 1 in all; read from the model's text, without LightGBM."""
    gains = dict.fromkeys(trees.inputs, 0.0)
    for place, gain in _splits(trees.model):
        if place < len(trees.inputs):
            gains[trees.inputs[place]] += gain
    total = sum(gains.values()) or 1.0
    return {name: gain / total for name, gain in gains.items()}


def tree_count(trees: Trees) -> int:
    """How many trees the model has."""
    return sum(line.startswith("Tree=") for line in trees.model.splitlines())


def _importance(blend: Blend, name: str, reads: dict[str, float]) -> Importance:
    part = blend.signals.get(name)
    weight = part.weight if part else 1.0
    value = sum(reads.values()) if blend.kind != "linear" else weight
    ordered = dict(sorted(reads.items(), key=lambda pair: -pair[1]))
    return Importance(name, value, ordered, weight)


def _reads(blend: Blend) -> dict[str, dict[str, float]]:
    """By signal and input."""
    reads: dict[str, dict[str, float]] = defaultdict(dict)
    if blend.trees is not None:
        for name, share in gain_shares(blend.trees).items():
            signal, _, column = name.partition(".")
            reads[signal][column] = share
    for signal, curves in blend.curves.items():
        weight = abs(blend.signals[signal].weight)
        for column, curve in curves.items():
            reads[signal][column] = weight * (max(curve.y) - min(curve.y))
    return reads


def _splits(model: str) -> Iterator[tuple[int, float]]:
    """Column and gain of every split; LightGBM writes both as a line of numbers for each tree."""
    columns: list[str] = []
    for line in model.splitlines():
        name, _, numbers = line.partition("=")
        if name == "split_feature":
            columns = numbers.split()
        elif name == "split_gain":
            for column, gain in zip(columns, numbers.split(), strict=False):
                try:
                    yield int(column), max(float(gain), 0.0)
                except ValueError:  # a damaged text is refused where it is scored
                    continue
