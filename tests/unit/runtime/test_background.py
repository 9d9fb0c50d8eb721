"""Work beside the requests: a failure ends nothing, and whoever wakes a worker is worked for."""

import logging
import threading

import pytest

from reranker.runtime.background import Worker, by_turns, every


def test_what_is_done_again_and_again_survives_its_failures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []
    third = threading.Event()

    def work() -> None:
        calls.append(len(calls))
        if len(calls) < 3:
            raise ValueError("broken")
        third.set()
        threading.Event().wait()  # for good: the thread ends with the process

    logging.getLogger("reranker").propagate = True
    with caplog.at_level(logging.ERROR, "reranker"):
        thread = every(0.0, work, "again", "100 % cannot be done")
        assert third.wait(30)
    assert thread.daemon and thread.name == "again"
    assert [record.message for record in caplog.records] == ["100 % cannot be done"] * 2


def test_a_worker_begins_when_it_is_woken_and_misses_no_wake() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "worker"]

    worked = threading.Event()
    worker = Worker(worked.set, "worker")
    assert not threads()
    for _ in range(20):
        worked.clear()
        worker.wake()
        assert worked.wait(30)
    assert threads() == ["worker"]


def test_by_turns_gives_the_same_things() -> None:
    for count in (0, 1, 8, 20):
        assert list(by_turns(iter(range(count)))) == list(range(count))
