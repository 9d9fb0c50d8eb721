"""The query encoder: the rebuild's space, from files alone, in a process without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_models import WORDS, tiny_bert, tiny_llm

from indexes.encoders.query_encoder import QueryEncoder, export_query_encoder, load_query_encoder
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure

TEXTS = ["red running shoes", "tea kettle", "", "ÄÖÜ ß 100%", "usb c " * 200, "\ud800 x", "z" * 400]


@pytest.fixture(scope="module")
def exact() -> TextEncoder:
    return load_encoder(EncoderSettings(dtype="float32"))


@pytest.fixture(scope="module")
def folder(exact: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("query_encoder")
    export_query_encoder(exact, made)
    return made


@pytest.fixture(scope="module")
def encoder(folder: Path) -> QueryEncoder:
    return load_query_encoder(folder)


def exported(model: Path, into: Path, **options: Any) -> tuple[TextEncoder, QueryEncoder]:
    whole = load_encoder(EncoderSettings(model=str(model), dtype="float32", **options))
    export_query_encoder(whole, into)
    return whole, load_query_encoder(into)


def test_queries_and_texts_meet_in_the_rebuilds_space(
    exact: TextEncoder, encoder: QueryEncoder
) -> None:
    for found, expected in (
        (encoder.encode_queries(TEXTS), exact.encode_queries(TEXTS)),
        (encoder.encode_documents(TEXTS), exact.encode_documents(TEXTS)),
    ):
        assert found.dtype == np.float32
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert (found * expected).sum(axis=1).min() >= 0.995
    assert encoder.fingerprint == exact.fingerprint
    assert encoder.dimensions == exact.dimensions == 384


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(TEXTS), min_size=1, max_size=6))
def test_neighbours_do_not_change_a_vector(encoder: QueryEncoder, texts: list[str]) -> None:
    together = encoder.encode_queries(texts)
    alone = np.concatenate([encoder.encode_queries([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-6


def test_nothing_to_encode_and_a_huge_text(encoder: QueryEncoder) -> None:
    assert encoder.encode_queries([]).shape == (0, 384)
    assert np.isfinite(encoder.encode_documents(["long words and more " * 50_000])).all()


def test_a_serving_process_needs_no_torch(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from indexes.encoders.query_encoder import *; "
        f"vectors = load_query_encoder(Path({str(folder)!r}), 1).encode_queries(['red shoes']); "
        "assert vectors.shape == (1, 384); "
        "heavy = {'torch', 'transformers', 'onnx', 'sentence_transformers'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_equal_models_make_equal_files(exact: TextEncoder, folder: Path, tmp_path: Path) -> None:
    export_query_encoder(exact, tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["encoder.json", "query.onnx", "tokenizer.json"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_bert_of_another_size_with_fewer_dimensions(pooling: str, tmp_path: Path) -> None:
    model = tiny_bert(tmp_path, pooling=pooling)
    whole, small = exported(model, tmp_path, dimensions=24)
    texts = [" ".join(WORDS[start : start + 4]) for start in range(8)]
    assert small.encode_queries(texts).shape == (8, 24)
    cosines = (small.encode_queries(texts) * whole.encode_queries(texts)).sum(axis=1)
    assert cosines.min() >= 0.98  # random weights suffer more from 8 bits than trained ones


def test_an_llm_is_exported_with_its_instruction(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_llm(tmp_path)
    capfd.readouterr()
    whole, small = exported(model, tmp_path)
    assert capfd.readouterr() == ("", "")
    about = json.loads((tmp_path / "encoder.json").read_text(encoding="utf-8"))
    assert about["runtime"] == "onnxruntime"
    assert about["query_prompt"].startswith("Instruct:")
    for texts in (["red"], ["red shoes", "tea kettle desk lamp", "red"]):
        assert np.allclose(small.encode_queries(texts), whole.encode_queries(texts), atol=1e-4)
        assert np.allclose(small.encode_documents(texts), whole.encode_documents(texts), atol=1e-4)


def test_a_model_that_cannot_be_exported_is_served_with_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexes.encoders.onnx_export._same", lambda *_args: False)
    whole, slow = exported(tiny_bert(tmp_path), tmp_path)
    assert not (tmp_path / "query.onnx").exists()
    assert isinstance(slow, TextEncoder)
    assert slow.fingerprint == whole.fingerprint
    assert np.allclose(slow.encode_queries(["red shoes"]), whole.encode_queries(["red shoes"]))


def test_a_folder_without_the_files_says_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="reranker rebuild"):
        load_query_encoder(tmp_path)
