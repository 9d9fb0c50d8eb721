"""guarded_encoder.py: a text encoder that may fail or hang -> sound vectors, or why none.

One text is encoded once, however many requests ask for it at the same time; a vector that comes
too late for its request is there for the next.
"""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Literal

import numpy as np

from indexes.storage.arrays import Vectors
from reranker.runtime.budget import (
    ENCODER,
    Breaker,
    NotAtHand,
    RequestBudget,
    Unavailable,
    current,
)
from reranker.runtime.caches import Encoder

log = logging.getLogger("reranker")

_THREADS: Final = 2  # one may hang; the breaker opens before there is a third
_WAITING: Final = 64  # texts that wait for a thread; more are not encoded
_KEPT: Final = 256  # encodings under way, or done and not fetched yet
_KEPT_CHARACTERS: Final = 4_000_000  # of their texts
_IDLE_SECONDS: Final = 0.5  # after which a thread ends

Kind = Literal["query", "item"]
_Key = tuple[Kind, tuple[str, ...]]


def _size(encodings: Iterable[_Key]) -> int:
    """Characters of all their texts."""
    return sum(len(text) for _, texts in encodings for text in texts)


class _Encoding:
    """One call of the encoder, for all who wait for it."""

    def __init__(self, work: Callable[[], Vectors], breaker: Breaker) -> None:
        self._work, self._breaker = work, breaker
        self._lock = threading.Lock()
        self._left = False
        self.done = threading.Event()
        self.vectors: Vectors | None = None

    def run(self) -> None:
        try:
            self.vectors = self._work()
        except Exception:
            log.exception("the text encoder failed")
        with self._lock:
            self.done.set()
            if self._left:
                self._breaker.came_back()

    def leave(self) -> None:
        """Somebody waits no longer."""
        with self._lock:
            if self._left or self.done.is_set():
                self._breaker.failed()
            else:
                self._left = True
                self._breaker.left()


class GuardedEncoder:
    """An encoder in threads of its own. Where nobody is in a hurry it is called as it is.

    dimensions: length of a sound vector. name: of the dependency, as its breaker goes by.
    """

    def __init__(
        self, encoder: Encoder, dimensions: int, breaker: Breaker, name: str = ENCODER
    ) -> None:
        self._encoder, self._dimensions, self._breaker = encoder, dimensions, breaker
        self._name = name
        self._queue: queue.Queue[_Encoding] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._threads = 0
        self._under_way: OrderedDict[_Key, _Encoding] = OrderedDict()

    def encode_queries(self, texts: list[str], /) -> Vectors:
        """Vectors (n, d) of queries; Unavailable where they cannot be had in time."""
        return self._vectors("query", texts)

    def encode_documents(self, texts: list[str], /) -> Vectors:
        """Vectors (n, d) of item texts; Unavailable where they cannot be had in time."""
        return self._vectors("item", texts)

    def known_share(self, text: str, /) -> float:
        """Which share of a query's tokens the encoder knows; only its tokenizer is asked."""
        return self._encoder.known_share(text)

    def _vectors(self, kind: Kind, texts: list[str]) -> Vectors:
        budget = current()
        if budget is None:
            return self._encoded(kind, texts)
        if budget.at_hand:
            raise NotAtHand
        return budget.call(self._name, lambda: self._in_time(kind, texts, budget))

    def _encoded(self, kind: Kind, texts: list[str]) -> Vectors:
        encode = {"query": self._encoder.encode_queries, "item": self._encoder.encode_documents}
        vectors = encode[kind](texts)
        if not sound(vectors, (len(texts), self._dimensions)):
            raise Unavailable("encoder_failed")
        return vectors

    def _in_time(self, kind: Kind, texts: list[str], budget: RequestBudget) -> Vectors:
        key: _Key = (kind, tuple(texts))
        encoding = self._begun(key)
        if not budget.wait(encoding.done.wait, budget.patience()):
            encoding.leave()
            raise Unavailable("deadline", counted=True)
        with self._lock:
            self._under_way.pop(key, None)
        if encoding.vectors is None:
            raise Unavailable("encoder_failed")
        return encoding.vectors

    def _begun(self, key: _Key) -> _Encoding:
        """The encoding of these texts that is under way, or a new one."""
        with self._lock:
            under_way = self._under_way.get(key)
            if under_way is not None:
                return under_way
            kind, texts = key
            encoding = _Encoding(lambda: self._encoded(kind, list(texts)), self._breaker)
            try:
                self._queue.put_nowait(encoding)
            except queue.Full:
                raise Unavailable("overloaded", counted=True) from None
            self._under_way[key] = encoding
            while len(self._under_way) > _KEPT or (
                len(self._under_way) > 1 and _size(self._under_way) > _KEPT_CHARACTERS
            ):
                self._under_way.popitem(last=False)
            if self._threads < _THREADS:
                self._threads += 1
                threading.Thread(target=self._run, name="encoder", daemon=True).start()
            return encoding

    def _run(self) -> None:
        """Encode until there is nothing to do: an encoder that is no longer served has to go."""
        while True:
            try:
                self._queue.get(timeout=_IDLE_SECONDS).run()
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._threads -= 1
                        return


def sound(vectors: object, shape: tuple[int, int]) -> bool:
    """Whether these are so many vectors of numbers."""
    return (
        isinstance(vectors, np.ndarray)
        and vectors.shape == shape
        and vectors.dtype.kind == "f"
        and bool(np.isfinite(vectors).all())
    )
