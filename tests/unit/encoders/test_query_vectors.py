"""Vectors are remembered, each text apart, and the memory of it all has a bound."""

import tracemalloc
from zlib import crc32

import numpy as np

from indexes.storage.arrays import Vectors
from reranker.runtime.caches import QueryVectors


class Counting:
    """Encodes a text as numbers drawn from it, and counts the calls."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode_queries(self, texts: list[str], /) -> Vectors:
        self.encoded += [f"query {text}" for text in texts]
        return self._vectors(texts, 1)

    def encode_documents(self, texts: list[str], /) -> Vectors:
        self.encoded += [f"item {text}" for text in texts]
        return self._vectors(texts, 2)

    def known_share(self, text: str, /) -> float:
        return 0.25 if text == "red shoe" else 1.0

    def _vectors(self, texts: list[str], kind: int) -> Vectors:
        rows = [np.random.default_rng([kind, crc32(text.encode())]).random(384) for text in texts]
        return np.array(rows, dtype=np.float32)


def test_each_text_is_encoded_once_and_queries_are_not_items() -> None:
    encoder = Counting()
    vectors = QueryVectors(encoder, 10)
    assert vectors.encoded("red  shoe").known == 0.25
    query, item = vectors.query("red  shoe "), vectors.texts(["red shoe", "tent", "red shoe"])
    assert np.array_equal(vectors.query("red shoe"), query)
    assert np.array_equal(vectors.texts(["tent", "red shoe"]), item[[1, 0]])
    assert np.array_equal(item[0], item[2]) and not np.array_equal(item[0], query)
    assert encoder.encoded == ["query red shoe", "item red shoe", "item tent"]


def test_long_texts_and_big_batches_leave_no_more_than_the_vectors() -> None:
    encoder = Counting()
    vectors = QueryVectors(encoder, 200)
    tracemalloc.start()
    for number in range(20):
        vectors.texts([f"{number} {place} " + "x" * 20_000 for place in range(10)])
        encoder.encoded.clear()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 200 * 2_500  # bytes; a vector has 1,536, and the texts alone would take 4 MB
