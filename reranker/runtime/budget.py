"""budget.py: a request's deadline and breakers -> what may still be asked, and for how long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from reranker.errors import BadRequest
from reranker.runtime.breakers import Breaker, Breakers, Unavailable

T = TypeVar("T")
_RESERVE: Final = 0.01  # of the time left, seconds that no dependency may use up ...
_SHARE: Final = 0.5  # ... or this part of it, when that is less


class Left(Exception):
    """Nobody waits for this ranking any more."""


class RequestBudget:
    """What one request on its way may still spend. One thread works, another may wait for it.

    deadline: on `time.perf_counter`. Without breakers (evaluation, tuning) nothing is left out for
    having failed before.
    """

    def __init__(self, deadline: float | None = None, breakers: Breakers | None = None) -> None:
        self.deadline, self.breakers = deadline, breakers
        self._gone: dict[str, str] = {}  # dependencies that failed this request, and why
        self._inside: list[tuple[str, Breaker]] = []
        self._lock = threading.Lock()
        self._left: list[tuple[str, Breaker]] | None = None

    def call(self, name: str, work: Callable[[], T]) -> T:
        """Do what may fail or hang; Unavailable when it is not tried.

        Within one request, a dependency that failed once is not asked again.
        """
        self._enter(name)
        try:
            done = work()
        except Unavailable as unavailable:
            self._gone[name] = unavailable.reason
            self._returned(None if unavailable.counted else False)
            unavailable.counted = True
            raise
        except (BadRequest, Left):  # nobody's failure
            self._returned(None)
            raise
        except Exception:
            self._returned(False)
            raise
        self._returned(True)
        return done

    def _enter(self, name: str) -> None:
        self.go_on()
        if self.breakers is None:
            return
        if name in self._gone:
            raise Unavailable(self._gone[name], counted=True)
        breaker = self.breakers.of(name)
        breaker.check()
        with self._lock:
            self._inside.append((name, breaker))

    def _returned(self, well: bool | None) -> None:
        if self.breakers is None:
            return
        with self._lock:
            _, breaker = self._inside.pop()
            left = self._left
            if left and left[-1][1] is breaker:
                breaker.came_back()
                left.clear()
        if left is not None:
            raise Left
        if well:
            breaker.worked()
        elif well is False:
            breaker.failed()

    def go_on(self) -> None:
        """Left when nobody waits any more."""
        if self._left is not None:
            raise Left

    def leave(self) -> str | None:
        """Wait no longer; the name of what is being waited for, which counts as its failure."""
        with self._lock:
            self._left = list(self._inside)
            if not self._left:
                return None
            name, breaker = self._left[-1]
            breaker.left()
        return name

    def wait(self, done: Callable[[float | None], bool], seconds: float | None) -> bool:
        """Whether another thread is done within so many seconds; done: waits, and says whether."""
        return done(seconds)

    def patience(self) -> float | None:
        """Seconds that one dependency may take now, so that the others get their turn, too."""
        if self.deadline is None:
            return None
        remaining = self.deadline - time.perf_counter()
        return max(0.0, remaining - min(_RESERVE, remaining * _SHARE))


class _Here(threading.local):
    budget: RequestBudget | None = None


_here = _Here()


@contextmanager
def spending(budget: RequestBudget) -> Iterator[None]:
    """Make this the budget that `current` gives in this thread."""
    before = _here.budget
    _here.budget = budget
    try:
        yield
    finally:
        _here.budget = before


def current() -> RequestBudget | None:
    """The budget of the request that this thread works for; None where there is no hurry."""
    return _here.budget
