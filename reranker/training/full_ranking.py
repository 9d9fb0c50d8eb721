"""full_ranking.py: affinities to the whole catalogue -> the rank of the item that came."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Ints
from reranker.model.card import NONE
from reranker.training.batches import Cases, flat_places
from reranker.training.sequences import Sequences

Scores = npt.NDArray[np.float32]
_CELLS: Final = 1 << 24  # scores held in memory at a time
TOP: Final = 10


def blocks(cases: int, items: int) -> Iterator[slice]:
    """Cases in stretches whose scores fit the memory."""
    step = max(1, _CELLS // max(items, 1))
    for first in range(0, cases, step):
        yield slice(first, min(first + step, cases))


def ranks(scores: Scores, sequences: Sequences, cases: Cases, mask_seen: bool) -> Ints:
    """From 1; equal scores count against. scores (n, items) are changed.

    mask_seen: items of the case's history go last, as published leave-one-out figures have it.
    """
    if mask_seen:
        begin = sequences.at[cases.shoppers]
        owner = np.repeat(np.arange(len(cases)), cases.stops - begin)
        seen = sequences.items[flat_places(begin, cases.stops)]
        scores[owner[seen != NONE], seen[seen != NONE]] = -np.inf
    own = scores[np.arange(len(cases)), cases.targets]
    return np.asarray(np.count_nonzero(scores >= own[:, None], axis=1), dtype=np.int64)


def ndcg_at_10(ranks: Ints) -> npt.NDArray[np.float64]:
    """One relevant item, so the ideal is 1."""
    return np.where(ranks <= TOP, 1.0 / np.log2(ranks + 1.0), 0.0)
