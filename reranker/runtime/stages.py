"""stages.py: one request on its way -> seconds by stage, which add up to the whole.

The core knows nothing of who reads them. A stage that is entered inside another stops the outer
one's clock, so that a query vector that a signal asks for is not counted as the signal's time.
"""

import time
from typing import Final

STAGES: Final = (
    "read",
    "history",
    "query_vector",
    "item_vectors",
    "user_vector",
    "signals",
    "blend",
    "results",
    "write",
)


class Stages:
    """The clock of one request, used by one thread at a time: `with stages("signals"): ...`."""

    __slots__ = ("_names", "_since", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._names: list[str] = []
        self._since = 0.0

    def __call__(self, name: str) -> "Stages":
        """Enter this stage with the `with` that follows."""
        now = time.perf_counter()
        names = self._names
        if names:
            outer = names[-1]
            self.seconds[outer] = self.seconds.get(outer, 0.0) + now - self._since
        names.append(name)
        self._since = now
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter()
        name = self._names.pop()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def add(self, others: "Stages") -> None:
        """The seconds of another thread's stages, which were spent for this request."""
        for name, seconds in others.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
