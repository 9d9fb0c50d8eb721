"""Vectors by item id as files of a version: what is checked, and what comes back by row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexes.errors import Failure
from indexes.modalities.entries import Entry, checked_name
from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.writer import VectorBatch, Written, write_modality
from indexes.readers.bad_lines import BadLine
from indexes.storage.arrays import Rows, Vectors

ITEMS = [f"i{number}" for number in range(40)]


def rows_of(ids: Sequence[str]) -> Rows:
    return np.array([ITEMS.index(item) if item in ITEMS else -1 for item in ids], np.int64)


def vectors_of(n: int, d: int = 6) -> Vectors:
    return np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)


def batch(ids: Sequence[str], vectors: Vectors) -> VectorBatch:
    return VectorBatch(ids, vectors, range(1, len(ids) + 1))


def written(
    folder: Path, *batches: VectorBatch
) -> tuple[ModalityVectors | None, Written, list[BadLine]]:
    bad: list[BadLine] = []
    done = write_modality(folder, len(ITEMS), rows_of, batches, bad.append)
    entry = Entry(made_of={}, dimensions=done.dimensions, items=done.items)
    return ModalityVectors(folder, "look", entry) if done.items else None, done, bad


def test_items_without_a_vector_are_a_mask(tmp_path: Path) -> None:
    vectors = vectors_of(30) * 7
    modality, done, bad = written(tmp_path / "m", batch(ITEMS[5:35], vectors))
    assert modality is not None and not bad
    assert (done.items, done.unknown, done.dimensions) == (30, 0, 6)
    found, known = modality.rows(np.array([4, 5, 34, 35, -1]))
    assert known.tolist() == [False, True, True, False, False]
    wanted = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found[known], wanted[[0, 29]], atol=1e-3)
    assert modality.known(np.array([4, 5])).tolist() == [False, True]


def test_whitened_nearness_is_that_of_the_whitening(tmp_path: Path) -> None:
    modality, _, _ = written(tmp_path / "m", batch(ITEMS, vectors_of(40)))
    assert modality is not None
    every = np.arange(40)
    found, _ = modality.rows(every)
    towards, middle = modality.towards(np.array([3, 9]))
    cosines = (found @ towards.T - middle) / modality.white_lengths(every)[:, None]
    white = modality.whitening(found)
    np.testing.assert_allclose(cosines, white @ white[[3, 9]].T, atol=1e-4)


def test_a_bad_vector_costs_itself_alone(tmp_path: Path) -> None:
    vectors = vectors_of(8)
    vectors[1, 2], vectors[2, 0], vectors[3] = np.nan, np.inf, 0.0
    vectors[4] *= 1e30
    ids = ["i0", "i1", "i2", "i3", "i4", "i0", "elsewhere", "i5"]
    modality, done, bad = written(tmp_path / "m", batch(ids, vectors), batch(["i5"], vectors[:1]))
    assert (done.items, done.unknown) == (3, 1)
    assert modality is not None
    assert np.flatnonzero(modality.known(np.arange(40))).tolist() == [0, 4, 5]
    reasons = {line.line: line.reason for line in bad[:4]}
    assert "NaN or an infinity" in reasons[2] and "NaN" in reasons[3]
    assert "all zeros" in reasons[4]
    assert "'i0' came before" in reasons[6]
    assert [line.line for line in bad] == [2, 3, 4, 6, 1]
    found, _ = modality.rows(np.array([4]))
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-3)


def test_vectors_that_are_all_alike_can_be_whitened(tmp_path: Path) -> None:
    same = np.tile(vectors_of(1), (40, 1))
    modality, _, _ = written(tmp_path / "m", batch(ITEMS, same))
    assert modality is not None
    towards, middle = modality.towards(np.array([0]))
    assert np.isfinite(towards).all() and np.isfinite(middle).all()


def test_lengths_that_are_not_allowed(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="allowed are 2 to 4,096"):
        written(tmp_path / "m", batch(["i0"], np.ones((1, 5000), np.float32)))


@pytest.mark.parametrize("name", ["", "Image", "../image", "a b", "1st", "x" * 33])
def test_names_that_are_not_allowed(name: str) -> None:
    with pytest.raises(Failure, match="cannot name a modality"):
        checked_name(name, "--item-vectors")
