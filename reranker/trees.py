"""trees.py: the inputs of all signals -> the score of boosted trees, and each signal's share of it.

The model is LightGBM's own text. Scoring 100 candidates costs about a millisecond; the shares
(SHAP values, Lundberg et al. 2020, exact for trees) cost some forty, so they are computed only
where somebody asks for them.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from reranker.columns import Column, Missing, Values
from reranker.errors import BadBlend
from reranker.normalising import Normalise
from reranker.signal_inputs import input_of

CONTEXT: Final = "context"  # what is the same for all candidates of a request
Inputs = npt.NDArray[np.float64]


class Trees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """inputs: the model's columns as "signal.input". base: the mean score, which is taken off."""

    model: str
    inputs: list[str]
    base: float = 0.0


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
    found = np.full((n, len(names)), np.nan)
    for place, name in enumerate(names):
        signal, _, part = name.partition(".")
        column = columns.get(signal)
        if signal == CONTEXT:
            found[:, place] = context.get(part, np.nan)
        elif isinstance(column, Column):
            values = input_of(column, part, normalise(signal))
            if values is not None:
                found[:, place] = values
    return found


def tree_scores(trees: Trees, inputs: Inputs) -> Values:
    """Scores (n,), the mean score taken off."""
    scores = _booster(trees.model).predict(inputs, num_threads=1)
    return np.asarray(scores, np.float64) - trees.base


def tree_shares(trees: Trees, inputs: Inputs) -> dict[str, Values]:
    """Each signal's share (n,) of the scores; they add up to `tree_scores`."""
    shares = np.asarray(_booster(trees.model).predict(inputs, pred_contrib=True, num_threads=1))
    found: dict[str, Values] = {}
    for place, name in enumerate(trees.inputs):
        signal = name.partition(".")[0]
        found[signal] = found.get(signal, 0.0) + shares[:, place]
    # the expected value that SHAP begins with is the same for all; it is what `base` takes off
    return found


def check_trees(trees: Trees, signals: Mapping[str, object]) -> None:
    """BadBlend for a model that cannot be read, or that reads what there is not."""
    for name in trees.inputs:
        if name.partition(".")[0] not in {*signals, CONTEXT}:
            raise BadBlend(
                f"trees.inputs names {name!r}, whose signal the blend does not weigh.",
                field="trees.inputs",
            )
    try:
        columns = _booster(trees.model).num_feature()
    except NoTrees:
        return  # whoever serves it is told
    except Exception as error:
        raise BadBlend(
            f"trees.model is no LightGBM model in text: {error}.", field="trees.model"
        ) from None
    if columns != len(trees.inputs):
        raise BadBlend(
            f"trees.inputs has {len(trees.inputs)} names, the model reads {columns} columns.",
            field="trees.inputs",
        )


@lru_cache(maxsize=8)
def _booster(model: str) -> Any:
    try:
        import lightgbm
    except ImportError:
        raise NoTrees(
            "A blend of trees needs LightGBM, which this installation lacks.",
            hint="Run `pip install 'reranker[tune]'`, or publish a blend of another kind.",
        ) from None
    return lightgbm.Booster(model_str=model)
