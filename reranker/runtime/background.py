"""background.py: work that goes on beside the requests -> threads that no failure ends."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("reranker")


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
