"""Conformance of all sequence encoders, on a world whose answer is visible by eye."""

import numpy as np
import pytest
import torch
from support.sequence_worlds import (
    CIRCLE,
    leave_one_out,
    random_model,
    tiny_settings,
    windows,
)
from torch import nn

from indexes.errors import Failure
from indexes.modalities.whitening import Whitening
from reranker.model.settings import ENCODERS
from reranker.training.batches import Batch
from reranker.training.data import new_model
from reranker.training.encoders import Layout
from reranker.training.inference import TOP, model_ranks
from reranker.training.loop import Training
from reranker.training.losses import Denominator, Sampler, next_item_loss
from reranker.training.model import Items, SequenceModel, numbers

each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


@each_encoder
@pytest.mark.parametrize("with_texts", [True, False])
def test_the_next_step_of_the_circle_is_learned(encoder: str, with_texts: bool) -> None:
    settings = tiny_settings(encoder=encoder, length=5, epochs=20, validation_users=20)
    data, cases = leave_one_out(settings, with_texts)
    trained = Training(data, settings).run()
    ranks = model_ranks(trained.model, data.items, data.sequences, cases, 5, mask_seen=False)
    assert (ranks == 1).mean() > 0.9
    assert trained.best_ndcg > 0.9


@each_encoder
def test_a_batch_is_what_its_windows_are_one_by_one(encoder: str) -> None:
    """So padding, which only a batch of unequal windows has, changes nothing."""
    model, items, sequences = random_model(tiny_settings(encoder=encoder))
    together = model(windows(sequences, [0, 1, 2, 5]), items)
    alone = torch.cat([model(windows(sequences, [number]), items) for number in (0, 1, 2, 5)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@each_encoder
def test_later_events_never_change_what_was_foreseen_before(encoder: str) -> None:
    model, items, sequences = random_model(tiny_settings(encoder=encoder))
    batch = windows(sequences, [2])
    changed = Batch(*(column.clone() for column in batch))
    changed.items[-1] = (batch.items[-1] + 3) % CIRCLE
    changed.types[-1] = 3
    changed.gaps[-1] = 1
    before, after = model(batch, items), model(changed, items)
    torch.testing.assert_close(before[:-1], after[:-1], rtol=0, atol=0)
    assert not torch.allclose(before[-1], after[-1])


@each_encoder
@pytest.mark.parametrize("column", ["items", "types", "gaps", "ages"])
def test_every_input_is_read(encoder: str, column: str) -> None:
    model, items, sequences = random_model(tiny_settings(encoder=encoder))
    batch = windows(sequences, [2])
    values = getattr(batch, column).clone()
    values[-1] = values[-1] % 4 + 1
    changed = batch._replace(**{column: values})
    assert not torch.allclose(model(batch, items)[-1], model(changed, items)[-1])


def test_ids_and_texts_are_read_and_learned_apart() -> None:
    """The text half of a user vector knows nothing of ids, the other nothing of items' texts."""
    model, items, sequences = random_model(tiny_settings(fusion="apart"))
    batch = windows(sequences, [0])
    before = model(batch, items)
    assert items.texts is not None
    other = Items(items.ids.roll(1), items.texts[:-1])
    other_ids = model(batch, other)
    torch.testing.assert_close(other_ids[:, :16], before[:, :16])
    assert not torch.allclose(other_ids[:, 16:], before[:, 16:])
    other = Items(items.ids, items.texts[:-1].roll(1, dims=0))
    other_texts = model(batch, other)
    torch.testing.assert_close(other_texts[:, 16:], before[:, 16:])
    assert not torch.allclose(other_texts[:, :16], before[:, :16])
    every = Denominator(torch.arange(CIRCLE))
    loss = next_item_loss(model, items, batch, (batch.items + 1) % CIRCLE, every)
    users, vectors = model(batch, items), model.item_vectors(items, every.rows)
    each = [
        torch.nn.functional.cross_entropy(
            users[:, part] @ vectors[:, part].T, (batch.items + 1) % CIRCLE
        )
        for part in (slice(0, 16), slice(16, 32))
    ]
    torch.testing.assert_close(loss, (each[0] + each[1]) / 2)


def test_read_jointly_each_half_knows_both() -> None:
    model, items, sequences = random_model(tiny_settings(fusion="joint"))
    batch = windows(sequences, [0])
    assert items.texts is not None
    other = Items(items.ids.roll(1), items.texts[:-1])
    assert not torch.allclose(model(batch, other)[:, :16], model(batch, items)[:, :16])
    assert model.parts == [slice(None)]


def test_affinity_is_one_inner_product_of_text_part_and_id_part() -> None:
    model, items, sequences = random_model(tiny_settings())
    users = model(windows(sequences, [0]), items)
    vectors = model.item_vectors(items, torch.arange(len(items)))
    assert users.shape[1] == vectors.shape[1] == model.dimensions == 32
    torch.testing.assert_close(vectors[:, :16].norm(dim=1), torch.ones(len(items)))
    assert not vectors[CIRCLE:, 16:].any()  # nobody saw them: text alone
    assert (vectors[:CIRCLE, 16:].mean(dim=0).abs() < 1e-6).all()  # known items' parts are centred


def test_an_item_left_out_while_training_is_as_a_new_one() -> None:
    model, items, _ = random_model(tiny_settings(id_dropout=0.5, fusion="joint"))
    every = torch.arange(len(items))
    known = model.train().known_ids()
    vectors = model.item_vectors(items, every, known)
    left_out = (known[items.ids] == 0)[:, 0]
    assert 2 < int(left_out.sum()) < len(items)
    assert not vectors[left_out, 16:].any() and vectors[~left_out, 16:].any(dim=1).all()
    assert model.eval().known_ids().sum() == CIRCLE


def test_an_unknown_item_has_only_type_and_time_and_a_search_its_text() -> None:
    model, items, sequences = random_model(tiny_settings())
    batch = windows(sequences, [0])
    lost = batch._replace(items=torch.full_like(batch.items, -1))
    assert torch.isfinite(model(lost, items)).all()
    assert items.texts is not None
    items.texts = torch.cat([items.texts[:-1], items.texts[3:4], items.texts[-1:]])  # a search
    searched = lost._replace(queries=torch.zeros_like(batch.items))
    assert items.text_places(searched).unique().tolist() == [len(items)]
    assert not torch.allclose(model(lost, items), model(searched, items))


def test_torchs_lstm_is_the_textbooks() -> None:
    """Gates by hand: i, f, o = sigmoid, g = tanh; c' = f c + i g; h' = o tanh(c')."""
    torch.manual_seed(3)
    model, _, _ = random_model(tiny_settings(encoder="lstm"))
    assert isinstance(model.encoder, nn.Module)
    first, second = model.encoder.first, model.encoder.second
    assert (first.hidden_size, second.hidden_size) == (32, 16)  # 128 -> 64 at width 64
    events = torch.randn(6, 16)
    expected = by_hand(second, by_hand(first, numbers(events)))
    normalised = model.encoder(events, Layout(torch.tensor([6])))
    states, _ = second(first(events[None])[0])
    np.testing.assert_allclose(numbers(states[0]), expected, atol=1e-5)
    torch.testing.assert_close(normalised, model.encoder.last(states[0]))


def by_hand(layer: nn.LSTM, events: np.ndarray) -> np.ndarray:
    w, u = numbers(layer.weight_ih_l0), numbers(layer.weight_hh_l0)
    b = numbers(layer.bias_ih_l0) + numbers(layer.bias_hh_l0)
    size = layer.hidden_size
    h, c = np.zeros(size), np.zeros(size)
    states = []
    for x in events:
        z = w @ x + u @ h + b
        i, f, o = (1 / (1 + np.exp(-z[k * size : (k + 1) * size])) for k in (0, 1, 3))
        g = np.tanh(z[2 * size : 3 * size])
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states)


def test_default_lstm_is_128_then_64() -> None:
    settings = tiny_settings(encoder="lstm", width=64)
    data, _ = leave_one_out(settings)
    encoder = new_model(data, settings).encoder
    assert (encoder.first.hidden_size, encoder.second.hidden_size) == (128, 64)  # type: ignore[attr-defined]


def test_sampled_softmax_comes_to_the_full_one() -> None:
    """With logQ the estimate of the denominator is right on average, whoever is drawn."""
    model, items, sequences = random_model(tiny_settings())
    batch = windows(sequences, [0, 1])
    targets = (batch.items + 1) % CIRCLE
    seen = np.arange(CIRCLE)
    counts = 1 + np.arange(CIRCLE) ** 2
    with torch.no_grad():
        full = next_item_loss(model, items, batch, targets, Denominator(torch.arange(CIRCLE)))
        sampler = Sampler(seen, counts, negatives=20_000, full_up_to=5)
        assert not sampler.full
        drawn = sampler.draw(np.random.default_rng(1))
        sampled = next_item_loss(model, items, batch, targets, drawn)
    assert abs(float(full) - float(sampled)) < 0.05 * float(full)


def test_whitened_vectors_spread_evenly_and_new_ones_go_the_same_way() -> None:
    rng = np.random.default_rng(2)
    narrow = (rng.normal(size=(500, 8)) * np.geomspace(1, 30, 8) + 50).astype(np.float32)
    whitening = Whitening.of(narrow)
    white = whitening(narrow)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.cov(white, rowvar=False) * 8, np.eye(8), atol=0.25)
    np.testing.assert_allclose(whitening(narrow[:3]), white[:3], atol=1e-6)
    assert abs(float((white @ white.T).mean())) < 0.05  # cosines were above 0.9


def test_heads_have_to_divide_the_width() -> None:
    with pytest.raises(Failure, match=r"train.heads is 3, which does not divide"):
        random_model(tiny_settings(heads=3))


@pytest.mark.parametrize("fusion", ["apart", "joint"])
def test_new_items_are_found_by_their_text(fusion: str) -> None:
    """An item that nobody saw, with the text of a known one, stands where that one stands."""
    settings = tiny_settings(epochs=15, id_dropout=0.3, seed=2, fusion=fusion)
    data, cases = leave_one_out(settings)
    texts = data.catalogue.texts
    assert texts is not None
    texts[CIRCLE] = texts[4]  # shared memory: the catalogue's unseen item
    model: SequenceModel = Training(data, settings).run().model
    told = cases.of(np.flatnonzero(cases.targets == 4))
    told = type(told)(told.shoppers, told.stops, told.now, np.full(len(told), CIRCLE))
    ranks = model_ranks(model, data.items, data.sequences, told, 10, mask_seen=False)
    assert len(ranks) and (ranks <= 3).all() and TOP > 3
