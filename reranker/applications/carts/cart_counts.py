"""cart_counts.py: baskets -> decayed co-purchases, EASE's weights and shelves' lifts, as served.

What too few shoppers did is left out, numbers are rounded: they must not tell of one shopper.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, lapack
from scipy.sparse.csgraph import connected_components

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
    gram = (held.T @ held).toarray().astype(np.float64, copy=False)
    gram[np.diag_indices_from(gram)] += ridge
    # Symmetric and positive: half the work of a general inverse. Only one triangle is filled.
    factor, _ = cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False)
    weights = np.tril(lapack.dpotri(factor, lower=True, overwrite_c=True)[0])
    weights += np.tril(weights, -1).T
    weights /= -np.diag(weights).copy()
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
    met = sparse.csr_matrix((items, items))
    for first, end in _stretches(baskets):
        pairs = _pairs_once(baskets.where(np.arange(first, end)), items)
        met = met + sparse.csr_matrix(
            (np.ones(len(pairs)), (pairs // items, pairs % items)), shape=(items, items)
        )
    return (met + met.T >= least).astype(np.float64).tocsr()


def _stretches(baskets: Baskets) -> Iterator[tuple[int, int]]:
    """Baskets from the first to the end, shoppers whole, of about _PAIRS pairs each."""
    sizes = np.diff(baskets.at)
    before = np.append(0, np.cumsum(sizes * (sizes - 1) // 2))
    shopper_at = np.append(np.unique(baskets.shoppers, return_index=True)[1], len(baskets))
    first = 0
    while first < len(baskets):
        most = int(np.searchsorted(before, before[first] + _PAIRS, side="right")) - 1
        place = int(np.searchsorted(shopper_at, most, side="right")) - 1
        end = max(int(shopper_at[place]), int(shopper_at[shopper_at > first][0]))
        yield first, end
        first = end


def _pairs_once(baskets: Baskets, items: int) -> Ints:
    """Two items of one basket as lower * items + higher (p,), of each shopper once."""
    behind = np.repeat(baskets.at[1:], np.diff(baskets.at)) - np.arange(len(baskets.items)) - 1
    one = np.repeat(np.arange(len(baskets.items)), behind)
    first_of = np.repeat(np.cumsum(behind) - behind, behind)
    other = one + 1 + np.arange(len(one)) - first_of
    left, right = baskets.items[one], baskets.items[other]
    keys = np.minimum(left, right).astype(np.int64) * items + np.maximum(left, right)
    distinct, place = np.unique(keys, return_inverse=True)
    # Numbered closely first: shopper x items x items may be more than 64 bits hold.
    shopper = np.unique(baskets.shoppers, return_inverse=True)[1][baskets.owner[one]]
    once = np.unique(shopper.astype(np.int64) * max(len(distinct), 1) + place)
    return np.asarray(distinct[once % max(len(distinct), 1)])


def _ease(held: sparse.csr_matrix, together: sparse.csr_matrix | None, ridge: float) -> Any:
    """The strongest positive weights of each item, among the DENSE_ITEMS that are bought most.

    Items that no chain of baskets connects have no weight for each other: each connected component
    is inverted alone.
    """
    items = held.shape[1]
    most = np.argsort(-np.asarray(held.sum(axis=0)).ravel(), kind="stable")[:DENSE_ITEMS]
    most = np.sort(most)
    bought = held[:, most].tocsc()
    parts = [sparse.coo_matrix((items, items))]
    for group in _connected(bought):
        columns = most[group]
        weights = ease_weights(bought[:, group], ridge)
        if together is not None:
            weights *= together[columns][:, columns].toarray()
        np.maximum(weights, 0.0, out=weights)
        if len(columns) > NEIGHBOURS:
            least = np.partition(weights, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
            weights[weights < least[:, None]] = 0.0
        strong = sparse.coo_matrix(weights)
        parts.append(
            sparse.coo_matrix(
                (strong.data, (columns[strong.row], columns[strong.col])), shape=(items, items)
            )
        )
    data, rows, cols = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "row", "col")
    )
    return sparse.csr_matrix((data, (rows, cols)), shape=(items, items))


def _connected(held: sparse.csc_matrix) -> Iterator[Ints]:
    """The columns of each connected component of two or more, by who is in one basket."""
    count, label = connected_components(held.T @ held, directed=False)
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label, minlength=count))
    yield from (group for group in np.split(order, ends[:-1]) if len(group) > 1)


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
