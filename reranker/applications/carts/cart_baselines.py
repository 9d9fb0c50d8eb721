"""cart_baselines.py: baskets -> plain models of carts that the served blend has to beat.

Each takes a case and gives a score for every item (m,). None uses a basket after its training.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import sparse

from indexes.storage.arrays import Floats, Ints
from reranker.applications.carts.baskets import Baskets
from reranker.applications.carts.cart_counts import DENSE_ITEMS, RIDGE, ease_weights
from reranker.applications.carts.cart_fitting import Case

Score = Callable[[Case], Floats]
TIFU_NEIGHBOURS: Final = 300
TIFU_OWN: Final = 0.3  # the share of the shopper's own vector; the rest is the neighbours'
_IN_GROUP, _OF_GROUPS, _GROUPS = 0.9, 0.7, 7


def cart_baselines(baskets: Baskets, items: int) -> dict[str, Score]:
    """By name; `ease` only where its matrix fits the memory."""
    held = sparse.csr_matrix(
        (np.ones(len(baskets.items)), baskets.items, baskets.at), shape=(len(baskets), items)
    )
    counts = np.bincount(baskets.items, minlength=items).astype(np.float64)
    scores: dict[str, Score] = {
        "popularity": lambda case: counts,
        "personal-frequency": lambda case: _personal(case, counts),
        "item-cosine": _item_cosine(held, counts),
        "tifu-knn": _tifu_knn(baskets, items),
    }
    if items <= DENSE_ITEMS:
        weights = ease_weights(held, RIDGE)
        scores["ease-full"] = lambda case: np.asarray(weights[case.cart].sum(axis=0))
    return scores


def _personal(case: Case, counts: Floats) -> Floats:
    """How many of the shopper's baskets hold it; equal ones by how often everyone buys it."""
    scores: Floats = np.asarray(counts / (counts.max() + 1.0), np.float64)
    for basket in case.past:
        scores[basket] += 1.0
    return scores


def _item_cosine(held: sparse.csr_matrix, counts: Floats) -> Score:
    """Sum over the cart of baskets with both / sqrt(baskets with one x with the other)."""
    scaled = held @ sparse.diags(1.0 / np.sqrt(np.maximum(counts, 1.0)))
    near = (scaled.T @ scaled).tocsr()
    near.setdiag(0)
    return lambda case: np.asarray(near[case.cart].sum(axis=0), np.float64).ravel()


def tifu_vector(past: list[Ints], items: int) -> Floats:
    """TIFU-KNN's vector of a shopper's baskets, oldest first (Hu et al. 2020, arXiv:2006.00556).

    Baskets stand in groups of equal size; each counts _IN_GROUP of the one after it in its group,
    each group's mean _OF_GROUPS of the one after it, over the number of groups.
    """
    vector = np.zeros(items)
    size = -(-len(past) // _GROUPS)
    groups = [past[max(end - size, 0) : end] for end in range(len(past), 0, -size)] if past else []
    for age, group in enumerate(groups):  # the newest first
        for back, basket in enumerate(reversed(group)):
            vector[basket] += _OF_GROUPS**age * _IN_GROUP**back / len(group) / len(groups)
    return vector


def _tifu_knn(baskets: Baskets, items: int) -> Score:
    """The shopper's own vector, and the mean of those of the shoppers nearest to it."""
    begin = np.append(np.unique(baskets.shoppers, return_index=True)[1], len(baskets))
    shoppers = baskets.shoppers[begin[:-1]].tolist()
    every = sparse.csr_matrix(
        np.stack(
            [
                tifu_vector([baskets[at] for at in range(first, end)], items).astype(np.float32)
                for first, end in zip(begin[:-1].tolist(), begin[1:].tolist(), strict=True)
            ]
        )
    )
    squares = np.asarray(every.multiply(every).sum(axis=1)).ravel()
    number = {shopper: at for at, shopper in enumerate(shoppers)}

    def score(case: Case) -> Floats:
        own = tifu_vector(case.past or [case.cart], items)
        distances = squares - 2.0 * (every @ own)
        if case.shopper in number:
            distances[number[case.shopper]] = np.inf
        k = min(TIFU_NEIGHBOURS, len(distances) - 1)
        if k < 1:
            return own
        nearest = np.argpartition(distances, k)[:k]
        around = np.asarray(every[nearest].mean(axis=0)).ravel()
        return np.asarray(TIFU_OWN * own + (1.0 - TIFU_OWN) * around)

    return score
