"""progress.py: a request that is being ranked -> what is done so far, for whoever cannot wait."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from reranker.breakers import Breaker, Breakers, Unavailable
from reranker.errors import BadRequest

if TYPE_CHECKING:  # the signals are computed with a Progress at hand
    from reranker.blends import Blend
    from reranker.scenes import Scene
    from reranker.segments import Segment
    from reranker.signals import Columns

T = TypeVar("T")
_RESERVE: Final = 0.01  # of the time left, seconds that no dependency may use up ...
_SHARE: Final = 0.5  # ... or this part of it, when that is less


class Left(Exception):
    """Nobody waits for this ranking any more."""


class Progress:
    """One request on its way. The thread that ranks writes, the one that waits reads.

    deadline: on `time.perf_counter`. Without breakers (evaluation, tuning) nothing is left out for
    having failed before.
    """

    def __init__(self, deadline: float | None = None, breakers: Breakers | None = None) -> None:
        self.deadline, self.breakers = deadline, breakers
        self.columns: Columns = {}
        self.wanted: list[str] = []
        self.blend: Blend | None = None
        self.version = 0
        self.scene: Scene | None = None
        self.segment: Segment | None = None
        self.gate: float | None = None
        self.weighed = False  # whether the gate is known
        self._gone: dict[str, str] = {}  # dependencies that failed this request, and why
        self._inside: list[tuple[str, Breaker]] = []
        self._lock = threading.Lock()
        self._left: list[tuple[str, Breaker]] | None = None

    def begun(
        self,
        blend: "Blend",
        version: int,
        scene: "Scene",
        segment: "Segment | None",
        names: list[str],
    ) -> None:
        """What is going to be computed."""
        self.wanted = names  # first: whoever sees a blend may count on them
        self.blend, self.version, self.scene, self.segment = blend, version, scene, segment

    def weigh(self, gate: float | None) -> None:
        """How much the personal signals count."""
        self.gate, self.weighed = gate, True

    def call(self, name: str, work: Callable[[], T]) -> T:
        """Do what may fail or hang; Unavailable when it is not tried.

        Within one request, a dependency that failed once is not asked again.
        """
        self._enter(name)
        try:
            found = work()
        except Unavailable as unavailable:
            self._gone[name] = unavailable.reason
            self._returned(None if unavailable.counted else False)
            unavailable.counted = True
            raise
        except (BadRequest, Left):  # nobody's failure
            self._returned(None)
            raise
        except Exception:
            self._returned(False)
            raise
        self._returned(True)
        return found

    def _enter(self, name: str) -> None:
        self.go_on()
        if self.breakers is None:
            return
        if name in self._gone:
            raise Unavailable(self._gone[name], counted=True)
        breaker = self.breakers.of(name)
        breaker.check()
        with self._lock:
            self._inside.append((name, breaker))

    def _returned(self, well: bool | None) -> None:
        if self.breakers is None:
            return
        with self._lock:
            _, breaker = self._inside.pop()
            left = self._left
            if left and left[-1][1] is breaker:
                breaker.came_back()
                left.clear()
        if left is not None:
            raise Left
        if well:
            breaker.worked()
        elif well is False:
            breaker.failed()

    def go_on(self) -> None:
        """Left when nobody waits any more."""
        if self._left is not None:
            raise Left

    def leave(self) -> str | None:
        """Wait no longer; the name of what is being waited for, which counts as its failure."""
        with self._lock:
            self._left = list(self._inside)
            if not self._left:
                return None
            name, breaker = self._left[-1]
            breaker.left()
        return name

    def patience(self) -> float | None:
        """Seconds that one dependency may take now, so that the others get their turn, too."""
        if self.deadline is None:
            return None
        remaining = self.deadline - time.perf_counter()
        return max(0.0, remaining - min(_RESERVE, remaining * _SHARE))


class _Here(threading.local):
    progress: Progress | None = None


_here = _Here()


@contextmanager
def ranking(progress: Progress) -> Iterator[None]:
    """Make this the progress that `current` gives in this thread."""
    before = _here.progress
    _here.progress = progress
    try:
        yield
    finally:
        _here.progress = before


def current() -> Progress | None:
    """The progress of the request that this thread ranks; None where there is no hurry."""
    return _here.progress
