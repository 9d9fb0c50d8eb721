"""refreshed.py: what takes long to work out -> as of a while ago, and nobody waits for it."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

log = logging.getLogger("reranker")

T = TypeVar("T")
_SHARE: Final = 0.05  # of one core, at most, is spent on working it out again and again


class Refreshed(Generic[T]):
    """One value of a process, worked out beside the requests; safe between threads.

    seconds: age from which the next call has it worked out anew, and longer where that takes long:
    at most a twentieth of the time is spent on it. A thread begins with the first call, after any
    fork.
    """

    def __init__(self, work: Callable[[], T], name: str, seconds: float) -> None:
        self._work, self._name, self._seconds = work, name, seconds
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._running = False
        self._value: T | None = None
        self._due = -math.inf  # on time.monotonic

    def __call__(self, until: float) -> T | None:
        """What is known, as soon as anything is; None where nothing is by then.

        until: on `time.perf_counter`.
        """
        with self._lock:
            if not self._running and time.monotonic() >= self._due:
                self._running = True
                self._done.clear()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            value = self._value
        if value is None:
            self._done.wait(max(0.0, until - time.perf_counter()))
            value = self._value
        return value

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._value = self._work()
        except Exception:  # what was known before still holds
            log.exception("%s cannot be read", self._name)
        finally:
            ended = time.monotonic()
            with self._lock:
                self._due = ended + max(self._seconds, (ended - began) / _SHARE)
                self._running = False
            self._done.set()
