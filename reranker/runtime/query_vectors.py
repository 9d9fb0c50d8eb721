"""query_vectors.py: query text -> query vector, remembered, because shoppers repeat each other."""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from indexes.storage.arrays import Vectors
from reranker.runtime.caches import RecentlyUsed


class Encoder(Protocol):
    """What reads text while serving: `indexes.encoders.query_encoder.QueryEncoder`."""

    def encode_queries(self, texts: list[str], /) -> Vectors: ...
    def encode_documents(self, texts: list[str], /) -> Vectors: ...
    def known_share(self, text: str, /) -> float: ...


class EncodedQuery(NamedTuple):
    """A text's vector (d,), and which share of its tokens the encoder knows, from 0 to 1."""

    vector: Vectors
    known: float


_Key = bytes  # of 16 bytes: texts themselves could fill the memory, at 20,000 characters each


class QueryVectors:
    """Encodes each distinct text once and keeps the newest `size` vectors; safe between threads."""

    def __init__(self, encoder: Encoder, size: int) -> None:
        self._encoder = encoder
        self._entries: RecentlyUsed[_Key, EncodedQuery] = RecentlyUsed(size, seconds=math.inf)
        self.counts = self._entries.counts

    @property
    def misses(self) -> int:
        """Texts that had to be encoded."""
        return self.counts.misses

    def query(self, text: str) -> Vectors:
        """The vector (d,) of a query; spaces do not matter."""
        return self.encoded(text).vector

    def encoded(self, text: str) -> EncodedQuery:
        """The vector (d,) of a query, and how much of the query the encoder knows."""
        text = " ".join(text.split())
        key = _key("query", text)
        entry = self._entries.get(key)
        if entry is None:
            vector = self._encoder.encode_queries([text])[0]
            entry = EncodedQuery(vector, self._encoder.known_share(text))
            self._put(key, entry)
        return entry

    def texts(self, texts: Sequence[str]) -> Vectors:
        """The vectors (n, d) of item texts that the index does not hold."""
        keys = {text: _key("item", text) for text in texts}
        entries = {text: self._entries.get(key) for text, key in keys.items()}
        vectors = {text: entry.vector if entry else None for text, entry in entries.items()}
        new = [text for text, vector in vectors.items() if vector is None]
        if new:
            for text, vector in zip(new, self._encoder.encode_documents(new), strict=True):
                vectors[text] = vector
                self._put(keys[text], EncodedQuery(vector, 1.0))
        return np.stack([vectors[text] for text in texts])  # type: ignore[misc]  # no None is left

    def _put(self, key: _Key, entry: EncodedQuery) -> None:
        # A row of a batch would keep the whole batch.
        self._entries.put(key, entry._replace(vector=entry.vector.copy()))


def _key(kind: str, text: str) -> _Key:
    content = f"{kind} {text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()
