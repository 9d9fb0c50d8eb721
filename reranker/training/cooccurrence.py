"""cooccurrence.py: which items are met near each other -> what item ids and texts begin with.

A table of ids that begins as noise spends its first epochs on who stands beside whom, which
counting tells at once: the singular vectors of the positive pointwise mutual information of items
met within a few events of each other (Levy and Goldberg 2014, "Neural Word Embedding as Implicit
Matrix Factorization"), by a randomised decomposition (Halko et al. 2011, arXiv:0909.4061).
"""

from typing import Final

import numpy as np
from scipy import sparse

from indexes.storage.arrays import Ints, Vectors

_APART: Final = 10  # events between two items that still count, each further one 1 / distance
_NEAR: Final = 3  # events between two whose texts are compared
_MOST_EVENTS: Final = 5_000_000  # the newest shoppers' are enough for a beginning
_SPARE: Final = 16  # directions beyond those that are wanted
_ROUNDS: Final = 4


def cooccurrence_vectors(
    items: Ints, owners: Ints, count: int, width: int, seed: int
) -> Vectors | None:
    """A vector (count, width) of each item, all numbers together of mean square 1.

    items (n,): numbers from 0 to count - 1 in the order of events, owners (n,): whose event it is.
    An item that stands near none is 0. None where no two stand near each other, or where there are
    not more items than numbers in a vector.
    """
    if count <= width:
        return None
    items, owners = items[-_MOST_EVENTS:], owners[-_MOST_EVENTS:]
    information = _mutual_information(_near(items, owners, count))
    if not information.nnz:
        return None
    vectors = _left_vectors(information, width, np.random.default_rng(seed))
    return np.asarray(vectors / np.sqrt((vectors**2).mean()), np.float32)


def shared_directions(texts: Vectors, rows: Ints, owners: Ints, width: int) -> Vectors:
    """The directions (width, d) in which the texts of what is met one after another agree most.

    texts (k, d), rows (n,): each event's among them, -1 for none, owners (n,): whose event it is.
    Eigenvectors of the sum of x y^T / distance over pairs at most three events apart. A text says
    much that no shopper goes by: each of these directions tells more than one drawn by chance.
    """
    rows, owners = rows[-_MOST_EVENTS:], owners[-_MOST_EVENTS:]
    shared = np.zeros((texts.shape[1],) * 2)
    for apart in range(1, _NEAR + 1):
        first, second = rows[:-apart], rows[apart:]
        both = (owners[apart:] == owners[:-apart]) & (first >= 0) & (second >= 0)
        pairs = sparse.csr_matrix(
            (np.ones(int(both.sum()), np.float32), (first[both], second[both])),
            shape=(len(texts), len(texts)),
        )
        shared += texts.T @ (pairs @ texts) / apart
    _, axes = np.linalg.eigh(shared + shared.T)
    return np.ascontiguousarray(axes[:, -width:].T, np.float32)


def _near(items: Ints, owners: Ints, count: int) -> sparse.csr_matrix:
    """How often two items (count, count) were met by one shopper near each other."""
    total = sparse.csr_matrix((count, count), dtype=np.float32)
    for apart in range(1, _APART + 1):
        same = owners[apart:] == owners[:-apart]
        first, second = items[:-apart][same], items[apart:][same]
        share = np.full(len(first), 1.0 / apart, np.float32)
        total += sparse.csr_matrix((share, (first, second)), shape=(count, count))
    return sparse.csr_matrix(total + total.T)


def _mutual_information(near: sparse.csr_matrix) -> sparse.csr_matrix:
    """log P(both) / P(one) P(other) where that is above 0. Rare neighbours count a little less."""
    pairs = near.tocoo()
    each = np.asarray(near.sum(axis=1), np.float64).ravel()
    smooth = each**0.75
    smooth *= each.sum() / max(smooth.sum(), 1e-12)
    expected = each[pairs.row] * smooth[pairs.col] / max(each.sum(), 1e-12)
    values = np.log(np.maximum(pairs.data / np.maximum(expected, 1e-12), 1.0))
    positive = values > 0
    kept = values[positive].astype(np.float32), (pairs.row[positive], pairs.col[positive])
    return sparse.csr_matrix(kept, near.shape)


def _left_vectors(matrix: sparse.csr_matrix, width: int, rng: np.random.Generator) -> Vectors:
    """Left singular vectors (n, width), each times the root of its singular value."""
    most = min(width + _SPARE, matrix.shape[0])
    start = rng.standard_normal((matrix.shape[1], most)).astype(np.float32)
    base, _ = np.linalg.qr(matrix @ start)
    for _ in range(_ROUNDS):
        base, _ = np.linalg.qr(matrix @ (matrix.T @ base))
    left, sizes, _ = np.linalg.svd((matrix.T @ base).T, full_matrices=False)
    return np.asarray((base @ left)[:, :width] * np.sqrt(sizes[:width]))
