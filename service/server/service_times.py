"""service_times.py: what answered requests took -> what one of so many candidates will take.

seconds = (intercept + slope x candidates) x stretch. The first two are processor seconds, so that
another program on the machine does not change what a request is. Least squares with exponential
forgetting (Haykin, Adaptive Filter Theory, ch. 9), two unknowns, solved anew whenever some more has
been answered; a ridge holds their ratio where all requests are of one size and tell only the sum.
stretch is how much longer requests take by the clock than what is ahead of them and they
themselves: four of five take no more (a quantile followed by steps, Robbins and Monro 1951).
"""

import math
from typing import Final

INTERCEPT: Final = 0.0016  # seconds of a request without candidates, until it is measured ...
SLOPE: Final = 4.4e-6  # ... and of each candidate
_REMEMBERED: Final = 0.5  # processor seconds after which a measurement counts 1/e
_STEP: Final = 0.05  # of the logarithm of the stretch, by one request ...
_WITHIN: Final = 0.8  # ... of which so many are to take no more
_FORGOTTEN: Final = 0.3  # seconds without one after which its logarithm is 1/e
_FARTHEST: Final = 3.0  # times what was expected: beyond it a measurement counts as that
_STRETCHES: Final = (0.5, 8.0)  # numpy leaves the interpreter: two cores may serve one process
_RIDGE: Final = 0.005  # of what was measured: how much the ratio before counts


class ServiceTimes:
    """Seconds of a request by its candidates, fitted as they are answered.

    Not safe between threads: whoever has it holds a lock.
    """

    def __init__(self) -> None:
        self.intercept, self.slope, self.stretch = INTERCEPT, SLOPE, 1.0
        self._rr = self._rc = self._cc = self._rs = self._cs = 0.0  # sums of products
        self._expected = self._spent = 0.0  # by INTERCEPT and SLOPE, and measured

    def seconds(self, requests: int, candidates: int) -> float:
        """Of the clock, for these requests with so many candidates in all, one after another."""
        return self.processor_seconds(requests, candidates) * self.stretch

    def processor_seconds(self, requests: int, candidates: int) -> float:
        """What they compute."""
        return self.intercept * requests + self.slope * candidates

    def note(self, requests: int, candidates: int, spent: float) -> None:
        """These were answered in so many processor seconds; what is far off counts as less far."""
        expected = self.processor_seconds(requests, candidates)
        spent = min(max(spent, expected / _FARTHEST), expected * _FARTHEST)
        kept, worth = math.exp(-spent / _REMEMBERED), 1 / expected
        self._rr = kept * self._rr + worth * requests * requests
        self._rc = kept * self._rc + worth * requests * candidates
        self._cc = kept * self._cc + worth * candidates * candidates
        self._rs = kept * self._rs + worth * requests * spent
        self._cs = kept * self._cs + worth * candidates * spent
        self._expected = kept * self._expected + INTERCEPT * requests + SLOPE * candidates
        self._spent = kept * self._spent + spent
        self._fit()

    def note_stretch(self, took: float, expected: float) -> None:
        """A request took so many seconds; of the processor, so many were expected until then."""
        more = took > expected * self.stretch
        stretch = self.stretch * math.exp(_STEP * (_WITHIN if more else _WITHIN - 1))
        self.stretch = min(max(stretch, _STRETCHES[0]), _STRETCHES[1])

    def forget_stretch(self, seconds: float) -> None:
        """For so long nothing could be told of it."""
        self.stretch **= math.exp(-seconds / _FORGOTTEN)

    def _fit(self) -> None:
        """Both unknowns, at least 0, held to the shape they began with."""
        scale = self._spent / self._expected
        if not self._cc:  # nothing had a candidate
            self.intercept = self._rs / self._rr
            self.slope = SLOPE * scale
            return
        by_request, by_candidate = _RIDGE * self._rr, _RIDGE * self._cc
        a, d = self._rr + by_request, self._cc + by_candidate
        b = self._rc
        x = self._rs + by_request * INTERCEPT * scale
        y = self._cs + by_candidate * SLOPE * scale
        determinant = a * d - b * b  # above 0: a ridge stands on both sides of the diagonal
        intercept, slope = (d * x - b * y) / determinant, (a * y - b * x) / determinant
        if intercept < 0:
            intercept, slope = 0.0, y / d
        elif slope < 0:
            intercept, slope = x / a, 0.0
        self.intercept, self.slope = max(intercept, 1e-6), slope
