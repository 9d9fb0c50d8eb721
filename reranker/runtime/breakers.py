"""breakers.py: how the last calls of a dependency went -> whether the next may be tried."""

import threading
import time
from collections.abc import Callable
from typing import Final

HISTORY: Final = "history"
ENCODER: Final = "encoder"
_MOST_STUCK: Final = 8  # calls that never came back; beyond them nothing is tried


class Unavailable(Exception):
    """A dependency that was not asked, or gave no sound answer in time.

    reason: as `degraded` names it. counted: whether a breaker knows of it already.
    """

    def __init__(self, reason: str, counted: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.counted = reason, counted


class Breaker:
    """Opens after `failures` in a row; `seconds` later one call tries again, and closes it.

    told: called with whether it is open, whenever that changes.
    """

    def __init__(
        self,
        failures: int,
        seconds: float,
        on_change: Callable[[bool], None] = lambda _open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failures = 0
        self._stuck = 0
        self._try_at: float | None = None  # None while it is closed

    @property
    def open(self) -> bool:
        """Whether calls are left out now."""
        return self._try_at is not None

    def check(self) -> None:
        """Unavailable while it is open; one caller at a time gets through to try again."""
        if self._try_at is None:
            return
        with self._lock:
            if self._try_at is None:
                return
            now = self._clock()
            if now < self._try_at or self._stuck >= _MOST_STUCK:
                raise Unavailable("breaker_open", counted=True)
            self._try_at = now + self._seconds

    def worked(self) -> None:
        """A call came back in time with a sound answer."""
        if self._failures == 0 and self._try_at is None:
            return
        with self._lock:
            self._failures = 0
            closes = self._try_at is not None
            self._try_at = None
        if closes:
            self._on_change(False)

    def failed(self) -> None:
        """A call raised, or answered nonsense."""
        with self._lock:
            self._failures += 1
            if self._failures < self._most:
                return
            opens = self._try_at is None
            self._try_at = self._clock() + self._seconds
        if opens:
            self._on_change(True)

    def left(self) -> None:
        """A call was left behind because it took too long; it counts as a failure."""
        with self._lock:
            self._stuck += 1
        self.failed()

    def came_back(self) -> None:
        """A call that was left behind has ended after all."""
        with self._lock:
            self._stuck -= 1


class Breakers:
    """The breakers of one process by the name of what they guard; they outlive reloads."""

    def __init__(
        self,
        failures: int = 5,
        seconds: float = 5.0,
        on_change: Callable[[str, bool], None] = lambda _name, _open: None,
    ) -> None:
        self._failures, self._seconds, self._on_change = failures, seconds, on_change
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        for name in (HISTORY, ENCODER):
            on_change(name, False)

    def of(self, name: str) -> Breaker:
        """The breaker of this dependency or signal."""
        breaker = self._breakers.get(name)
        if breaker is None:
            with self._lock:
                breaker = self._breakers.setdefault(
                    name,
                    Breaker(
                        self._failures, self._seconds, lambda opened: self._on_change(name, opened)
                    ),
                )
        return breaker
