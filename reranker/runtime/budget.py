"""budget.py: a request's deadline and the breakers -> what may still be asked, and for how long.

Beside it the clocks of its stages. A stage that is entered inside another stops the outer one's
clock, so that a query vector that a signal asks for is not counted as the signal's time. Who reads
them the core does not know.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from reranker.errors import BadRequest

P = ParamSpec("P")
T = TypeVar("T")
_RESERVE: Final = 0.01  # of the time left, seconds that no dependency may use up ...
_SHARE: Final = 0.5  # ... or this part of it, when that is less
HISTORY: Final = "history"
ENCODER: Final = "encoder"
_MOST_STUCK: Final = 8  # calls that never came back; beyond them nothing is tried
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


class Unavailable(Exception):
    """A dependency that was not asked, or gave no sound answer in time.

    reason: as `degraded` names it. counted: whether a breaker knows of it already.
    """

    def __init__(self, reason: str, counted: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.counted = reason, counted


class Breaker:
    """Opens after `failures` in a row; `seconds` later one call tries again, and closes it.

    on_change: called with whether it is open, whenever that changes.
    """

    def __init__(
        self,
        failures: int,
        seconds: float,
        on_change: Callable[[bool], None] = lambda _open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self.failures = 0  # in a row
        self._stuck = 0
        self._try_at: float | None = None  # None while it is closed

    @property
    def open(self) -> bool:
        """Whether calls are left out now."""
        return self._try_at is not None

    def check(self) -> None:
        """Unavailable while it is open; one caller at a time gets through to try again."""
        if self._try_at is None:
            return
        with self._lock:
            if self._try_at is None:
                return
            now = self._clock()
            if now < self._try_at or self._stuck >= _MOST_STUCK:
                raise Unavailable("breaker_open", counted=True)
            self._try_at = now + self._seconds

    def worked(self) -> None:
        """A call came back in time with a sound answer."""
        if self.failures == 0:
            return
        with self._lock:
            self.failures = 0
            closes = self._try_at is not None
            self._try_at = None
        if closes:
            self._on_change(False)

    def failed(self) -> None:
        """A call raised, or answered nonsense."""
        with self._lock:
            self.failures += 1
            if self.failures < self._most:
                return
            opens = self._try_at is None
            self._try_at = self._clock() + self._seconds
        if opens:
            self._on_change(True)

    def left(self) -> None:
        """A call was left behind because it took too long; it counts as a failure."""
        with self._lock:
            self._stuck += 1
        self.failed()

    def came_back(self) -> None:
        """A call that was left behind has ended after all."""
        with self._lock:
            self._stuck -= 1


class Breakers:
    """The breakers of one process by the name of what they guard; they outlive reloads."""

    def __init__(
        self,
        failures: int = 5,
        seconds: float = 5.0,
        on_change: Callable[[str, bool], None] = lambda _name, _open: None,
    ) -> None:
        self._failures, self._seconds, self._on_change = failures, seconds, on_change
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        for name in (HISTORY, ENCODER):
            on_change(name, False)

    @property
    def closed(self) -> bool:
        """Whether nothing is left out now, and nothing has just failed."""
        return not any(breaker.failures for breaker in list(self._breakers.values()))

    def of(self, name: str) -> Breaker:
        """The breaker of this dependency or signal."""
        breaker = self._breakers.get(name)
        if breaker is None:
            with self._lock:
                breaker = self._breakers.setdefault(
                    name,
                    Breaker(
                        self._failures, self._seconds, lambda opened: self._on_change(name, opened)
                    ),
                )
        return breaker


class Left(Exception):
    """Nobody waits for this ranking any more."""


class NotAtHand(Left):
    """It would have to be waited for, in a thread that must not wait."""


class RequestBudget:
    """What one request on its way may still spend. One thread works, another may wait for it.

    deadline: on `time.perf_counter`. Without breakers (evaluation, tuning) nothing is left out for
    having failed before. at_hand: nobody may wait: NotAtHand for what is not in memory.
    """

    def __init__(
        self,
        deadline: float | None = None,
        breakers: Breakers | None = None,
        at_hand: bool = False,
    ) -> None:
        self.deadline, self.breakers, self.at_hand = deadline, breakers, at_hand
        self._gone: dict[str, str] = {}  # dependencies that failed this request, and why
        self._inside: list[tuple[str, Breaker]] = []
        self._lock = threading.Lock()
        self._left: list[tuple[str, Breaker]] | None = None

    def call(self, name: str, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Do what may fail or hang; Unavailable when it is not tried, Left when nobody waits.

        Within one request, a dependency that failed once is not asked again.
        """
        if self.at_hand:
            return self._at_once(name, work, *given, **named)
        breaker = self._enter(name)
        worked: bool | None = False  # None: nobody's failure, or counted already
        try:
            done = work(*given, **named)
            worked = True
            return done
        except Unavailable as unavailable:
            self._gone[name] = unavailable.reason
            worked = None if unavailable.counted else False
            unavailable.counted = True
            raise
        except (BadRequest, Left):
            worked = None
            raise
        finally:
            if breaker is not None:
                with self._lock:
                    self._inside.pop()
                    left = self._left
                if left is not None:
                    _came_back(left, breaker)
                elif worked is False:
                    breaker.failed()
                elif worked and breaker.failures:
                    breaker.worked()

    def _at_once(self, name: str, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """The same where nobody waits in another thread, and every breaker was closed."""
        try:
            return work(*given, **named)
        except (BadRequest, Left):
            raise
        except Exception:
            if self.breakers is not None:
                self.breakers.of(name).failed()
            raise

    def _enter(self, name: str) -> Breaker | None:
        if self._left is not None:
            raise Left
        if self.breakers is None:
            return None
        if name in self._gone:
            raise Unavailable(self._gone[name], counted=True)
        breaker = self.breakers.of(name)
        breaker.check()
        with self._lock:
            self._inside.append((name, breaker))
        return breaker

    def leave(self) -> str | None:
        """Wait no longer; the name of what is being waited for, which counts as its failure."""
        with self._lock:
            self._left = list(self._inside)
            if not self._left:
                return None
            name, breaker = self._left[-1]
            breaker.left()
        return name

    def unless_left(self, work: Callable[[], object]) -> None:
        """Do this where nobody has ceased to wait: who did may read what it would end."""
        with self._lock:
            if self._left is None:
                work()

    def wait(self, done: Callable[[float | None], bool], seconds: float | None) -> bool:
        """Whether another thread is done within so many seconds; done: waits, and says whether."""
        return done(seconds)

    def patience(self) -> float | None:
        """Seconds that one dependency may take now, so that the others get their turn, too."""
        if self.deadline is None:
            return None
        remaining = self.deadline - time.perf_counter()
        return max(0.0, remaining - min(_RESERVE, remaining * _SHARE))


def _came_back(left: list[tuple[str, Breaker]], breaker: Breaker) -> None:
    """A call has ended after all that was left behind; left: what was under way then."""
    if left and left[-1][1] is breaker:
        breaker.came_back()
        left.clear()
    raise Left


class _Here(threading.local):
    budget: RequestBudget | None = None


_here = _Here()


@contextmanager
def spending(budget: RequestBudget) -> Iterator[None]:
    """Make this the budget that `current` gives in this thread."""
    before = _here.budget
    _here.budget = budget
    try:
        yield
    finally:
        _here.budget = before


def current() -> RequestBudget | None:
    """The budget of the request that this thread works for; None where there is no hurry."""
    return _here.budget


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
