"""Whom an item was met beside -> the vectors that ids begin with."""

import numpy as np
from support.sequence_worlds import CIRCLE, leave_one_out, tiny_settings

from reranker.training.cooccurrence import cooccurrence_vectors, shared_directions
from reranker.training.data import new_model
from reranker.training.model import numbers


def two_crowds() -> tuple[np.ndarray, np.ndarray]:
    """Half of the shoppers meet items 0 to 9, the others 10 to 19; item 20 is met by nobody."""
    rng = np.random.default_rng(5)
    items = np.concatenate([rng.integers(10, size=8) + 10 * (shopper % 2) for shopper in range(60)])
    return items, np.repeat(np.arange(60), 8)


def test_items_of_one_crowd_begin_together_and_away_from_the_others() -> None:
    vectors = cooccurrence_vectors(*two_crowds(), count=21, width=6, seed=1)
    assert vectors is not None and vectors.shape == (21, 6) and vectors.dtype == np.float32
    np.testing.assert_allclose((vectors**2).mean(), 1, atol=1e-5)
    near = vectors @ vectors.T
    assert near[:10, :10].mean() > 10 * abs(near[:10, 10:20].mean())
    assert not vectors[20].any()


def test_they_are_the_first_singular_vectors_of_the_mutual_information() -> None:
    items, owners = two_crowds()
    counts = np.zeros((21, 21))
    for at in range(len(items)):
        for other in range(at + 1, min(at + 11, len(items))):
            if owners[at] == owners[other]:
                counts[items[at], items[other]] += 1 / (other - at)
                counts[items[other], items[at]] += 1 / (other - at)
    each = counts.sum(axis=1)
    smooth = each**0.75
    expected = np.outer(each, smooth / smooth.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.nan_to_num(np.log(counts / expected), neginf=0).clip(min=0)
    left, sizes, _ = np.linalg.svd(information)
    wanted = (left * np.sqrt(sizes))[:, :6]
    vectors = cooccurrence_vectors(items, owners, 21, 6, seed=1)
    assert vectors is not None
    scale = (wanted**2).mean()
    np.testing.assert_allclose(vectors @ vectors.T, wanted @ wanted.T / scale, atol=0.05)


def test_where_there_is_nothing_to_count_ids_begin_as_noise() -> None:
    nobody = np.zeros(0, np.int64)
    assert cooccurrence_vectors(nobody, nobody, 21, 6, seed=1) is None
    alone = np.arange(21)
    assert cooccurrence_vectors(alone, alone, 21, 6, seed=1) is None
    assert cooccurrence_vectors(*two_crowds(), count=21, width=21, seed=1) is None


def test_one_item_that_was_met_again_and_again_tells_nothing_of_the_others() -> None:
    met = np.zeros(4, np.int64)
    assert cooccurrence_vectors(met, met, 10, 4, seed=1) is None


def test_neighbours_on_the_circle_begin_near_each_other() -> None:
    settings = tiny_settings(width=6)
    data, _ = leave_one_out(settings)
    ids = numbers(new_model(data, settings).item_ids.weight)
    assert not ids[0].any()
    near = ids[1:] @ ids[1:].T
    steps = (np.arange(CIRCLE) - np.arange(CIRCLE)[:, None]) % CIRCLE
    assert near[steps == 1].mean() > near[steps == CIRCLE // 2].mean() + 1e-4
    again = numbers(new_model(data, settings).item_ids.weight)
    np.testing.assert_array_equal(ids, again)


def test_texts_begin_with_the_directions_in_which_neighbours_agree() -> None:
    """Of eight numbers of a text two say which crowd meets the item, the others are noise."""
    items, owners = two_crowds()
    rng = np.random.default_rng(7)
    texts = rng.normal(size=(21, 8)).astype(np.float32)
    texts[:10, 6:] = (1, -1)
    texts[10:20, 6:] = (-1, 1)
    directions = shared_directions(texts, items, owners, width=3)
    assert directions.shape == (3, 8) and directions.dtype == np.float32
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-5)
    assert abs(directions[-1, 6:] @ np.array([1, -1]) / np.sqrt(2)) > 0.95
    gone = np.where(items == 3, -1, items)  # an event without a text is passed over
    assert np.isfinite(shared_directions(texts, gone, owners, width=3)).all()
