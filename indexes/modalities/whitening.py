"""whitening.py: vectors of a catalogue -> the linear map after which near means alike."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexes.kernels import kernels
from indexes.storage.arrays import Vectors

_SAMPLE: Final = 200_000
_FLOOR: Final = 1e-3  # directions with less than this share of the largest spread are only noise


class Whitening:
    """x -> (x - mean) @ matrix, to length 1. mean (d,), matrix (d, d).

    Vectors of text models lie in a narrow cone: unrelated items look alike until the mean is taken
    off and each direction is scaled to the same spread (Su et al. 2021, arXiv:2103.15316). How much
    a direction spreads is only estimated, from n items in d dimensions, and the relative error
    grows with d / n (Marchenko and Pastur 1967). So whitening is shrunk towards none, as a
    James-Stein estimate is: each direction counts spread ** (-strength / 2), where strength =
    1 / (1 + (d / n)^2).
    """

    def __init__(self, mean: Vectors, matrix: Vectors) -> None:
        self.mean, self.matrix = mean, np.ascontiguousarray(matrix)
        self._across = np.ascontiguousarray(matrix.T)

    @classmethod
    def of(cls, vectors: Vectors) -> "Whitening":
        """Learned from the catalogue's own vectors (n, d).

        Of a catalogue smaller than d little more than the mean is taken off; of ten times d items
        each direction counts as good as the same.
        """
        sample = vectors[:: 1 + len(vectors) // _SAMPLE].astype(np.float64)
        mean = sample.mean(axis=0)
        spread, axes = np.linalg.eigh(np.cov(sample - mean, rowvar=False, bias=True))
        floor = max(float(spread.max()) * _FLOOR, 1e-12)
        strength = 1.0 / (1.0 + (sample.shape[1] / len(sample)) ** 2)
        matrix = axes * np.maximum(spread, floor) ** (-strength / 2)
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def __call__(self, vectors: Vectors) -> Vectors:
        """Whitened vectors (n, d) of length 1."""
        white = (vectors - self.mean) @ self.matrix
        return np.asarray(white / lengths(white)[:, None], dtype=np.float32)

    def lengths(self, vectors: Vectors) -> Vectors:
        """How long vectors (n, d) are once whitened (n,)."""
        return lengths(row_by_row(vectors - self.mean, self.matrix))

    def towards(self, vectors: Vectors) -> Vectors:
        """A (h, d): (x - mean) @ A.T, over x's whitened length, is x's cosine with each vector.

        With it many x are compared with few vectors without whitening the many. Each row by itself.
        """
        white = kernels.dots(vectors - self.mean, self._across)
        return kernels.dots(white / lengths(white)[:, None], self.matrix)


def row_by_row(vectors: Vectors, matrix: Vectors) -> Vectors:
    """vectors (n, d) @ matrix (d, k), each row by itself.

    The rounding of a plain product depends on how many rows there are and which of them a row is;
    what is kept of a row must not depend on those that it was worked out with.
    """
    return np.asarray(np.matmul(vectors[:, None, :], matrix)[:, 0])


def lengths(white: npt.NDArray[Any]) -> Vectors:
    """Of vectors (n, d), never 0 (n,)."""
    return np.asarray(np.maximum(np.linalg.norm(white, axis=1), np.float32(1e-12)), np.float32)
