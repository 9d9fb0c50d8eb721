"""action_inputs.py: sequences and a trained model -> what the action head reads, at chosen events.

The newest `length` events are read, as in serving.
"""

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Ints
from reranker.model.action_features import action_features
from reranker.training.batches import Cases
from reranker.training.inference import user_vectors
from reranker.training.model import Items, SequenceModel
from reranker.training.sequences import Sequences

Numbers = npt.NDArray[np.float32]


def plain_inputs(sequences: Sequences, positions: Ints, length: int, gap_minutes: float) -> Numbers:
    """Recency and counts after each of these events (n, d)."""
    begins = sequences.at[sequences.shoppers_at(positions)]
    kinds = len(sequences.weights)
    rows = [
        action_features(
            sequences.types[max(begin, place + 1 - length) : place + 1],
            sequences.times[max(begin, place + 1 - length) : place + 1],
            kinds,
            gap_minutes,
        )
        for begin, place in zip(begins.tolist(), positions.tolist(), strict=True)
    ]
    return np.stack(rows)


def model_inputs(
    plain: Numbers,
    model: SequenceModel,
    items: Items,
    sequences: Sequences,
    positions: Ints,
    length: int,
) -> Numbers:
    """User vectors right after each of these events, beside recency and counts (n, d + e)."""
    shoppers = sequences.shoppers_at(positions)
    nothing = np.zeros(len(positions), np.int64)
    cases = Cases(shoppers, positions + 1, sequences.times[positions], nothing)
    return np.concatenate([user_vectors(model, items, sequences, cases, length), plain], axis=1)
