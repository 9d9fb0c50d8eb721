"""background.py: work that goes on beside the requests -> threads that no failure ends."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

log = logging.getLogger("reranker")

T = TypeVar("T")
_AT_ONCE: Final = 8  # pieces of some 50 microseconds
_PAUSE: Final = 0.0005


def every(seconds: float, work: Callable[[], object], name: str, failure: str) -> threading.Thread:
    """Do the work again and again, for as long as this process lives.

    name: of the thread. failure: what the log says before the exception that the work ends with.
    """

    def repeat() -> None:
        while True:
            time.sleep(seconds)
            try:
                work()
            except Exception:
                log.exception(failure)

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    return thread


def by_turns(things: Iterable[T]) -> Iterator[T]:
    """The same things, with a moment's pause after every few: for a thread that computes beside the
    requests, each of whose calls to the system would hand it the interpreter for a while."""
    for place, thing in enumerate(things, 1):
        yield thing
        if place % _AT_ONCE == 0:
            time.sleep(_PAUSE)


class Worker:
    """A thread that begins with the first call of `wake`, after any fork, and then works whenever
    there is something to do. pause: seconds in which more of it gathers."""

    def __init__(self, work: Callable[[], object], name: str, pause: float = 0.0) -> None:
        self._work, self._name, self._pause = work, name, pause
        self._awake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to do; returns at once."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
        if not self._awake.is_set():
            self._awake.set()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            time.sleep(self._pause)
            self._awake.clear()
            self._work()
