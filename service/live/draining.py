"""draining.py: one byte that all processes of a service share -> whether it is about to stop."""

import mmap
from typing import Final

_shared: Final = mmap.mmap(-1, 1)  # made before the workers are forked, so they all see it


def begin() -> None:
    """From now on readiness says no, and answers ask for a new connection."""
    _shared[0] = 1


def draining() -> bool:
    """Whether the service is about to stop."""
    return _shared[0] != 0
