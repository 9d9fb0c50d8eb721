"""Frozen layers read a text once; the vectors are those of the whole model."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.tiny_models import tiny_bert, tiny_llm

from indexes.encoders.models import load_modules
from indexes.storage.arrays import Vectors
from reranker.adaptation.fine_tuning import trainable
from reranker.adaptation.text_model import TextModel, batches_of

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

WORDS = "red green blue kettle lamp desk tea shoes".split()
TEXTS = [" ".join(WORDS[:count]) for count in (3, 1, 8, 2, 5, 1)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("text_model") / "tiny", words=WORDS)


def model(folder: Path, layers: int) -> TextModel:
    with tempfile.TemporaryFile() as kept:
        return TextModel(load_modules(folder), TEXTS, layers, kept)


def whole(modules: Any) -> Vectors:
    vectors: Vectors = modules.encode(TEXTS, normalize_embeddings=True)
    return vectors


def test_a_decoder_that_pads_on_the_left_begins_later_too(tmp_path: Path) -> None:
    folder = tiny_llm(tmp_path / "llm")
    half = model(folder, 1)
    numbers = np.array([4, 0, 2])
    assert half.keeps_activations
    expected = whole(load_modules(folder))[numbers]
    assert (half.encoded(numbers) * expected).sum(axis=1).min() > 0.999


def test_vectors_are_those_of_the_whole_model(tiny: Path) -> None:
    """In the order in which they are asked for, whatever goes together."""
    half = model(tiny, 1)
    assert half.keeps_activations and not model(tiny, 0).keeps_activations
    numbers = np.array([4, 0, 2, 2, 5])
    expected = whole(load_modules(tiny))[numbers]
    for vectors in (half.encoded(numbers), half.vectors(numbers).detach().numpy()):
        assert (vectors * expected).sum(axis=1).min() > 0.999


def test_what_is_learned_on_activations_is_learned_by_the_whole_model(tiny: Path) -> None:
    half = model(tiny, 1)
    learning = trainable(half.modules, 1)
    before = whole(half.modules)
    optimiser = torch.optim.SGD(learning.values(), lr=1.0)
    vectors = half.vectors(np.arange(len(TEXTS)))
    (vectors @ vectors.T).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in learning.values())
    optimiser.step()
    after = whole(half.modules)
    assert (after * before).sum(axis=1).min() < 0.99
    assert (after * half.encoded(np.arange(len(TEXTS)))).sum(axis=1).min() > 0.999


def test_a_model_whose_layers_cannot_be_passed_over_is_read_whole(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that read more than what the one before answers: vectors do not come out the same."""
    modules = load_modules(tiny)
    encoder = modules[0].model.encoder
    plain = encoder.forward

    def with_more(hidden: Any, *inputs: Any, **named: Any) -> Any:
        out = plain(hidden, *inputs, **named)
        out.last_hidden_state = out.last_hidden_state + 3.0 * encoder.layer[0](hidden) ** 2
        return out

    monkeypatch.setattr(encoder, "forward", with_more)
    with tempfile.TemporaryFile() as kept:
        odd = TextModel(modules, TEXTS, 1, kept)
    numbers = np.arange(len(TEXTS))
    assert odd.keeps_activations is False
    assert (odd.encoded(numbers) * whole(modules)).sum(axis=1).min() > 0.999


def test_little_is_padding() -> None:
    lengths = np.array([4, 90, 4, 88, 5, 30, 90])
    batches = list(batches_of(lengths, 180, 1.125))
    assert [lengths[batch].tolist() for batch in batches] == [[90, 90, 88], [30, 5, 4, 4]]
    assert sorted(np.concatenate(batches).tolist()) == list(range(7))
    assert [len(batch) for batch in batches_of(lengths, 1)] == [1] * 7
    assert not list(batches_of(np.zeros(0, np.int64), 10))
