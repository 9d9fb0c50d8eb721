"""How much of a catalogue is shown, and how evenly."""

import numpy as np
import pytest

from reranker.metrics.coverage import coverage, gini


@pytest.mark.parametrize(
    ("shown", "share", "uneven"),
    [
        ([1, 1, 1, 1], 1.0, 0.0),
        ([0, 0, 0, 8], 0.25, 0.75),
        ([0, 0, 0, 0], 0.0, 0.0),
        ([1, 3], 1.0, 0.25),
    ],
)
def test_share_and_gini(shown: list[int], share: float, uneven: float) -> None:
    counts = np.array(shown, np.float64)
    assert coverage(counts) == share and gini(counts) == pytest.approx(uneven)
