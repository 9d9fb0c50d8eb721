"""log.py: answers on their way out -> lines in <home>/rankings, one file a day.

A request only puts its answer into a queue; a thread writes what has gathered there. Several
processes share a file: each writes whole lines with one call at its end. What cannot be written is
lost, counted and said once; no request waits or fails for it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from indexes.errors import Failure
from indexes.storage.durable import make_own_folder
from reranker.feedback.days import append_lines, day_file
from reranker.feedback.files import make_room
from reranker.feedback.records import LoggedRanking
from reranker.feedback.settings import RankingLogSettings
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.ranking.ranking import Ranking
from reranker.requests import RerankRequest
from reranker.runtime.background import Worker, by_turns

log = logging.getLogger("reranker")

WRITTEN: Final = "written"
LOST: Final = "lost"
PAUSE: Final = 0.1  # seconds in which rankings gather; as many are lost when the process is killed
_WAITING: Final = 10_000  # rankings in the queue; more are lost

Count = Callable[[str, int], object]
_encode: Final = msgspec.json.Encoder().encode


class Answered(NamedTuple):
    """A ranking that waits to be written."""

    id: str
    time: float
    request: RerankRequest
    ranking: Ranking


class RankingLog:
    """The log of one process, which begins its thread with the first ranking, after any fork."""

    def __init__(self, folder: Path, settings: RankingLogSettings, count: Count) -> None:
        self._folder, self._settings, self._count = folder, settings, count
        self._queue: deque[Answered] = deque()
        self._worker = Worker(self.flush, "rankings", PAUSE)
        self._writing = threading.Lock()
        self._keys = PseudonymKeys(folder.parent)
        self._broken = False  # what failed last is said once, until something works again

    def add(self, ranking_id: str, request: RerankRequest, ranking: Ranking) -> None:
        """Log an answer; never waits and never fails."""
        if not self._settings.log or not ranking.results or not request.personalize:
            return  # without consent nothing is kept that an event could be tied to
        if len(self._queue) >= _WAITING:
            self._count(LOST, 1)
            return
        self._queue.append(Answered(ranking_id, time.time(), request, ranking))
        self._worker.wake()

    def flush(self) -> None:
        """Write what waits; for the end of a process, too."""
        with self._writing:
            waiting = [self._queue.popleft() for _ in range(len(self._queue))]
            by_day: dict[str, list[Answered]] = {}
            for answer in waiting:
                by_day.setdefault(_day(answer.time), []).append(answer)
            for day, answers in by_day.items():
                self._write(day, answers)

    def _write(self, day: str, answers: list[Answered]) -> None:
        try:
            make_own_folder(self._folder)
            names = self._keys.open()
            lines = b"".join([_encode(logged(one, names)) + b"\n" for one in by_turns(answers)])
            path = day_file(self._folder, day)
            if make_room(self._folder, self._settings, path, len(lines)):
                append_lines(path, lines)
                self._count(WRITTEN, len(answers))
                self._broken = False
                return
            problem = f"rankings.megabytes ({self._settings.megabytes:,}) is reached within a day"
        except (OSError, Failure) as error:
            problem = str(error)
        except Exception:  # whatever it is, it must not end the thread
            log.exception("rankings cannot be logged")
            problem = "see above"
        self._count(LOST, len(answers))
        if not self._broken:
            log.error("rankings are not logged now, and are lost: %s", problem)
        self._broken = True


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def logged(answer: Answered, pseudonyms: Pseudonyms) -> LoggedRanking:
    """The answer as it is kept."""
    request, results = answer.request, answer.ranking.results
    order = [ranked.index for ranked in results]
    candidates, others = request.candidates, []
    if len(order) < len(candidates):
        shown = set(order)
        others = [item.id for place, item in enumerate(candidates) if place not in shown]
    scores = [candidate.score for candidate in candidates]
    blend = answer.ranking.blend
    return LoggedRanking(
        id=answer.id,
        time=round(answer.time, 3) if request.time is None else request.time,
        user=None if request.user is None else pseudonyms.user(request.user),
        session=None if request.session is None else pseudonyms.session(request.session),
        query=request.query,
        blend=f"{blend.name}@{blend.version}",
        items=[ranked.id for ranked in results],
        order=order,
        others=others,
        scores=None if all(score is None for score in scores) else scores,
        top_n=request.top_n,
        weights=request.weights,
        personalize=request.personalize,
    )
