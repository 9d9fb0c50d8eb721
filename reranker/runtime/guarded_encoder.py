"""guarded_encoder.py: a text encoder that may fail or hang -> sound vectors, or why none.

One text is encoded once, however many requests ask for it at the same time; texts that came while
the encoder was at work are its next call, together. A vector that comes too late for its request is
there for the next.
"""

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
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
_TOGETHER: Final = 16  # encodings in one call
_SHORT: Final = 0.01  # seconds that queries may take before more of them get another thread
_KEPT: Final = 256  # encodings under way, or done and not fetched yet
_KEPT_CHARACTERS: Final = 4_000_000  # of their texts
_IDLE_SECONDS: Final = 0.5  # after which a thread ends

Kind = Literal["query", "item"]
_Key = tuple[Kind, tuple[str, ...]]
Done = Callable[[Vectors | None], object]


def _size(encodings: Iterable[_Key]) -> int:
    """Characters of all their texts."""
    return sum(len(text) for _, texts in encodings for text in texts)


class _Encoding:
    """Texts of one kind, for all who wait for their vectors."""

    def __init__(self, key: _Key, breaker: Breaker) -> None:
        self.kind, self.texts = key
        self._breaker = breaker
        self._lock = threading.Lock()
        self._left = False
        self._then: list[Done] = []
        self.done = threading.Event()
        self.vectors: Vectors | None = None

    def then(self, call: Done) -> None:
        """Call this with the vectors, or None, in the thread that has them."""
        with self._lock:
            if not self.done.is_set():
                self._then.append(call)
                return
        call(self.vectors)

    def finish(self, vectors: Vectors | None) -> None:
        """These are the vectors; None: it failed."""
        with self._lock:
            if self.done.is_set():
                return
            self.vectors = vectors
            self.done.set()
            if self._left:
                self._breaker.came_back()
        for call in self._then:
            try:
                call(vectors)
            except Exception:
                log.exception("what waits for a vector failed")

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
        self._running: list[tuple[Kind, float]] = []  # calls, and since when, on `time.monotonic`
        self._under_way: OrderedDict[_Key, _Encoding] = OrderedDict()

    def encode_queries(self, texts: list[str], /) -> Vectors:
        """Vectors (n, d) of queries; Unavailable where they cannot be had in time."""
        return self._vectors("query", texts)

    def encode_documents(self, texts: list[str], /) -> Vectors:
        """Vectors (n, d) of item texts; Unavailable where they cannot be had in time."""
        return self._vectors("item", texts)

    def begin_query(self, text: str, then: Done, /) -> bool:
        """Encode a query for whom nobody waits; then: called with its vectors (1, d), or None, in
        another thread. False where it is not tried now."""
        if self._breaker.open:
            return False
        try:
            encoding = self._begun(("query", (text,)))
        except Unavailable:
            return False

        def done(vectors: Vectors | None) -> None:
            with self._lock:
                self._under_way.pop(("query", (text,)), None)
            then(vectors)

        encoding.then(done)
        return True

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
            encoding = self._under_way.get(key)
            if encoding is None:
                encoding = self._put(key)
            elif encoding.done.is_set():
                return encoding
            if self._needs_a_thread():
                with suppress(RuntimeError):  # the machine gives none; who asks next tries again
                    threading.Thread(target=self._run, name="encoder", daemon=True).start()
                    self._threads += 1
            return encoding

    def _put(self, key: _Key) -> _Encoding:
        """With the lock held: a new one, for the next thread that is free."""
        encoding = _Encoding(key, self._breaker)
        try:
            self._queue.put_nowait(encoding)
        except queue.Full:
            raise Unavailable("overloaded", counted=True) from None
        self._under_way[key] = encoding
        while len(self._under_way) > _KEPT or (
            len(self._under_way) > 1 and _size(self._under_way) > _KEPT_CHARACTERS
        ):
            self._under_way.popitem(last=False)
        return encoding

    def _needs_a_thread(self) -> bool:
        """With the lock held: queries wait for others that are about to be done, and are the next
        call together; they do not wait for item texts, nor for what may hang."""
        if self._threads >= _THREADS or self._threads > len(self._running) or self._queue.empty():
            return False
        since = time.monotonic() - _SHORT
        return not any(kind == "query" and begun > since for kind, begun in self._running)

    def _run(self) -> None:
        """Encode until there is nothing to do: an encoder that is no longer served has to go."""
        while True:
            try:
                waiting = [self._queue.get(timeout=_IDLE_SECONDS)]
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._threads -= 1
                        return
                continue
            with suppress(queue.Empty):
                while len(waiting) < _TOGETHER:
                    waiting.append(self._queue.get_nowait())
            for kind in ("query", "item"):
                self._encode([encoding for encoding in waiting if encoding.kind == kind])

    def _encode(self, encodings: list[_Encoding]) -> None:
        """All in one call; each by itself where that fails, so that none costs the others theirs.
        Whatever becomes of it, nobody waits for longer."""
        if not encodings:
            return
        vectors, at = None, 0
        call = encodings[0].kind, time.monotonic()
        self._running.append(call)
        try:
            texts = [text for encoding in encodings for text in encoding.texts]
            vectors = self._encoded(encodings[0].kind, texts)
        except BaseException:  # nor does what would end this thread: others wait for it
            if len(encodings) == 1:
                log.exception("the text encoder failed")
            else:
                for encoding in encodings:
                    self._encode([encoding])
        finally:
            self._running.remove(call)
            for encoding in encodings:
                end = at + len(encoding.texts)
                encoding.finish(None if vectors is None else vectors[at:end])
                at = end


def sound(vectors: object, shape: tuple[int, int]) -> bool:
    """Whether these are so many vectors of numbers."""
    return (
        isinstance(vectors, np.ndarray)
        and vectors.shape == shape
        and vectors.dtype.kind == "f"
        and bool(np.isfinite(vectors).all())
    )
