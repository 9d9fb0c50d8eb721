"""shadows.py: an answered request -> the orders that other blends would have given it, unseen.

One thread ranks them behind a short queue, and only while this process answers no request: a
shopper's answer comes first. What waits too long, or finds the queue full, is dropped: under load
shadows are what is left out first.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from indexes.errors import Failure
from reranker.experiments.shadow_files import (
    ShadowChoice,
    ShadowLine,
    choice_stamp,
    shadow_choice,
    write_shadow,
)
from reranker.feedback.settings import RankingLogSettings
from reranker.metrics.rank_correlation import Agreement, agreement
from reranker.ranking.ranking import Ranking, rank
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.runtime.background import Worker

log = logging.getLogger("reranker")

WAITING: Final = 16
PATIENCE: Final = 1.0  # seconds for which a request may wait for an idle moment
_LOOK_SECONDS: Final = 1.0
_PAUSE: Final = 0.002

COMPUTED: Final = "computed"
DROPPED: Final = "dropped"
FAILED: Final = "failed"
LOST: Final = "lost"  # computed, and not logged


class _Offered(NamedTuple):
    ranking_id: str
    time: float
    request: RerankRequest
    ranking: Ranking
    state: ServedState


Count = Callable[[str], object]
Note = Callable[[str, Agreement], object]


class Shadows:
    """The shadows of one process; its thread begins with the first request that is chosen.

    count: outcome of one shadow ranking. note: how a blend's order agrees with the served one.
    busy: how many requests this process is answering.
    """

    def __init__(
        self,
        home: Path,
        settings: RankingLogSettings,
        count: Count,
        note: Note,
        busy: Callable[[], int],
    ) -> None:
        self._home, self._settings = home, settings
        self._count, self._note, self._busy = count, note, busy
        self._queue: deque[_Offered] = deque()
        self._worker = Worker(self._rank_waiting, "shadows")
        self._stamp, self._looked = -1, 0.0
        self._warned = False
        self.choice = ShadowChoice()
        self.look()

    def look(self) -> None:
        """Take up the choice where it changed."""
        self._looked = time.monotonic()
        stamp = choice_stamp(self._home)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.choice = shadow_choice(self._home)
        except (Failure, OSError) as error:
            log.error("the shadow blends are left out: %s", error)
            self.choice = ShadowChoice()

    def offer(
        self, ranking_id: str, request: RerankRequest, ranking: Ranking, state: ServedState
    ) -> None:
        """Perhaps rank this by the shadows, later; never waits and never fails."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self.look()
        choice = self.choice
        if not choice.blends or not ranking.results or random.random() >= choice.share:
            return
        if request.blend is not None or request.weights or not request.personalize:
            return  # not what shoppers see, or not to be written down
        if len(self._queue) >= WAITING:
            self._count(DROPPED)
            return
        self._queue.append(_Offered(ranking_id, time.time(), request, ranking, state))
        self._worker.wake()

    def _rank_waiting(self) -> None:
        while self._queue:
            self._take(self._queue.popleft())

    def _take(self, offered: _Offered) -> None:
        while self._busy():
            if time.time() - offered.time > PATIENCE:
                self._count(DROPPED)
                return
            time.sleep(_PAUSE)
        self.rank(offered)

    def rank(self, offered: _Offered) -> None:
        """Rank one request by every shadow, tell how they agree, and log the orders."""
        served = [ranked.index for ranked in offered.ranking.results]
        orders = {}
        for label in self.choice.blends:
            try:
                orders[label] = _order(offered, label)
                measured = agreement(served, orders[label])
                if measured is not None:
                    self._note(label, measured)
                self._count(COMPUTED)
            except Exception:  # whatever a shadow does, it costs its own line and no more
                self._count(FAILED)
                if not self._warned:
                    log.exception(
                        "shadow blend %s failed; more such failures are only counted", label
                    )
                self._warned = True
        if orders:
            self._log(offered, served, orders)

    def _log(self, offered: _Offered, served: list[int], orders: dict[str, list[int]]) -> None:
        blend = f"{offered.ranking.blend.name}@{offered.ranking.blend.version}"
        count = len(offered.request.candidates)
        line = ShadowLine(offered.ranking_id, round(offered.time, 3), blend, count, served, orders)
        try:
            write_shadow(self._home, self._settings, line)
        except (OSError, Failure):
            self._count(LOST)


def _order(offered: _Offered, label: str) -> list[int]:
    """By the same index, model and events as the answer: nothing that came after it is read."""
    request = offered.request
    at = offered.time if request.time is None and request.history is None else request.time
    again = msgspec.structs.replace(request, time=at, top_n=None, explain=False, budget_ms=None)
    blend, version = offered.state.blend(label)
    return [ranked.index for ranked in rank(again, offered.state, blend, version).results]
