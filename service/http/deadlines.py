"""deadlines.py: when a request came, whose it is, how long they wait -> the time of its answer."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flask import request

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"

_LONGEST: Final = 3600.0  # seconds that anybody waits


class _Here(threading.local):
    at: float | None = None
    caller: str | None = None


_here = _Here()


@contextmanager
def arrived(at: float) -> Iterator[None]:
    """Tell the application when the server read the request that this thread answers."""
    _here.at, _here.caller = at, None
    try:
        yield
    finally:
        _here.at = None


def note_caller(name: str) -> None:
    """Tell the server whose request this thread answers: the name of a key."""
    _here.caller = name


def noted_caller() -> str | None:
    """Whose request this thread answers; None where no key was needed."""
    return _here.caller


def arrival() -> float:
    """When the request of this thread came, on `time.perf_counter`: before it waited its turn."""
    return time.perf_counter() if _here.at is None else _here.at


def deadline_of(arrival: float, budget_ms: float) -> float:
    """When the answer has to be there, on `time.perf_counter`.

    The caller's own timeout can only shorten the budget; one that is no number says nothing.
    """
    sent = request.headers.get(TIMEOUT_HEADER)
    if sent is not None:
        try:
            timeout = float(sent)
        except ValueError:
            timeout = math.nan
        if timeout > 0:
            budget_ms = min(budget_ms, timeout)
    return arrival + min(budget_ms / 1000, _LONGEST)
