"""action_features.py: one history -> recency and counts, what a next action is foreseen from.

One function for training, evaluation and serving.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]
FEATURES: Final = ("length", "gap", "visit_seconds", "visit_events", "visits")


def action_features(
    types: npt.NDArray[np.int64], times: npt.NDArray[np.float64], kinds: int, gap_minutes: float
) -> Numbers:
    """Of the events up to now (m,), oldest first, m >= 1 -> (5 + 3 x kinds,).

    Logs of 1 + : events, seconds since the event before, seconds and events of this visit, visits;
    then by type: log counts in the history and in this visit, and which type the newest is.
    """
    gaps = np.diff(times)
    breaks = np.flatnonzero(gaps > gap_minutes * 60)
    start = int(breaks[-1]) + 1 if len(breaks) else 0
    plain = [
        len(times),
        float(gaps[-1]) if len(gaps) else 0.0,
        float(times[-1] - times[start]),
        len(times) - start,
        len(breaks) + 1,
    ]
    newest = np.zeros(kinds)
    newest[types[-1]] = 1.0
    return np.concatenate(
        [
            np.log1p(np.maximum(plain, 0.0)),
            np.log1p(np.bincount(types, minlength=kinds)),
            np.log1p(np.bincount(types[start:], minlength=kinds)),
            newest,
        ]
    ).astype(np.float32)
