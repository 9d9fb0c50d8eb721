"""inference.py: cases and a model -> user vectors, item vectors and ranks of what came."""

import numpy as np
import torch

from indexes.storage.arrays import Ints, Vectors
from reranker.training.batches import Cases, case_batches
from reranker.training.full_ranking import blocks, ranks
from reranker.training.model import Items, SequenceModel, numbers
from reranker.training.sequences import Sequences

_BATCH = 256
_ROWS = 1 << 16


@torch.no_grad()
def user_vectors(
    model: SequenceModel, items: Items, sequences: Sequences, cases: Cases, length: int
) -> Vectors:
    """A vector (n, d) for each case; 0 where nothing came before."""
    model.eval()
    found = np.zeros((len(cases), model.dimensions), np.float32)
    for some, batch in case_batches(sequences, cases, length, _BATCH):
        batch = batch.to(items.ids.device)
        found[some] = numbers(model(batch, items)[batch.last])
    return found


@torch.no_grad()
def item_vectors(model: SequenceModel, items: Items) -> Vectors:
    """Every item's vector (items, d)."""
    model.eval()
    rows = torch.arange(len(items), device=items.ids.device)
    parts = [rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS)]
    return np.concatenate([numbers(model.item_vectors(items, part)) for part in parts])


def model_ranks(
    model: SequenceModel,
    items: Items,
    sequences: Sequences,
    cases: Cases,
    length: int,
    mask_seen: bool,
) -> Ints:
    """The rank of each case's target among the whole catalogue.

    Without texts nothing is known of an item that training did not see: those rank last.
    """
    catalogue = item_vectors(model, items)
    users = user_vectors(model, items, sequences, cases, length)
    unknown = numbers(items.ids) == 0 if items.texts is None else None
    found = np.empty(len(cases), np.int64)
    for part in blocks(len(cases), len(items)):
        some = np.arange(part.start, part.stop)
        scores = users[some] @ catalogue.T
        if unknown is not None:
            scores[:, unknown] = -np.inf
        found[some] = ranks(scores, sequences, cases.some(some), mask_seen)
    return found
