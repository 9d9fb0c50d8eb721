"""classification.py: probabilities and what happened -> AUC, PR-AUC, Brier score, calibration."""

import numpy as np

from indexes.storage.arrays import Floats, Mask


def calibration_error(truth: Mask, chances: Floats, bins: int = 10) -> float:
    """ECE: mean distance of probability and frequency, over bins of equal width.

    scikit-learn's calibration_curve does not say how many each bin holds.
    """
    place = np.minimum((chances * bins).astype(np.int64), bins - 1)
    expected = np.bincount(place, chances, minlength=bins)
    observed = np.bincount(place, truth, minlength=bins)
    return float(np.abs(expected - observed).sum() / max(len(place), 1))


def action_metrics(truth: Mask, chances: Floats) -> dict[str, float]:
    """All four, and how often it happened; AUC is NaN where everything or nothing did."""
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    ever, always = bool(truth.any()), bool(truth.all())
    return {
        "base_rate": float(truth.mean()),
        "auc": float(roc_auc_score(truth, chances)) if ever and not always else float("nan"),
        "pr_auc": float(average_precision_score(truth, chances)) if ever else float("nan"),
        "brier": float(brier_score_loss(truth, chances)),
        "ece": calibration_error(truth, chances),
    }
