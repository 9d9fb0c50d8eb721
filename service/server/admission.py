"""admission.py: requests that wait -> whether one more would be answered in its time.

Servers queue without a limit by themselves: past their capacity every answer comes too late. Here
whoever would wait too long hears so at once.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from service.server.service_times import ServiceTimes
from service.server.settings import AdmissionSettings

Clock = Callable[[], float]

_IDLE_SECONDS: Final = 0.25  # with nothing inside, after which what comes at once is a burst ...
_BURST_SECONDS: Final = 0.25  # ... for so long
_WINDOW: Final = 0.1  # busy seconds after which the speed is worked out anew


class Admitted(NamedTuple):
    """A request that was let in. expected: processor seconds, its own and of what was inside.

    came: on the clock, when it had come.
    """

    candidates: int
    expected: float
    came: float


class Admission:
    """What is inside, and how fast it gets out. Safe between threads.

    clock: seconds. processor: seconds that this process has computed, all of its threads.
    """

    def __init__(
        self,
        settings: AdmissionSettings,
        clock: Clock = time.perf_counter,
        processor: Clock = time.process_time,
    ) -> None:
        self._settings, self._clock, self._processor = settings, clock, processor
        self._lock = threading.Lock()
        self.times = ServiceTimes()
        self.requests = self.candidates = 0
        self.admitted = self.refused = 0
        now = clock()
        self._empty_since, self._burst_until = now - _IDLE_SECONDS, now
        self._opened, self._spent_before = now, processor()
        self._answered = self._answered_candidates = 0

    def admit(self, budget: float, count: Callable[[], int], gone: float = 0.0) -> Admitted | None:
        """What `done` has to be told of a request that may wait; None for one that may not.

        budget: seconds in which it has to be answered; gone: of them, already. count: its
        candidates; it costs something, and is not asked where the wait alone is too long.
        """
        with self._lock:
            empty = self.requests == 0
            late = not empty and self._too_long(budget, gone, 0)
            if late and not self._is_burst(0):
                self.refused += 1
                return None
            candidates = count()
            late = not empty and self._too_long(budget, gone, candidates)
            if late and not self._is_burst(candidates):
                self.refused += 1
                return None
            if empty:
                self._begin_to_work()
            self.requests += 1
            self.candidates += candidates
            self.admitted += 1
            expected = self.times.processor_seconds(self.requests, self.candidates)
            return Admitted(candidates, expected, self._clock() - gone)

    def done(self, admitted: Admitted) -> None:
        """It is answered."""
        with self._lock:
            self.requests -= 1
            self.candidates -= admitted.candidates
            self._answered += 1
            self._answered_candidates += admitted.candidates
            now = self._clock()
            self.times.note_stretch(now - admitted.came, admitted.expected)
            if self.requests == 0:
                self._empty_since = now
            if self.requests == 0 or now - self._opened >= _WINDOW:
                self._close_window(now)

    def wait(self) -> float:
        """Seconds until all that is inside will be answered."""
        return self.times.seconds(self.requests, self.candidates)

    def _too_long(self, budget: float, gone: float, candidates: int) -> bool:
        """Whether the wait and the request itself take more of its budget than they may."""
        until = self.times.seconds(self.requests + 1, self.candidates + candidates)
        return gone + until > budget * self._settings.budget_share

    def _is_burst(self, candidates: int) -> bool:
        """Whether this came with others to a process that had nothing to do."""
        chosen = self._settings
        return (
            self._clock() < self._burst_until
            and self.requests < chosen.requests
            and self.candidates + candidates <= chosen.candidates
        )

    def _begin_to_work(self) -> None:
        now = self._clock()
        idle = now - self._empty_since
        self._burst_until = now + _BURST_SECONDS if idle >= _IDLE_SECONDS else now
        self.times.forget_stretch(idle)
        self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._opened, self._spent_before = now, self._processor()
        self._answered = self._answered_candidates = 0

    def _close_window(self, now: float) -> None:
        """What was answered since it was opened tells how fast that goes."""
        spent = self._processor() - self._spent_before
        self.times.note(self._answered, self._answered_candidates, spent)
        self._open_window(now)
