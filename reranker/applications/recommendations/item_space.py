"""item_space.py: an index and what was learned -> item vectors in which a shopper is a vector, too.

With an encoder these are its own, text and id parts together: user vector . item vector is the log
odds of being next. Without one they are the whitened text vectors, or the text vectors as they are
where nothing was learned, and a shopper is the mean of the items met.
"""

from collections.abc import Callable
from typing import Any, Final

import faiss
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Mask, Rows, Vectors
from reranker.model.served_model import ServedModel
from reranker.runtime.caches import QueryVectors
from reranker.signals.user_history import UserHistory

EXACT: Final = 50_000  # items up to which each is compared
_BLOCK: Final = 16_384  # items that are read at once
_PER_LIST: Final = 1000  # items of a list of the inverted file
_PROBES: Final = 24  # lists that are looked into
_SAMPLE: Final = 40  # items a list from which the lists are learned


class ItemSpace:
    """d: length of its vectors. Safe between threads once it is built."""

    def __init__(self, index: ItemIndex, model: ServedModel | None) -> None:
        self.index, self.model = index, model
        self.has_encoder = model is not None and model.has_encoder
        self._vectors = NearestVectors(len(index), self.item_vectors)

    def item_vectors(self, rows: Rows) -> Vectors:
        """Vectors (n, d) of rows (n,) of the index."""
        vectors = self.index.vectors(rows)
        if self.model is None:
            return vectors
        if self.has_encoder:
            return self.model.item_vectors(rows, vectors)
        return self.model.whitening(vectors)

    def user_vector(
        self, history: UserHistory, now: float, query_vectors: QueryVectors
    ) -> Vectors | None:
        """The vector (d,) of a shopper; None where nothing of the history has one."""
        if self.has_encoder:
            return history.profile.user_vector("", now, query_vectors)
        rows = history.rows[:_RECENT]
        if not len(rows):
            return None
        return np.asarray(history.profile.worth[: len(rows)] @ self.item_vectors(rows), np.float32)

    def nearest(self, vectors: Vectors, k: int, allowed: Mask | None = None) -> tuple[Any, Rows]:
        """As `NearestVectors.nearest`, of rows of the index."""
        return self._vectors.nearest(vectors, k, allowed)


class NearestVectors:
    """The nearest of so many vectors, which are read once, some thousand at a time."""

    def __init__(self, count: int, read: Callable[[Rows], Vectors]) -> None:
        self._count, self._exact = count, count <= EXACT
        self._faiss = self._built(read)

    def nearest(self, vectors: Vectors, k: int, allowed: Mask | None = None) -> tuple[Any, Rows]:
        """Inner products (n, k) with the nearest and their places, best first; -1 for none.

        allowed (count,): those that may be named.
        """
        search = faiss.SearchParameters if self._exact else faiss.SearchParametersIVF
        options: dict[str, Any] = {} if self._exact else {"nprobe": _PROBES}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        return self._faiss.search(  # type: ignore[no-any-return]
            np.ascontiguousarray(vectors, np.float32),
            min(k, self._count),
            params=search(**options),
        )

    def _built(self, read: Callable[[Rows], Vectors]) -> Any:
        count = self._count
        d = read(np.arange(min(1, count))).shape[1]
        if self._exact:
            index: Any = faiss.IndexFlatIP(d)
        else:
            lists = count // _PER_LIST
            index = faiss.index_factory(d, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
            sample = np.linspace(0, count - 1, min(count, lists * _SAMPLE)).astype(np.int64)
            index.train(read(sample))
        for start in range(0, count, _BLOCK):
            index.add(read(np.arange(start, min(start + _BLOCK, count))))
        return index


_RECENT: Final = 20  # items met that are the shopper's mean
