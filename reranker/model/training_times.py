"""training_times.py: the times of training events -> how much of it a request could not know.

Counts and encoder are of all shoppers: of a request from the midst of the training they know what
others did afterwards. Kept are whole days, and few of them, beside the model (`about`).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from indexes.storage.arrays import Floats

DAYS: Final = "event_days"  # the first day, then one for every 5 % of the events, the newest last
UNTIL: Final = "until"
_PARTS: Final = 20
_DAY: Final = 86_400.0


def training_times(times: Floats, until: float | None) -> dict[str, Any]:
    """What a version says of the times of its events (n,): epoch seconds; until: none is later."""
    days = np.floor(np.quantile(times, np.linspace(0.0, 1.0, _PARTS + 1)) / _DAY) * _DAY
    return {DAYS: days.tolist(), UNTIL: until}


def share_later(about: Mapping[str, Any], time: float) -> float | None:
    """The share of a version's training events after this time; None where it does not say."""
    days = about.get(DAYS)
    if not days:
        return None
    # Of equal days the last part counts: they all begin before the day is over.
    parts = np.searchsorted(np.array(days), time, side="right") / len(days)
    return float(1.0 - parts)


def trained_to(about: Mapping[str, Any]) -> float | None:
    """A time that every training event is before; None where a version does not say."""
    days, until = about.get(DAYS), about.get(UNTIL)
    end = days[-1] + _DAY if days else None
    return end if until is None else min(float(until), end or float(until))
