"""Queries that come while the encoder works are its next call; whatever fails, nobody hangs."""

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from indexes.storage.arrays import Vectors
from reranker.runtime import guarded_encoder
from reranker.runtime.budget import Breaker, Breakers, RequestBudget, Unavailable, spending
from reranker.runtime.caches import QueryVectors
from reranker.runtime.guarded_encoder import GuardedEncoder

WAIT = 60.0


class Held:
    """An encoder whose first call waits until it may go on. vectors: of a text, its length."""

    def __init__(self, broken: Callable[[list[str]], None] = lambda _texts: None) -> None:
        self.calls: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.broken = broken

    def encode_queries(self, texts: list[str]) -> Vectors:
        self.calls.append(texts)
        if len(self.calls) == 1:
            self.begun.set()
            assert self.go.wait(WAIT)
        self.broken(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    def encode_documents(self, texts: list[str]) -> Vectors:
        return -self.encode_queries(texts)

    def known_share(self, text: str) -> float:
        return 0.5


def guarded(encoder: Held, monkeypatch: pytest.MonkeyPatch) -> GuardedEncoder:
    """With all the time for one thread."""
    monkeypatch.setattr(guarded_encoder, "_SHORT", 1e6)
    return GuardedEncoder(encoder, 2, Breaker(5, 5.0))


def begin(encoder: GuardedEncoder, texts: list[str]) -> "queue.Queue[tuple[str, Any]]":
    """Ask for each text; what came of it."""
    came: queue.Queue[tuple[str, Any]] = queue.Queue()
    for text in texts:
        assert encoder.begin_query(text, partial(put, came, text))
    return came


def put(came: "queue.Queue[tuple[str, Any]]", text: str, vectors: Vectors | None) -> None:
    came.put((text, vectors))


def test_queries_that_come_meanwhile_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Held()
    guard = guarded(encoder, monkeypatch)
    first = begin(guard, ["a"])
    assert encoder.begun.wait(WAIT), "who is alone does not wait for others"
    rest = begin(guard, ["bb", "ccc", "bb", "dddd"])
    encoder.go.set()
    came = [first.get(timeout=WAIT), *(rest.get(timeout=WAIT) for _ in range(4))]
    assert encoder.calls == [["a"], ["bb", "ccc", "dddd"]]
    assert all(vectors.tolist() == [[len(text), 1.0]] for text, vectors in came)


def test_who_asks_again_gets_a_thread_where_the_call_before_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Held()
    guard = guarded(encoder, monkeypatch)
    first = begin(guard, ["a"])
    assert encoder.begun.wait(WAIT)
    came = begin(guard, ["bb"])
    monkeypatch.setattr(guarded_encoder, "_SHORT", 0.0)  # by now it takes long
    again = begin(guard, ["bb"])
    assert came.get(timeout=WAIT)[1] is not None and again.get(timeout=WAIT)[1] is not None
    assert encoder.calls == [["a"], ["bb"]]
    encoder.go.set()
    assert first.get(timeout=WAIT)[1] is not None


def test_a_machine_without_a_thread_to_give_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Held()
    encoder.go.set()
    guard = guarded(encoder, monkeypatch)

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", none)
        first = begin(guard, ["a"])
    assert begin(guard, ["bb"]).get(timeout=WAIT)[1] is not None
    assert first.get(timeout=WAIT)[1] is not None


def test_one_that_fails_costs_no_other_its_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(texts: list[str]) -> None:
        if "bad" in texts:
            raise ValueError("bad")

    encoder = Held(broken)
    guard = guarded(encoder, monkeypatch)
    first = begin(guard, ["a"])
    assert encoder.begun.wait(WAIT)
    rest = begin(guard, ["good", "bad", "fine"])
    encoder.go.set()
    first.get(timeout=WAIT)
    came = dict(rest.get(timeout=WAIT) for _ in range(3))
    assert came["bad"] is None
    assert came["good"].tolist() == [[4.0, 1.0]] and came["fine"].tolist() == [[4.0, 1.0]]


@pytest.mark.parametrize("failure", [ValueError, SystemExit, KeyboardInterrupt])
def test_whoever_waits_hears_of_a_failure(
    failure: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one that would end the thread, which goes on."""

    def broken(texts: list[str]) -> None:
        if "fatal" in texts:
            raise failure

    encoder = Held(broken)
    encoder.go.set()
    guard = guarded(encoder, monkeypatch)
    assert begin(guard, ["fatal"]).get(timeout=WAIT) == ("fatal", None)
    with spending(RequestBudget(None, Breakers())), pytest.raises(Unavailable, match="failed"):
        guard.encode_queries(["fatal"])
    text, vectors = begin(guard, ["next"]).get(timeout=WAIT)
    assert vectors.tolist() == [[4.0, 1.0]]


def test_queries_do_not_wait_behind_item_texts() -> None:
    encoder = Held()
    guard = GuardedEncoder(encoder, 2, Breaker(5, 5.0))
    waiting = threading.Thread(target=ask_for_items, args=(guard,))
    waiting.start()
    assert encoder.begun.wait(WAIT)
    assert begin(guard, ["now"]).get(timeout=WAIT)[1] is not None
    encoder.go.set()
    waiting.join(WAIT)
    assert not waiting.is_alive()


def ask_for_items(guard: GuardedEncoder) -> None:
    with spending(RequestBudget(None, Breakers())):
        guard.encode_documents(["an item", "another"])


def test_nothing_is_tried_while_the_breaker_is_open() -> None:
    breaker = Breaker(1, 600.0)
    guard = GuardedEncoder(Held(), 2, breaker)
    breaker.failed()
    assert not guard.begin_query("a", lambda _vectors: None)


def test_a_fetched_query_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Held()
    encoder.go.set()
    queries = QueryVectors(guarded(encoder, monkeypatch), 10)
    done = threading.Event()
    assert queries.fetch(" red  shoe ", done.set)
    assert done.wait(WAIT) and queries.holds("red shoe")
    encoded = queries.encoded("red shoe")
    assert encoded.vector.tolist() == [8.0, 1.0] and encoded.known == 0.5
    assert len(encoder.calls) == 1
    assert not QueryVectors(encoder, 10).fetch("red", done.set), "nobody can be left waiting there"
