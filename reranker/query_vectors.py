"""query_vectors.py: query text -> query vector, remembered, because shoppers repeat each other."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


class Encoder(Protocol):
    """What reads text while serving: `indexes.query_encoder.QueryEncoder`."""

    def encode_queries(self, texts: list[str], /) -> Vector: ...
    def encode_documents(self, texts: list[str], /) -> Vector: ...


class QueryVectors:
    """Encodes each distinct text once and keeps the newest `size` vectors; safe between threads."""

    def __init__(self, encoder: Encoder, size: int) -> None:
        self._encoder = encoder
        self._size = size
        self._kept: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def query(self, text: str) -> Vector:
        """The vector (d,) of a query; spaces do not matter."""
        key = ("query", " ".join(text.split()))
        found = self._get(key)
        if found is None:
            found = self._encoder.encode_queries([key[1]])[0]
            self._put(key, found)
        return found

    def texts(self, texts: Sequence[str]) -> Vector:
        """The vectors (n, d) of item texts that the index does not hold."""
        keys = [("item", text) for text in texts]
        found = {key: self._get(key) for key in keys}
        new = [key for key, vector in found.items() if vector is None]
        if new:
            for key, vector in zip(
                new, self._encoder.encode_documents([text for _, text in new]), strict=True
            ):
                found[key] = vector
                self._put(key, vector)
        return np.stack([found[key] for key in keys])  # type: ignore[misc]  # every None was filled

    def _get(self, key: tuple[str, str]) -> Vector | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._kept.move_to_end(key)
            return found

    def _put(self, key: tuple[str, str], vector: Vector) -> None:
        with self._lock:
            self._kept[key] = vector
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
