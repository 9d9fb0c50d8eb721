"""classification.py: probabilities and what happened -> AUC, PR-AUC, Brier score, calibration."""

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Floats

Truth = npt.NDArray[np.bool_]


def roc_auc(truth: Truth, scores: Floats) -> float:
    """Chance that one that happened scores above one that did not; equal scores count half."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def pr_auc(truth: Truth, scores: Floats) -> float:
    """Average precision: sum of precision x gain in recall, equal scores taken together."""
    positive = int(truth.sum())
    if not positive:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    recall = hits[last] / positive
    precision = hits[last] / (last + 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def brier(truth: Truth, chances: Floats) -> float:
    """Mean squared distance of the probability from what happened."""
    return float(((chances - truth) ** 2).mean())


def calibration_error(truth: Truth, chances: Floats, bins: int = 10) -> float:
    """ECE: mean distance of probability and frequency, over bins of equal width."""
    place = np.minimum((chances * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    said = np.bincount(place, chances, minlength=bins)
    came = np.bincount(place, truth, minlength=bins)
    return float(np.abs(said - came).sum() / max(int(counts.sum()), 1))


def action_metrics(truth: Truth, chances: Floats) -> dict[str, float]:
    """All four, and how often it happened."""
    return {
        "base_rate": float(truth.mean()),
        "auc": roc_auc(truth, chances),
        "pr_auc": pr_auc(truth, chances),
        "brier": brier(truth, chances),
        "ece": calibration_error(truth, chances),
    }
