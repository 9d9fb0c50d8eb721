"""caches.py: what was worked out once -> kept for a while, for the next time.

Bounded in number and in time: what nobody asked for lately does not stay in memory. Or by the rows
of the index: four bytes each, of which only pages that were touched take memory.
"""

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Rows, Vectors

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
KEPT_SECONDS: Final = 900.0

Lengths = npt.NDArray[np.float32]


class CacheCounts:
    """Counted by the cache, under its lock; read by whoever wants to know."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = 0


class RecentlyUsed(Generic[K, V]):
    """At most `size` values by key, those used last; safe between threads."""

    def __init__(self, size: int, seconds: float = KEPT_SECONDS) -> None:
        self._size, self._seconds = size, seconds
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Whether it is there; that is no use of it."""
        return key in self._entries

    def get(self, key: K) -> V | None:
        """The value, if it is there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.counts.misses += 1
                return None
            self.counts.hits += 1
            self._entries[key] = (time.monotonic(), entry[1])
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: K, value: V) -> None:
        """Keep a value; the one that was not used for longest makes room."""
        now = time.monotonic()
        with self._lock:
            self._entries[key] = (now, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            self._drop_before(now - self._seconds)

    def drop(self, key: K) -> None:
        """Keep nothing under this key."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()

    def drop_unused(self) -> None:
        """Keep nothing that was not used for so many seconds."""
        with self._lock:
            self._drop_before(time.monotonic() - self._seconds)

    def _drop_before(self, when: float) -> None:
        while self._entries and next(iter(self._entries.values()))[0] < when:
            self._entries.popitem(last=False)


class RowMemo:
    """A number of each item's vector, worked out once a row, and again when its vector changed.

    of: rows (m,), vectors (m, d) -> numbers (m,), never 0, which stands for "not asked yet".
    """

    def __init__(self, rows: int, of: Callable[[Rows, Vectors], Lengths]) -> None:
        # A number and the first number of its vector, which another vector has not: 8 bytes, so
        # that both are of one writing. The last, of row -1, stays 0.
        self._known = np.zeros(rows + 1, np.uint64)
        self._of = of

    def __call__(self, rows: Rows, vectors: Vectors) -> Lengths:
        """The numbers (n,) of rows (n,) with these vectors (n, d); -1: not in the index.

        Threads that meet a row at the same time both work it out, and write the same.
        """
        known = self._known[rows].view(np.float32).reshape(-1, 2)
        numbers, first = known[:, 0].copy(), vectors[:, 0]
        good = (numbers != 0) & (known[:, 1] == first)
        if not np.logical_and.reduce(good):
            new = ~good
            numbers[new] = self._of(rows[new], vectors[new])
            lasting = new & (rows >= 0)
            pairs = np.stack([numbers[lasting], first[lasting]], axis=1)
            self._known[rows[lasting]] = pairs.view(np.uint64)[:, 0]
        return numbers


class Encoder(Protocol):
    """What reads text while serving: `indexes.encoders.query_encoder.QueryEncoder`."""

    def encode_queries(self, texts: list[str], /) -> Vectors: ...
    def encode_documents(self, texts: list[str], /) -> Vectors: ...
    def known_share(self, text: str, /) -> float: ...


@runtime_checkable
class BeginsQueries(Protocol):
    """An encoder that can be asked without waiting for it; see `GuardedEncoder`."""

    def begin_query(self, text: str, then: Callable[[Vectors | None], object], /) -> bool: ...


class EncodedQuery(NamedTuple):
    """A text's vector (d,), and which share of its tokens the encoder knows, from 0 to 1."""

    vector: Vectors
    known: float


class QueryVectors:
    """Query text -> query vector, remembered, because shoppers repeat each other.

    Encodes each distinct text once and keeps the newest `size` vectors; safe between threads.
    """

    def __init__(self, encoder: Encoder, size: int) -> None:
        self._encoder = encoder
        self._entries: RecentlyUsed[bytes, EncodedQuery] = RecentlyUsed(size, seconds=math.inf)
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

    def fetch(self, text: str, then: Callable[[], object]) -> bool:
        """Have a query encoded while nobody waits; False where that is not possible now.

        then: called in another thread, once the vector is remembered, or none could be had.
        """
        if not isinstance(self._encoder, BeginsQueries):
            return False
        text = " ".join(text.split())

        def done(vectors: Vectors | None) -> None:
            try:
                if vectors is not None:
                    encoded = EncodedQuery(vectors[0], self._encoder.known_share(text))
                    self._put(_key("query", text), encoded)
            finally:
                then()

        return self._encoder.begin_query(text, done)

    def holds(self, text: str) -> bool:
        """Whether this query is remembered."""
        return _key("query", " ".join(text.split())) in self._entries

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

    def passing(self, texts: list[str]) -> Vectors:
        """The vectors (n, d) of item texts that somebody else keeps."""
        return self._encoder.encode_documents(texts)

    def _put(self, key: bytes, entry: EncodedQuery) -> None:
        # A row of a batch would keep the whole batch.
        self._entries.put(key, entry._replace(vector=entry.vector.copy()))


def _key(kind: str, text: str) -> bytes:
    """16 bytes: texts themselves could fill the memory, at 20,000 characters each."""
    content = f"{kind} {text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()
