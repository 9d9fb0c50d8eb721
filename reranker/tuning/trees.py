"""trees.py: rows of judged candidates -> boosted trees (LightGBM, LambdaRank).

LambdaRank: Burges 2010. With every tree confined to one input the model is a sum of functions of
one number each, which curves.py folds into curves. Clicks are learned from by the listwise softmax
of linear.py, each click by what it counts, and trees begin as the weights that it fits: few clicks
move them little.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from indexes.storage.arrays import Floats, Values
from reranker.blends.trees import Trees
from reranker.tuning.matrices import Rows, shares_of_gain

# Signals of which more is never worse, whatever few queries seem to say.
NEVER_WORSE: Final = frozenset(
    {"engine", "semantic", "match", "coverage", "available", "behaviour"}
)
LIKE: Final = 200  # rounds
_SAME: Final[dict[str, Any]] = {
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
_LIKE: Final = _SAME | {"objective": "regression", "num_leaves": 8, "learning_rate": 0.15}
_GRADES: Final = 31  # levels that LambdaRank tells apart; fractional grades are rounded to them


def grown(
    rows: Rows, rounds: int, *, alone: bool, start: Values | None = None, threads: int = 2
) -> Any:
    """A LightGBM booster of so many rounds.

    alone: every tree reads one input only. start: scores (rows,) that the trees are added to.
    """
    import lightgbm

    settings = _settings(rows, alone, threads) | {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 20,
    }
    labels, settings["label_gain"] = _labels(rows.grades)
    if rows.shown is not None:
        settings["objective"] = _softmax(rows)
    data = lightgbm.Dataset(rows.values, labels, group=rows.groups, init_score=start)
    return lightgbm.train(settings, data, rounds)


def grown_from(rows: Rows, rounds: int, like: tuple[Floats, Values], *, threads: int = 2) -> Any:
    """The same after the LIKE rounds that it takes to score candidates as `like` says.

    like: inputs (candidates, inputs) and scores (candidates,), also of what nobody saw: there trees
    would otherwise go on as flat as they end.
    """
    import lightgbm

    settings = _settings(rows, False, threads)
    begun = lightgbm.train(_LIKE | {"num_threads": threads}, lightgbm.Dataset(*like), LIKE)
    data = lightgbm.Dataset(rows.values, _labels(rows.grades)[0], group=rows.groups)
    return lightgbm.train(settings | {"objective": _softmax(rows)}, data, rounds, init_model=begun)


def _settings(rows: Rows, alone: bool, threads: int) -> dict[str, Any]:
    settings = _SAME | {
        "learning_rate": 0.05,
        "num_leaves": 8 if alone else 15,
        "min_data_in_leaf": max(20, min(100, len(rows.grades) // 200)),
        "lambda_l2": 5.0,
        "num_threads": threads,
    }
    if alone:
        settings["interaction_constraints"] = [[place] for place in range(len(rows.names))]
        settings["monotone_constraints"] = [
            int(name.partition(".")[0] in NEVER_WORSE) for name in rows.names
        ]
    else:
        settings |= {"feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1}
        settings["bagging_by_query"] = True
    return settings


def _softmax(rows: Rows) -> Callable[[Values, Any], tuple[Values, Values]]:
    """LightGBM's way of asking for slope and curvature (rows,) of - share x log softmax(scores)."""
    target, starts, owner, offsets = shares_of_gain(rows), rows.at[:-1], rows.owner, rows.offsets
    mass = np.add.reduceat(target, starts)[owner]

    def slopes(scores: Values, _data: Any) -> tuple[Values, Values]:
        away = scores + offsets
        powers = np.exp(away - np.maximum.reduceat(away, starts)[owner])
        drawn = powers / np.add.reduceat(powers, starts)[owner]
        return drawn * mass - target, np.maximum(drawn * (1.0 - drawn) * mass, 1e-6)

    return slopes


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
