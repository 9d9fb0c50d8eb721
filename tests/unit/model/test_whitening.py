"""Whitened vectors: items of one category are near each other, in catalogues of any size."""

import numpy as np
import pytest

from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Ints, Vectors

CATEGORIES, DIMENSIONS = 24, 96


def catalogue(count: int, seed: int = 3) -> tuple[Vectors, Ints]:
    """Vectors (count, 96) as text models make them, and the category of each.

    A common mean; six wide directions (length, style, language) that say nothing of the category;
    in all others, which are narrow, the category and as much noise.
    """
    rng = np.random.default_rng(seed)
    category = rng.integers(0, CATEGORIES, count)
    centres = np.random.default_rng(1).normal(size=(CATEGORIES, DIMENSIONS)) * 0.05
    centres[:, :6] = 0.0
    spread = np.where(np.arange(DIMENSIONS) < 6, 0.35, 0.07)
    vectors = 0.1 + centres[category] + rng.normal(size=(count, DIMENSIONS)) * spread
    turned, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(DIMENSIONS, DIMENSIONS)))
    vectors = vectors @ turned
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), category


def nearest_alike(vectors: Vectors, category: Ints) -> float:
    """The share of items whose nearest other one is of the same category."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return float((category[cosines.argmax(axis=1)] == category).mean())


@pytest.mark.parametrize("count", [48, 96, 192, 480])
def test_a_small_catalogue_is_not_worse_whitened_than_raw(count: int) -> None:
    raw, white = [], []
    for seed in range(max(2, 960 // count)):
        vectors, category = catalogue(count, seed)
        raw.append(nearest_alike(vectors, category))
        white.append(nearest_alike(Whitening.of(vectors)(vectors), category))
    assert np.mean(white) >= np.mean(raw) - 0.01


def test_a_large_catalogue_is_whitened_nearly_whole() -> None:
    vectors, category = catalogue(1_920)
    whitening = Whitening.of(vectors)
    white = whitening(vectors)
    assert nearest_alike(white, category) > nearest_alike(vectors, category) + 0.05
    spread = np.linalg.eigvalsh(np.cov((vectors - whitening.mean) @ whitening.matrix, rowvar=False))
    assert spread.max() / spread.min() < 1.05


@pytest.mark.parametrize("count", [1, 2])
def test_one_item_or_two_have_finite_vectors(count: int) -> None:
    vectors, _ = catalogue(count)
    assert np.isfinite(Whitening.of(vectors)(vectors)).all()
