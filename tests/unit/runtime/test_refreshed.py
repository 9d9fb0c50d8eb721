"""What takes long is worked out beside the requests."""

import threading
import time
from typing import Any

from reranker.runtime.refreshed import Refreshed


def soon() -> float:
    return time.perf_counter() + 30.0


def make_due(newest: Refreshed[Any]) -> None:
    """As if a long time had passed since it was worked out."""
    while newest._running:
        time.sleep(0.001)
    newest._due = 0.0


def test_the_first_call_waits_and_later_ones_do_not() -> None:
    entered, go = threading.Semaphore(0), threading.Semaphore(1)
    values = iter(["first", "second"])

    def work() -> str:
        entered.release()
        go.acquire()
        return next(values)

    newest = Refreshed(work, "test", 0.0)
    assert newest(soon()) == "first"
    assert entered.acquire(timeout=30)
    make_due(newest)
    assert newest(0.0) == "first"  # the second is being worked out
    assert entered.acquire(timeout=30)
    assert newest(0.0) == "first"
    go.release()
    while newest(0.0) != "second":
        time.sleep(0.001)


def test_nothing_is_known_at_the_deadline() -> None:
    go = threading.Event()
    newest = Refreshed(go.wait, "test", 0.0)
    assert newest(time.perf_counter()) is None
    go.set()
    assert newest(soon()) is True


def test_what_was_known_outlives_a_failure() -> None:
    turns = iter([lambda: 1, lambda: 1 // 0, lambda: 1 // 0])
    newest: Refreshed[int] = Refreshed(lambda: next(turns)(), "test", 0.0)
    assert newest(soon()) == 1
    make_due(newest)
    newest(soon())
    make_due(newest)
    assert newest(soon()) == 1
