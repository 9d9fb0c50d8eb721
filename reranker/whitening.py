"""whitening.py: item text vectors -> vectors whose dimensions all count the same, of length 1.

Vectors of text models lie in a narrow cone: unrelated items look alike until the mean is taken off
and each direction is scaled to the same spread.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
_SAMPLE: Final = 200_000
_FLOOR: Final = 1e-3  # directions with less than this share of the largest spread are only noise


class Whitening:
    """x -> (x - mean) @ matrix, to length 1. mean (d,), matrix (d, d)."""

    def __init__(self, mean: Vectors, matrix: Vectors) -> None:
        self.mean, self.matrix = mean, matrix

    @classmethod
    def of(cls, vectors: Vectors) -> "Whitening":
        """Learned from the catalogue's own vectors (n, d)."""
        some = vectors[:: 1 + len(vectors) // _SAMPLE].astype(np.float64)
        mean = some.mean(axis=0)
        spread, axes = np.linalg.eigh(np.cov(some - mean, rowvar=False, bias=True))
        floor = max(float(spread.max()) * _FLOOR, 1e-12)
        matrix = axes / np.sqrt(np.maximum(spread, floor))
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def __call__(self, vectors: Vectors) -> Vectors:
        white = (vectors - self.mean) @ self.matrix
        lengths = np.linalg.norm(white, axis=1, keepdims=True)
        return np.asarray(white / np.maximum(lengths, 1e-12), dtype=np.float32)
