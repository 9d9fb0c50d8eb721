"""time_buckets.py: seconds -> buckets of their binary logarithm.

A minute and an hour differ, ten and eleven days do not.
"""

import math
from typing import Final

import numpy as np

from indexes.storage.arrays import Floats, Ints

BUCKETS: Final = 34  # 0: no time to compare with; 1 + log2(1 + seconds), up to 272 years


def bucket(seconds: Floats) -> Ints:
    """From 1 on; equal times, and events out of order, are 1."""
    logs: Ints = np.log2(1.0 + np.maximum(seconds, 0.0)).astype(np.int64)
    return 1 + logs.clip(max=BUCKETS - 2)


def bucket_of(seconds: float) -> int:
    """`bucket` of one number."""
    return 1 + min(int(math.log2(1.0 + max(seconds, 0.0))), BUCKETS - 2)
