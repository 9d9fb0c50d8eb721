"""trees.py: rows of judged candidates -> boosted trees (LightGBM, LambdaRank).

LambdaRank: Burges 2010. With every tree confined to one input the model is a sum of functions of
one number each, which curves.py folds into curves.
"""

from typing import Any, Final

import numpy as np

from indexes.storage.arrays import Values
from reranker.blends.trees import Trees
from reranker.tuning.matrices import Rows

# Signals of which more is never worse, whatever few queries seem to say.
NEVER_WORSE: Final = frozenset(
    {"engine", "semantic", "match", "coverage", "available", "behaviour"}
)
_GRADES: Final = 31  # levels that LambdaRank tells apart; fractional grades are rounded to them


def grown(
    rows: Rows, rounds: int, *, alone: bool, start: Values | None = None, threads: int = 2
) -> Any:
    """A LightGBM booster of so many rounds.

    alone: every tree reads one input only. start: scores (rows,) that the trees are added to.
    Where rows were shown, what a position by itself does to clicks is learned beside the trees, and
    left out of them (LightGBM's `position`, after unbiased LambdaMART, Hu et al. 2019).
    """
    import lightgbm

    settings: dict[str, Any] = {
        "objective": "lambdarank",
        "learning_rate": 0.05,
        "num_leaves": 8 if alone else 15,
        "min_data_in_leaf": max(20, min(100, len(rows.grades) // 200)),
        "lambda_l2": 5.0,
        "lambdarank_truncation_level": 20,
        "max_bin": 127,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 1,
        "verbosity": -1,
    }
    if alone:
        settings["interaction_constraints"] = [[place] for place in range(len(rows.names))]
        settings["monotone_constraints"] = [
            int(name.partition(".")[0] in NEVER_WORSE) for name in rows.names
        ]
    else:
        settings |= {"feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1}
        settings["bagging_by_query"] = True
    labels, worth = _labels(rows.grades)
    settings["label_gain"] = worth
    position = None
    if rows.shown is not None:
        judged = int(rows.positions.max(initial=0)) + 1  # one more position, of judged requests
        position = np.where(rows.positions >= 0, rows.positions, judged).astype(np.int32)
        settings["lambdarank_position_bias_regularization"] = 0.5
    data = lightgbm.Dataset(
        rows.values, labels, group=rows.groups, init_score=start, position=position
    )
    return lightgbm.train(settings, data, rounds)


def trees_of(booster: Any, rows: Rows) -> Trees:
    """The booster as text."""
    return Trees(model=booster.model_to_string(), inputs=rows.names)


def _labels(grades: Values) -> tuple[Values, list[float]]:
    """Grades as whole numbers from 0, and the gain 2^grade - 1 of each."""
    levels = np.unique(grades)
    if len(levels) > _GRADES:
        quantiles = np.quantile(levels[levels > 0], np.linspace(0, 1, _GRADES - 1))
        levels = np.unique(np.append(0.0, quantiles))
    labels = np.abs(grades[:, None] - levels[None]).argmin(axis=1)
    return labels.astype(np.float64), (np.exp2(levels) - 1).tolist()
