"""seldom.py: what happens a hundred times a second -> one line a minute, with a count."""

import logging
import time
from typing import Final

log = logging.getLogger("reranker")

_SECONDS: Final = 60.0


class Seldom:
    """message: with one %s, for what `say` is given."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._count = 0
        self._next = 0.0

    def say(self, what: object) -> None:
        """Log it, unless a line of this kind was logged within a minute."""
        self._count += 1
        now = time.monotonic()
        if now >= self._next:
            more = f" ({self._count} times since the last such line)" if self._count > 1 else ""
            log.warning(self._message + more, what)
            self._count, self._next = 0, now + _SECONDS
