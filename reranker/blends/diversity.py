"""diversity.py: the order of the scores -> one whose first items are less alike.

Maximal marginal relevance (Carbonell and Goldstein, 1998): each place goes to the candidate with
the largest (1 - strength) x score - strength x likeness to the most alike item above it.
"""

from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Mask, Values

Order = npt.NDArray[np.int64]


class Diversity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """strength: 0 the scores alone, 1 likeness alone. depth: places that are reordered."""

    strength: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    depth: Annotated[int, msgspec.Meta(ge=2, le=500)] = 50


def diversified(
    diversity: Diversity,
    order: Order,
    scores: Values,
    vectors: npt.NDArray[np.float32],
    known: Mask,
) -> Order:
    """The new order; an item without a vector (n, d) is like no other. Scores count from 0 to 1."""
    top = order[: diversity.depth]
    if diversity.strength == 0 or len(top) < 2:
        return order
    low, high = scores[top].min(), scores[top].max()
    worth = (scores[top] - low) / (high - low) if high > low else np.zeros(len(top))
    near = np.where(known[top][:, None], vectors[top], 0.0)  # (depth, d)
    alike = np.zeros(len(top))
    left = np.ones(len(top), dtype=bool)
    chosen = []
    for _ in range(len(top)):
        gain = (1 - diversity.strength) * worth - diversity.strength * alike
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        left[best] = False
        chosen.append(best)
        alike = np.maximum(alike, near @ near[best])
    return np.concatenate([top[chosen], order[diversity.depth :]])
