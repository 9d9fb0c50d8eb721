"""candidates.py: queries -> items that compete for them: by their words, and by their vectors."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from indexes.encoders.text_encoder import TextEncoder
from indexes.items.index import ItemIndex
from indexes.progress import Progress, silent
from indexes.storage.arrays import Rows
from reranker.tuning.lexical_engine import LexicalEngine

LISTED: Final = 50  # items that words find
_NEAREST: Final = 10  # items that the encoder puts first of all: the hardest to tell apart
_TOGETHER: Final = 256  # queries


class Candidates:
    """encoder: with which the index was made; None: words alone."""

    def __init__(
        self, index: ItemIndex, encoder: TextEncoder | None = None, progress: Progress = silent
    ) -> None:
        self._index, self._encoder, self._progress = index, encoder, progress
        self._engine = LexicalEngine(index)
        if encoder is not None and encoder.fingerprint != index.fingerprint:
            self._encoder = None

    def of(self, queries: Sequence[str]) -> list[Rows]:
        """Rows (n,) of each query, those of the words first; one may stand in twice."""
        found: list[Rows] = []
        with self._progress("queries", len(queries)) as done:
            for at in range(0, len(queries), _TOGETHER):
                asked = queries[at : at + _TOGETHER]
                nearest = self._nearest(asked)
                for query, near in zip(asked, nearest, strict=True):
                    listed, _ = self._engine.search(query, LISTED)
                    found.append(np.concatenate([listed, near]))
                done(len(asked))
        return found

    def _nearest(self, queries: Sequence[str]) -> list[Rows]:
        if self._encoder is None:
            return [np.zeros(0, np.int64)] * len(queries)
        vectors = self._encoder.encode_queries(queries)
        return [
            self._index.rows([item for item, _ in near])
            for near in self._index.neighbours(vectors, _NEAREST)
        ]
