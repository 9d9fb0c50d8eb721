"""cart_counts.py: baskets -> decayed co-purchases, EASE's weights and shelves' lifts, as served.

What too few shoppers did is left out, numbers are rounded: they must not tell of one shopper.
"""

from typing import Any, Final

import numpy as np
from scipy import sparse

from indexes.storage.arrays import Floats, Ints
from reranker.applications.carts.baskets import Baskets
from reranker.applications.carts.cart_model import NEIGHBOURS, CartCounts
from reranker.training.item_statistics import days, rounded

HALF_LIFE_DAYS: Final = 180.0
DENSE_ITEMS: Final = 12_000  # EASE inverts a matrix of the most bought so many, squared
RIDGE: Final = 200.0
_DIGITS: Final = 7
_PAIRS: Final = 4_000_000  # held at a time while shoppers are counted
_LARGEST: Final = 200  # items of one basket whose pairs are counted: a reseller's list says little


def count_baskets(
    baskets: Baskets, shelves: Ints, least_together: int = 1, ridge: float = RIDGE
) -> CartCounts:
    """baskets: items 0..m - 1, each bought by enough shoppers. shelves (m,): their categories."""
    items = len(shelves)
    held = _matrix(baskets, items)
    ages = days(baskets.times).max(initial=0) - days(baskets.times)
    worth = np.exp2(-ages / HALF_LIFE_DAYS)
    counts = np.asarray(held.T @ worth).ravel()
    small = np.flatnonzero(np.diff(baskets.at) <= _LARGEST)
    few, decayed = held[small], worth[small]
    pairs = (few.T @ sparse.diags(decayed) @ few).tocsr()
    pairs.setdiag(0)
    together = _met_together(baskets, items, least_together)
    if together is not None:
        pairs = pairs.multiply(together).tocsr()
    pairs.eliminate_zeros()
    near = _strongest(pairs, _cosines(pairs, counts))
    weights = _ease(few, together, ridge)
    return CartCounts(
        at=near.indptr.astype(np.int64),
        near=near.indices.astype(np.int32),
        pairs=rounded(near.data, _DIGITS).astype(np.float32),
        ease_at=weights.indptr.astype(np.int64),
        ease_near=weights.indices.astype(np.int32),
        ease=rounded(weights.data, _DIGITS).astype(np.float32),
        counts=rounded(counts, _DIGITS).astype(np.float32),
        shelves=shelves.astype(np.int32),
        total=float(rounded(np.array([worth.sum()]), _DIGITS)[0]),
    )


def ease_weights(held: sparse.csr_matrix, ridge: float) -> Floats:
    """EASE (Steck 2019) of baskets x items: the linear map to items, its diagonal held at 0."""
    gram = np.asarray((held.T @ held).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)


def same_shelf_lifts(baskets: Baskets, shelves: Ints) -> dict[int, float]:
    """By category: how often two items of it are in one basket, against chance.

    Chance: two different items of a basket are drawn from all that were bought. Plus 1 on both
    sides: few pairs say little.
    """
    owner, shelf = baskets.owner, shelves[baskets.items]
    sizes = np.diff(baskets.at)
    most = int(shelves.max(initial=0)) + 1
    of_item = np.bincount(baskets.items, minlength=len(shelves)) / max(len(baskets.items), 1)
    share = np.bincount(shelves, of_item, most)
    alike = np.bincount(shelves, of_item**2, most)  # an item is in a basket once
    chance = (share**2 - alike) / max(1.0 - alike.sum(), 1e-9)
    every_pair = float((sizes * (sizes - 1) / 2).sum())
    key, of_one = np.unique(owner * most + shelf, return_counts=True)
    seen = np.bincount(key % most, of_one * (of_one - 1) / 2, minlength=most)
    lifts = (seen + 1) / (every_pair * chance + 1)
    return {at: float(lifts[at]) for at in range(1, most) if share[at] > 0}


def _matrix(baskets: Baskets, items: int) -> sparse.csr_matrix:
    ones = np.ones(len(baskets.items))
    return sparse.csr_matrix((ones, baskets.items, baskets.at), shape=(len(baskets), items))


def _met_together(baskets: Baskets, items: int, least: int) -> sparse.csr_matrix | None:
    """1 for two items that so many different shoppers had in one basket; None: any will do."""
    if least <= 1:
        return None
    held = _matrix(baskets, items)
    met = sparse.csr_matrix((items, items))
    begin = np.append(np.unique(baskets.shoppers, return_index=True)[1], len(baskets))
    waiting: list[Ints] = []
    for first, end in zip(begin[:-1].tolist(), begin[1:].tolist(), strict=True):
        own = held[first:end]
        pairs = (own.T @ own).tocoo()  # of one shopper: each pair once
        waiting.append(pairs.row.astype(np.int64) * items + pairs.col)
        if sum(map(len, waiting)) > _PAIRS or end == len(baskets):
            keys, shoppers = np.unique(np.concatenate(waiting), return_counts=True)
            shape = (items, items)
            met = met + sparse.csr_matrix((shoppers, (keys // items, keys % items)), shape=shape)
            waiting = []
    return (met >= least).astype(np.float64).tocsr()


def _ease(held: sparse.csr_matrix, together: sparse.csr_matrix | None, ridge: float) -> Any:
    """The strongest positive weights of each item, among the DENSE_ITEMS that are bought most."""
    items = held.shape[1]
    most = np.argsort(-np.asarray(held.sum(axis=0)).ravel(), kind="stable")[:DENSE_ITEMS]
    most = np.sort(most)
    weights = ease_weights(held[:, most], ridge)
    if together is not None:
        weights = weights * together[most][:, most].toarray()
    np.maximum(weights, 0.0, out=weights)
    if len(most) > NEIGHBOURS:
        least = np.partition(weights, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
        weights[weights < least[:, None]] = 0.0
    kept = sparse.coo_matrix(weights)
    placed: Any = sparse.csr_matrix(
        (kept.data, (most[kept.row], most[kept.col])), shape=(items, items)
    )
    return placed


def _cosines(pairs: sparse.csr_matrix, counts: Floats) -> Floats:
    rows = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    return np.asarray(pairs.data / np.sqrt(np.maximum(counts[rows] * counts[pairs.indices], 1e-9)))


def _strongest(matrix: sparse.csr_matrix, strength: Floats) -> sparse.csr_matrix:
    """The same with the NEIGHBOURS strongest of each row."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-strength, rows))
    place = np.arange(len(order)) - matrix.indptr[rows[order]]
    stay = np.sort(order[place < NEIGHBOURS])
    cut: Any = sparse.csr_matrix(
        (matrix.data[stay], (rows[stay], matrix.indices[stay])), shape=matrix.shape
    )
    return cut.tocsr()
