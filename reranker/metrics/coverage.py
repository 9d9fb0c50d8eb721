"""coverage.py: how often each item was shown -> the share of the catalogue, and how evenly."""

import numpy as np

from indexes.storage.arrays import Values


def coverage(shown: Values) -> float:
    """Which share of the items (n,) was shown at all."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: Values) -> float:
    """0 where each item (n,) was shown equally often, up to 1 - 1/n where one item has it all.

    G = 2 sum(i x share_i) / n - (n + 1) / n over shares in rising order, i from 1.
    """
    total, n = float(shown.sum()), len(shown)
    if not total:
        return 0.0
    share = np.sort(shown) / total
    return float(2.0 * np.sum(np.arange(1, n + 1) * share) / n - (n + 1) / n)
