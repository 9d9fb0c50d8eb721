"""waiting.py: a state that is on its way -> the moment at which it is there."""

import time
from collections.abc import Callable

PATIENCE = 180.0  # seconds; for what never comes: whatever comes may take the machine's own time


def wait_until(state: Callable[[], bool]) -> None:
    """Return as soon as the state is reached; the test fails if it never is."""
    end = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < end, "it never came to this"
        time.sleep(0.01)
