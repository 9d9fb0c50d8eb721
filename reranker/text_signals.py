"""text_signals.py: the query's meaning against each item's."""

import numpy as np

from reranker.columns import Column, Missing, indexed_only
from reranker.scenes import Scene


def semantic(scene: Scene) -> Column | Missing:
    """Cosine of query vector and item vector, both of length 1."""
    if not scene.query:
        return Missing("no_query")
    vectors, known = scene.item_vectors
    if not known.any():
        return Missing("not_in_index")
    # Not `@`: its rounding depends on a row's place, and minmax would stretch that to a difference
    # between items of the same text.
    cosines = np.vecdot(vectors, scene.query_vectors.query(scene.query)).astype(np.float64)
    return indexed_only(cosines, known)
