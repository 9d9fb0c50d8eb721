"""query_vectors.py: query text -> query vector, remembered, because shoppers repeat each other."""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from reranker.runtime.caches import RecentlyUsed

Vector = npt.NDArray[np.float32]


class Encoder(Protocol):
    """What reads text while serving: `indexes.encoders.query_encoder.QueryEncoder`."""

    def encode_queries(self, texts: list[str], /) -> Vector: ...
    def encode_documents(self, texts: list[str], /) -> Vector: ...
    def known_share(self, text: str, /) -> float: ...


class EncodedQuery(NamedTuple):
    """A text's vector (d,), and which share of its tokens the encoder knows, from 0 to 1."""

    vector: Vector
    known: float


_Key = bytes  # of 16 bytes: texts themselves could fill the memory, at 20,000 characters each


class QueryVectors:
    """Encodes each distinct text once and keeps the newest `size` vectors; safe between threads."""

    def __init__(self, encoder: Encoder, size: int) -> None:
        self._encoder = encoder
        self._kept: RecentlyUsed[_Key, EncodedQuery] = RecentlyUsed(size, math.inf)
        self.counts = self._kept.counts

    @property
    def misses(self) -> int:
        """Texts that had to be encoded."""
        return self.counts.misses

    def query(self, text: str) -> Vector:
        """The vector (d,) of a query; spaces do not matter."""
        return self.encoded(text).vector

    def encoded(self, text: str) -> EncodedQuery:
        """The vector (d,) of a query, and how much of the query the encoder knows."""
        text = " ".join(text.split())
        key = _key("query", text)
        found = self._kept.get(key)
        if found is None:
            vector = self._encoder.encode_queries([text])[0]
            found = EncodedQuery(vector, self._encoder.known_share(text))
            self._put(key, found)
        return found

    def texts(self, texts: Sequence[str]) -> Vector:
        """The vectors (n, d) of item texts that the index does not hold."""
        keys = {text: _key("item", text) for text in texts}
        kept = {text: self._kept.get(key) for text, key in keys.items()}
        found = {text: one.vector if one else None for text, one in kept.items()}
        new = [text for text, vector in found.items() if vector is None]
        if new:
            for text, vector in zip(new, self._encoder.encode_documents(new), strict=True):
                found[text] = vector
                self._put(keys[text], EncodedQuery(vector, 1.0))
        return np.stack([found[text] for text in texts])  # type: ignore[misc]  # no None is left

    def _put(self, key: _Key, query: EncodedQuery) -> None:
        # A row of a batch would keep the whole batch.
        self._kept.put(key, query._replace(vector=query.vector.copy()))


def _key(kind: str, text: str) -> _Key:
    whole = f"{kind} {text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).digest()
