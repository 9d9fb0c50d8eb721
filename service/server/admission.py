"""admission.py: requests that wait -> whether one more may, counted in their candidates.

Servers queue without a limit by themselves: past their capacity every answer comes too late. Here
whoever would wait too long hears so at once.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from service.server.settings import AdmissionSettings

CANDIDATE_BYTES: Final = 32  # of a body, of one candidate with its score
_OVERHEAD: Final = 100  # candidates that take as long as a request takes without any
_BURST_SECONDS: Final = 0.25  # since nothing was inside
_WINDOW: Final = 0.05  # busy seconds after which the speed is worked out anew
_NEWEST: Final = 0.3  # how much the newest speed counts beside those before


class Admission:
    """What is inside, and how fast it gets out. Safe between threads."""

    def __init__(
        self, settings: AdmissionSettings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self.requests = self.candidates = 0
        self.admitted = self.refused = 0
        self._speed = 0.0  # seconds a unit; 0 until it is known
        self._busy_since = self._empty_at = 0.0
        self._busy = 0.0
        self._done = 0

    def admit(self, candidates: int) -> bool:
        """Whether a request with so many candidates may wait; `done` has to follow when it may."""
        with self._lock:
            if not self._has_room(candidates):
                self.refused += 1
                return False
            if self.requests == 0:
                self._busy_since = self._empty_at = self._clock()
            self.requests += 1
            self.candidates += candidates
            self.admitted += 1
            return True

    def done(self, candidates: int) -> None:
        """A request that was let in is answered."""
        with self._lock:
            now = self._clock()
            self.requests -= 1
            self.candidates -= candidates
            self._busy += now - self._busy_since
            self._busy_since = now
            self._done += candidates + _OVERHEAD
            if self._busy >= _WINDOW:
                speed = self._busy / self._done
                if self._speed:
                    speed = _NEWEST * speed + (1 - _NEWEST) * self._speed
                self._speed, self._busy, self._done = speed, 0.0, 0

    def wait(self) -> float:
        """Seconds until all that is inside will be answered; 0 while the speed is not known."""
        return (self.candidates + _OVERHEAD * self.requests) * self._speed

    def _has_room(self, candidates: int) -> bool:
        if self.requests == 0:
            return True
        chosen = self._settings
        if 0 < self._speed and self.wait() <= chosen.wait_ms / 1000:
            return True
        # A burst, or not enough known of the speed; half of that may go on and on.
        burst = not self._speed or self._clock() - self._empty_at < _BURST_SECONDS
        share = 1 if burst else 2
        few = self.requests < chosen.requests // share
        return few and self.candidates + candidates <= chosen.candidates // share


def candidates_in(length: int) -> int:
    """About how many candidates a body of so many bytes has, without reading it."""
    return length // CANDIDATE_BYTES
