"""rate_limits.py: a caller's requests, over all workers -> go on, or how long to wait.

One number per key lies in a file that the workers of one start share: the time at which everything
asked for so far is paid for (GCRA, a token bucket in one number). The clock is the machine's
monotonic one, so that setting the time neither opens nor closes anything.
"""

import fcntl
import hashlib
import math
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flask import Response

from service.access.key_ring import Caller
from service.http.answers import error_answer
from service.observability.prometheus import Metrics

BURST_SECONDS: Final = 2.0  # so much of a rate may come at once; at least one request
_SLOWEST: Final = 0.001  # requests a second; less is taken for it
_SLOTS: Final = 4096  # keys with a rate; far more than a home has
_SLOT: Final = struct.Struct("=8sd")


class Rates:
    """folder: where the workers of one start meet; None for a process on its own."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._fd = _opened(folder / "rates") if folder else None
        size = _SLOTS * _SLOT.size
        self._map = mmap.mmap(-1 if self._fd is None else self._fd, size)

    def wait(self, name: str, rate: float, count: int = 1, *, take: bool = True) -> float:
        """Take so many requests of this key: 0.0 when it may go on, else seconds until it may.
        More than may ever come at once go on when nothing is owed, and are paid for afterwards.
        Without `take` nothing is taken."""
        burst = max(1.0, rate * BURST_SECONDS)
        with self._alone():
            now = time.monotonic()
            at = self._slot(hashlib.sha256(name.encode()).digest()[:8])
            paid = max(float(_SLOT.unpack_from(self._map, at)[1]), now)
            early = paid - now - (burst - min(count, burst)) / rate
            if early > 1e-9:
                return early
            if take:
                _SLOT.pack_into(self._map, at, self._map[at : at + 8], paid + count / rate)
            return 0.0

    def _slot(self, name: bytes) -> int:
        """The place of this key, taken for it at its first request."""
        start = int.from_bytes(name, "big")
        for step in range(_SLOTS):
            at = (start + step) % _SLOTS * _SLOT.size
            taken_by = self._map[at : at + 8]
            if taken_by == name:
                return at
            if taken_by == bytes(8):
                _SLOT.pack_into(self._map, at, name, 0.0)
                return at
        return start % _SLOTS * _SLOT.size  # shared with another: stricter, never looser

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time: among the threads, and, as the kernel's lock, among the workers. The
        kernel gives it back when a worker dies."""
        with self._lock:
            if self._fd is None:
                yield
                return
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _opened(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, _SLOTS * _SLOT.size)
    return fd


class RateLimits:
    """default: for keys without a rate of their own, in requests/s; 0 is no limit."""

    def __init__(self, rates: Rates, default: float, metrics: Metrics) -> None:
        self._rates, self._default, self._metrics = rates, default, metrics

    def _rate(self, caller: Caller) -> float:
        return self._default if caller.rate is None else caller.rate

    def seconds(self, caller: Caller, count: int = 1, *, take: bool = True) -> float:
        """As `Rates.wait`, of this caller's rate."""
        rate = self._rate(caller)
        return self._rates.wait(caller.name, max(rate, _SLOWEST), count, take=take) if rate else 0.0

    def check(self, caller: Caller, count: int = 1) -> Response | None:
        """429 to a key that asks more often than it may; count: requests that it makes now."""
        seconds = self.seconds(caller, count)
        if not seconds:
            return None
        rate = self._rate(caller)
        self._metrics.refused.labels("too_many_requests").inc()
        self._metrics.rate_limited.labels(caller.name).inc()
        answer = error_answer(
            429,
            f"The key {caller.name!r} may make {rate:g} requests per second; wait {seconds:.1f} s.",
        )
        answer.headers["Retry-After"] = str(math.ceil(seconds))
        return answer
