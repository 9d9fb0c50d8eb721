"""vectors.py: the files of one modality of a version -> vectors by row, and which rows have one.

vectors.f16   (k, d) float16, of length 1, in the order in which they came
places.npy    (items,) int32: where each row's vector is; -1: the item has none
lengths.npy   (k,) float32: how long each is once whitened
mean.npy      (d,), matrix.npy (d, d): the whitening, learned from these vectors
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexes.cached import lazily
from indexes.errors import Failure
from indexes.kernels import kernels
from indexes.modalities.entries import Entry, entries_of, modality_folder
from indexes.modalities.whitening import Whitening
from indexes.storage import arrays
from indexes.storage.arrays import Mask, Rows, Vectors
from indexes.storage.row_vectors import RowVectors

VECTORS: Final = "vectors.f16"
PLACES: Final = "places.npy"
LENGTHS: Final = "lengths.npy"
MEAN: Final = "mean.npy"
MATRIX: Final = "matrix.npy"
FILES: Final = (VECTORS, PLACES, LENGTHS, MEAN, MATRIX)
_DIRECTIONS: Final = 8192  # items met of which one is kept
_CHUNK: Final = 16_384
_SAMPLE: Final = 512  # items that say how far apart inner products lie
_LEAST_SPREAD: Final = 1e-3  # what float16 leaves of equal vectors is below it


class ModalityVectors:
    """One modality of one version, mapped: items that have no vector are a mask, never zeros.

    dimensions: d. covered: how many items have a vector. made_of: what the vectors came from.
    """

    def __init__(self, folder: Path, name: str, entry: Entry) -> None:
        self.folder, self.name = folder, name
        self.dimensions, self.covered = entry.dimensions, entry.items
        self.weight, self.made_of = entry.weight, entry.made_of
        self._places: npt.NDArray[np.int32] = arrays.load(folder / PLACES)
        self._lengths: npt.NDArray[np.float32] = arrays.load(folder / LENGTHS)
        halves = np.asarray(np.memmap(folder / VECTORS, dtype=np.float16, mode="r"))
        self._vectors = halves.view(np.ndarray).reshape(-1, self.dimensions)
        if len(self._vectors) != self.covered:
            raise Failure(
                f"{folder / VECTORS} holds {len(self._vectors)} vectors for {self.covered} items.",
                hint="Run `reranker rebuild` again.",
            )
        self._towards = RowVectors(_DIRECTIONS, self.dimensions, self._directions)

    @lazily
    def whitening(self) -> Whitening:
        """The whitening that was learned from these vectors."""
        return Whitening(arrays.load(self.folder / MEAN), arrays.load(self.folder / MATRIX))

    def known(self, rows: Rows) -> Mask:
        """Which of rows (n,) have a vector; -1, outside the index, has none."""
        return self._at(rows) >= 0

    def rows(self, rows: Rows) -> tuple[Vectors, Mask]:
        """Vectors (n, d) of length 1, to three digits, and which of rows (n,) have one.

        What stands in the other rows means nothing.
        """
        places = self._at(rows)
        return self._vectors[np.maximum(places, 0)].astype(np.float32), places >= 0

    def white_lengths(self, rows: Rows) -> Vectors:
        """How long the vectors of rows (n,) are once whitened; 1 where there is none."""
        places = self._at(rows)
        found = self._lengths[np.maximum(places, 0)]
        return np.where(places >= 0, found, np.float32(1.0)).astype(np.float32)

    def towards(self, rows: Rows) -> tuple[Vectors, Vectors]:
        """A (h, d) and b (h,) of rows (h,) that all have a vector: x @ A.T - b, over x's whitened
        length, is x's cosine with each of these items."""
        kept = self._towards(rows)
        return kept.table[kept.places], kept.numbers[kept.places]

    def spread(self, vector: Vectors) -> tuple[float, float]:
        """Of the inner products of a vector (d,) with the catalogue's: their median, and how far
        apart the 5 % and the 95 % quantile are. By evenly spread items."""
        low, median, high = np.quantile(self._sample @ vector, (0.05, 0.5, 0.95)).tolist()
        return median, max(high - low, _LEAST_SPREAD)

    @lazily
    def _sample(self) -> Vectors:
        spread = np.linspace(0, self.covered - 1, min(_SAMPLE, self.covered)).astype(np.int64)
        return self._vectors[spread].astype(np.float32)

    def stored(self) -> Iterator[tuple[Rows, Vectors]]:
        """Every row that has a vector, with it: (m,) and (m, d), some thousand at a time."""
        rows = np.flatnonzero(self._places >= 0)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            yield part, self.rows(part)[0]

    def _directions(self, rows: Rows) -> tuple[Vectors, Vectors]:
        towards = self.whitening.towards(self.rows(rows)[0])
        return towards, kernels.dots(towards, self.whitening.mean[None])[:, 0]

    def _at(self, rows: Rows) -> npt.NDArray[np.int32]:
        return np.where(rows >= 0, self._places[rows], np.int32(-1))


def open_modalities(version: Path, about: Mapping[str, Any]) -> dict[str, ModalityVectors]:
    """Every modality of a version, by name, in the order in which the manifest has them."""
    return {
        name: ModalityVectors(modality_folder(version, name), name, entry)
        for name, entry in sorted(entries_of(about).items())
    }
