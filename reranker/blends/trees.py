"""trees.py: the inputs of all signals -> the score of boosted trees, and each signal's share of it.

The model is LightGBM's own text. Scoring 100 candidates costs about a millisecond; the shares
(SHAP values, Lundberg et al. 2020, exact for trees) cost some forty, so they are computed only
where somebody asks for them.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.storage.arrays import Values
from reranker.errors import BadBlend
from reranker.signals.columns import Column, Missing, Normalise, input_of

CONTEXT: Final = "context"  # what is the same for all candidates of a request
Inputs = npt.NDArray[np.float64]


class Trees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """inputs: the model's columns as "signal.input". The mean score of what it was grown on, from
    which SHAP values are counted, is taken off."""

    model: str
    inputs: list[str]


class NoTrees(Failure):
    """A blend of trees on a machine without LightGBM."""

    code = "lightgbm_missing"


def tree_inputs(
    names: list[str],
    columns: Mapping[str, Column | Missing],
    normalise: Callable[[str], Normalise],
    context: Mapping[str, float],
    n: int,
) -> Inputs:
    """The inputs (n, columns) in the model's order; NaN where a signal says nothing."""
    inputs = np.full((n, len(names)), np.nan)
    for place, name in enumerate(names):
        signal, _, part = name.partition(".")
        column = columns.get(signal)
        if signal == CONTEXT:
            inputs[:, place] = context.get(part, np.nan)
        elif isinstance(column, Column):
            values = input_of(column, part, normalise(signal))
            if values is not None:
                inputs[:, place] = values
    return inputs


def tree_scores(trees: Trees, inputs: Inputs) -> Values:
    """Scores (n,), the mean score taken off."""
    booster, mean = _booster(trees.model)
    scores = booster.predict(inputs, raw_score=True, num_threads=1)
    return np.asarray(scores, np.float64) - mean


def tree_shares(trees: Trees, inputs: Inputs) -> dict[str, Values]:
    """Each signal's share (n,) of the scores; they add up to `tree_scores`."""
    booster, _ = _booster(trees.model)
    shares = np.asarray(booster.predict(inputs, pred_contrib=True, num_threads=1))
    by_signal: dict[str, Values] = {}
    for place, name in enumerate(trees.inputs):
        signal = name.partition(".")[0]
        by_signal[signal] = by_signal.get(signal, 0.0) + shares[:, place]
    return by_signal


def check_trees(trees: Trees, signals: Mapping[str, object]) -> None:
    """BadBlend for a model that cannot be read, or that reads what there is not."""
    for name in trees.inputs:
        if name.partition(".")[0] not in {*signals, CONTEXT}:
            raise BadBlend(
                f"trees.inputs names {name!r}, whose signal the blend does not weigh.",
                field="trees.inputs",
            )
    if find_spec("lightgbm") is None:
        return  # whoever serves it is told
    columns, outputs = _shape(trees.model)
    if outputs != 1:
        raise BadBlend(
            "trees.model is no LightGBM model in text with one score a candidate.",
            field="trees.model",
        )
    if columns != len(trees.inputs):
        raise BadBlend(
            f"trees.inputs has {len(trees.inputs)} names, the model reads {columns} columns.",
            field="trees.inputs",
        )


@lru_cache(maxsize=64)
def _shape(model: str) -> tuple[int, int]:
    """Columns and outputs of a model; zeros where it cannot be read.

    Asked in a process of its own: LightGBM ends the whole process on some damaged texts.
    """
    process = subprocess.run(
        [sys.executable, "-c", _ASK], input=model.encode(), capture_output=True, timeout=120
    )
    try:
        columns, outputs = process.stdout.split()[-2:]
        return int(columns), int(outputs)
    except ValueError:
        return 0, 0


_ASK: Final = """
import sys, lightgbm, numpy
model = lightgbm.Booster(model_str=sys.stdin.buffer.read().decode())
width = model.num_feature()
model.predict(numpy.zeros((1, width)), pred_contrib=True, num_threads=1)
print(width, model.num_model_per_iteration())
"""


@lru_cache(maxsize=8)
def _booster(model: str) -> tuple[Any, float]:
    """The model, and the mean score that its SHAP values are counted from."""
    try:
        import lightgbm
    except ImportError:
        raise NoTrees(
            "A blend of trees needs LightGBM, which this installation lacks.",
            hint="Run `pip install 'shop-reranker[tune]'`, or publish a blend of another kind.",
        ) from None
    booster = lightgbm.Booster(model_str=model)
    nothing = np.zeros((1, booster.num_feature()))
    shares = np.asarray(booster.predict(nothing, pred_contrib=True, num_threads=1))
    return booster, float(shares[0, -1])
