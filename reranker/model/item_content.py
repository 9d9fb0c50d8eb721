"""item_content.py: an item's text vector and its other vectors -> its content part, without torch.

The content part is what is known of an item beside its id: one learned linear map a kind of vector,
added up, to length 1. An item without a picture, say, has the learned stand-in of one.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.whitening import Whitening, lengths, row_by_row
from indexes.storage.arrays import Mask, Rows, Vectors
from reranker.runtime.caches import RowMemo


class ItemContent(Protocol):
    """Rows (n,), -1 outside the index (queries among them), with their text vectors (n, w)."""

    def parts(self, rows: Rows, vectors: Vectors, /) -> Vectors:
        """Content parts (n, width), of length 1."""
        ...

    def along(self, direction: Vectors, rows: Rows, vectors: Vectors, /) -> Vectors:
        """Content parts . direction (width,), each row by itself (n,)."""
        ...


class TextContent:
    """Of texts alone: whitening and adaptor (width, w) are one linear map, and the length between
    them does not matter.

    rows: of the index.
    """

    def __init__(self, whitening: Whitening, adaptor: Vectors, rows: int) -> None:
        self._mean = whitening.mean
        self._map = np.ascontiguousarray(whitening.matrix @ adaptor.T)
        self._lengths = RowMemo(rows, self._lengths_of)

    def parts(self, _rows: Rows, vectors: Vectors, /) -> Vectors:
        projected = (vectors - self._mean) @ self._map
        return np.asarray(projected / lengths(projected)[:, None])

    def along(self, direction: Vectors, rows: Rows, vectors: Vectors, /) -> Vectors:
        """The direction is taken back to the text vectors' space, once, instead of every item."""
        towards = self._map @ direction
        # Not `@`: its rounding depends on a row's place.
        along = np.vecdot(vectors, towards) - self._mean @ towards
        return np.asarray(along / self._lengths(rows, vectors))

    def _lengths_of(self, _rows: Rows, vectors: Vectors) -> Vectors:
        return lengths(row_by_row(vectors - self._mean, self._map))


class ModalityContent:
    """One kind of vector: whitening, learned map (width, d) and stand-in (width,).

    vectors: of the index; None where it has none of the kind, so that every item lacks one.
    """

    def __init__(
        self,
        vectors: ModalityVectors | None,
        whitening: Whitening,
        weight: Vectors,
        stand_in: Vectors,
        rows: int,
    ) -> None:
        self._vectors, self._mean, self._stand_in = vectors, whitening.mean, stand_in
        self._map = np.ascontiguousarray(whitening.matrix @ weight.T)
        self._white_lengths = RowMemo(rows, lambda _rows, found: whitening.lengths(found))

    def of(self, rows: Rows) -> tuple[Vectors, Mask]:
        """What the kind adds to each row (n, width), and which rows have a vector (n,)."""
        parts = np.tile(self._stand_in, (len(rows), 1))
        vectors, known = self._found(rows)
        if known.any():
            white = row_by_row(vectors - self._mean, self._map)
            parts[known] = white / self._white_lengths(rows[known], vectors)[:, None]
        return parts, known

    def along(self, direction: Vectors, rows: Rows) -> Vectors:
        """What the kind adds to each row, . direction (n,)."""
        along = np.full(len(rows), self._stand_in @ direction, np.float32)
        vectors, known = self._found(rows)
        if known.any():
            towards = self._map @ direction
            nearness = np.vecdot(vectors, towards) - self._mean @ towards
            along[known] = nearness / self._white_lengths(rows[known], vectors)
        return along

    def _found(self, rows: Rows) -> tuple[Vectors, Mask]:
        """Vectors (k, d) of the rows that have one, and which these are (n,)."""
        if self._vectors is None:
            return np.empty((0, len(self._mean)), np.float32), np.zeros(len(rows), bool)
        vectors, known = self._vectors.rows(rows)
        return vectors[known], known


class MixedContent:
    """Of texts and other vectors, added up. white_lengths: of the texts, by row."""

    def __init__(
        self,
        whitening: Whitening,
        adaptor: Vectors,
        modalities: Sequence[ModalityContent],
        white_lengths: RowMemo,
        rows: int,
    ) -> None:
        self._mean = whitening.mean
        self._map = np.ascontiguousarray(whitening.matrix @ adaptor.T)
        self._modalities, self._white_lengths = modalities, white_lengths
        self._lengths = RowMemo(rows, lambda *of: lengths(self._sums(*of)))

    def parts(self, rows: Rows, vectors: Vectors, /) -> Vectors:
        sums = self._sums(rows, vectors)
        return np.asarray(sums / lengths(sums)[:, None])

    def along(self, direction: Vectors, rows: Rows, vectors: Vectors, /) -> Vectors:
        towards = self._map @ direction
        along = np.vecdot(vectors, towards) - self._mean @ towards
        along = along / self._white_lengths(rows, vectors)
        for modality in self._modalities:
            along = along + modality.along(direction, rows)
        return np.asarray(along / self._lengths(rows, vectors))

    def _sums(self, rows: Rows, vectors: Vectors) -> Vectors:
        sums = row_by_row(vectors - self._mean, self._map)
        sums = sums / self._white_lengths(rows, vectors)[:, None]
        for modality in self._modalities:
            sums = sums + modality.of(rows)[0]
        return np.asarray(sums)
