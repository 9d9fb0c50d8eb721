"""inference.py: cases and a model -> user vectors, item vectors and ranks of what came."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from indexes.storage.arrays import Ints, Vectors
from reranker.model.card import NONE
from reranker.training.batches import Cases, case_batches, flat_places
from reranker.training.model import Items, SequenceModel, numbers
from reranker.training.sequences import Sequences

Scores = npt.NDArray[np.float32]
_CELLS: Final = 1 << 24  # scores held in memory at a time
TOP: Final = 10

_TENTHS: Final = (0, 3, 6)  # of the known items, each in turn taken for new ones
_TRIED: Final = tuple(1.0 + 0.125 * step for step in range(17))
_TRIED_CELLS: Final = 1 << 28

_BATCH = 256
_ROWS = 1 << 16


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


@torch.no_grad()
def user_vectors(
    model: SequenceModel, items: Items, sequences: Sequences, cases: Cases, length: int
) -> Vectors:
    """A vector (n, d) for each case; 0 where nothing came before."""
    model.eval()
    vectors = np.zeros((len(cases), model.dimensions), np.float32)
    for chosen, batch in case_batches(sequences, cases, length, _BATCH):
        batch = batch.to(items.ids.device)
        vectors[chosen] = numbers(model(batch, items)[batch.last])
    return vectors


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
    target_ranks = np.empty(len(cases), np.int64)
    for part in blocks(len(cases), len(items)):
        chosen = np.arange(part.start, part.stop)
        scores = users[chosen] @ catalogue.T
        if unknown is not None:
            scores[:, unknown] = -np.inf
        target_ranks[chosen] = ranks(scores, sequences, cases.of(chosen), mask_seen)
    return target_ranks


def new_content_weight(
    model: SequenceModel,
    items: Items,
    sequences: Sequences,
    cases: Cases,
    length: int,
    mask_seen: bool,
) -> float:
    """How often the content part of an item without an id has to count, beside known items.

    A tenth of the known items are taken for new ones: the weight with which these cases have the
    best NDCG@10, over three such tenths. 1 where nothing is gained.
    """
    cases = cases.of(np.arange(min(len(cases), max(1, _TRIED_CELLS // len(items)))))
    width = model.dimensions - model.item_ids.embedding_dim
    catalogue = item_vectors(model, items)
    users = user_vectors(model, items, sequences, cases, length)
    ids = numbers(items.ids)
    worth = np.zeros(len(_TRIED))
    for part in blocks(len(cases), len(items)):
        some = cases.of(np.arange(part.start, part.stop))
        content = users[part, :width] @ catalogue[:, :width].T
        both = content + users[part, width:] @ catalogue[:, width:].T
        for tenth in _TENTHS:
            new = (ids == 0) | (ids % 10 == tenth)
            for place, weight in enumerate(_TRIED):
                scores = np.where(new, np.float32(weight) * content, both)
                worth[place] += ndcg_at_10(ranks(scores, sequences, some, mask_seen)).sum()
    return _TRIED[int(np.argmax(worth))]
