"""deadlines.py: a request and its deadline -> a ranking that is on time, of what is done by then.

Where all that is needed is in memory the thread of the request ranks. Else the signals are computed
in a thread that can be left behind; that costs a hand-over (some 20 microseconds, and under load
two turns of the interpreter). At the deadline the thread of the request ranks by what is there.
"""

import contextvars
import dataclasses
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec

from reranker.blends.blend import Blend
from reranker.blends.guard_rails import Guards
from reranker.errors import BadRequest, UnknownBlend
from reranker.ranking.explanations import Explanation, SignalExplanation
from reranker.ranking.ranking import (
    BlendName,
    Degraded,
    PartialRanking,
    Ranked,
    Ranking,
    degraded_of,
    finished,
    rerank,
)
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.runtime.budget import (
    HISTORY,
    Breakers,
    Left,
    NotAtHand,
    RequestBudget,
    Stages,
    spending,
)
from reranker.runtime.caches import QueryVectors
from reranker.signals.columns import Column, Missing
from reranker.signals.registry import SIGNALS, Columns, only_computes

log = logging.getLogger("reranker")

T = TypeVar("T")
_MOST_AT_HAND: Final = 1000  # candidates that are ranked without a thread that can be left behind
_LEAST_LEFT: Final = 0.002  # seconds, several times what such a ranking takes, ...
_LEFT_A_CANDIDATE: Final = 5e-6  # ... and for each candidate
_THREADS: Final = 64  # beyond these, all left behind, the engine's order is answered at once


class TooLate(Exception):
    """Something was not done by its deadline. reason: as `degraded` names it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Work(Generic[T]):
    """A piece of work, done in another thread."""

    def __init__(self, work: Callable[[], T], budget: RequestBudget) -> None:
        self._work, self._budget = work, budget
        self._context = contextvars.copy_context()  # the log of the thread names the request
        self._done = threading.Lock()
        self._done.acquire()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with spending(self._budget):
                self._results.append(self._context.run(self._work))
        except Left:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()

    def result(self) -> T:
        """What came of it; TooLate at the deadline, and then it is left behind."""
        assert self._budget.deadline is not None
        left = self._budget.deadline - time.perf_counter()
        if not self._budget.wait(self._is_done, max(0.0, left)):
            waited_for = self._budget.leave()
            raise TooLate("history_slow" if waited_for == HISTORY else "deadline")
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _is_done(self, seconds: float | None) -> bool:
        return self._done.acquire(timeout=-1 if seconds is None else seconds)


class DeadlineRanker:
    """Ranks by a deadline. One for a process; safe between threads."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._queue: queue.SimpleQueue[_Work[Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = self._threads = 0

    def rerank(
        self,
        request: RerankRequest,
        state: ServedState,
        deadline: float,
        stages: Stages | None = None,
    ) -> Ranking:
        """Rank as `ranking.rerank` does, but by the deadline (`time.perf_counter`).

        Raises BadRequest and UnknownBlend, nothing else: whatever else goes wrong, at worst the
        engine's order comes back.
        """
        try:
            ranking = self.at_hand(request, state, deadline, stages)
            if ranking is None:
                ranking = self._handed_over(request, state, deadline, stages)
            return ranking
        except (BadRequest, UnknownBlend):
            raise
        except Exception:
            log.exception("re-ranking failed; the engine's order was answered")
            return engine_order(request, state, "internal_error")

    def at_hand(
        self,
        request: RerankRequest,
        state: ServedState,
        deadline: float,
        stages: Stages | None = None,
    ) -> Ranking | None:
        """The same ranking, in this thread, where nothing has to be waited for; None where
        something may have to be: what was never asked for, is not closed, or has too little time.
        Where the time is over already there is nothing to wait for, either.

        Raises what a ranking raises.
        """
        if time.perf_counter() >= deadline:
            return engine_order(request, state, "deadline")
        if not self._may_be_at_hand(request, state, deadline):
            return None
        budget = RequestBudget(deadline, self._breakers, at_hand=True)
        spent = Stages()
        try:
            with spending(budget):
                ranking = rerank(request, state, budget, spent, _look_at_the_history)
        except NotAtHand:
            return None
        if stages is not None:
            stages.add(spent)
        return ranking

    def fetch(
        self,
        request: RerankRequest,
        state: ServedState,
        deadline: float,
        then: Callable[[], object],
    ) -> bool:
        """Whether vectors of the query are what is missing, and are being worked out now; then:
        called in another thread, when they may be at hand. Nobody has to wait for them."""
        query = request.query
        if not query.strip() or not self._is_plain(request, state, deadline):
            return False
        missing = [vectors for vectors in _encoders(state) if not vectors.holds(query)]
        done = itertools.count(1)

        def one() -> None:
            if next(done) == len(missing):
                then()

        begun = [vectors.fetch(query, one) for vectors in missing]
        if any(begun):
            for _ in range(begun.count(False)):
                one()
        return any(begun)

    def _may_be_at_hand(self, request: RerankRequest, state: ServedState, deadline: float) -> bool:
        """What can be told at once; the history is looked at when the ranking has begun."""
        return self._is_plain(request, state, deadline) and _holds(state, request)

    def _is_plain(self, request: RerankRequest, state: ServedState, deadline: float) -> bool:
        """Whether nothing has to be waited for but the query's vector and the history."""
        blend, count = state.published, len(request.candidates)
        return (
            request.history is None
            and request.blend in (None, blend.name)
            and blend.trees is None
            and blend.diversity is None
            and count <= _MOST_AT_HAND
            and deadline - time.perf_counter() >= _LEAST_LEFT + count * _LEFT_A_CANDIDATE
            and self._breakers.closed
            and all(only_computes(name) for name in blend.signals)
            and not any(candidate.text for candidate in request.candidates)
        )

    def _handed_over(
        self,
        request: RerankRequest,
        state: ServedState,
        deadline: float,
        stages: Stages | None,
    ) -> Ranking:
        budget = RequestBudget(deadline, self._breakers)
        begun: list[PartialRanking] = []  # one, as soon as the other thread knows what it ranks by
        spent = Stages()  # of the other thread, which may go on with it after the deadline
        try:
            work = partial(rerank, request, state, budget, spent, begun.append)
            ranking = self._done(work, budget)
            if stages is not None:
                stages.add(spent)
            return ranking
        except TooLate as late:
            if not begun:
                return engine_order(request, state, late.reason)
            return _partial_ranking(begun[0], state, late.reason)

    def run(self, work: Callable[[], T], deadline: float) -> T:
        """Do what may hang; TooLate when it is not done by the deadline."""
        return self._done(work, RequestBudget(deadline, self._breakers))

    def _done(self, work: Callable[[], T], budget: RequestBudget) -> T:
        assert budget.deadline is not None
        if time.perf_counter() >= budget.deadline:
            raise TooLate("deadline")
        if not self._reserve():
            raise TooLate("overloaded")
        handed_over = _Work(work, budget)
        self._queue.put(handed_over)
        return handed_over.result()

    def _reserve(self) -> bool:
        """A thread that is free for one piece of work, started when none is."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                return True
            if self._threads >= _THREADS:
                return False
            self._threads += 1
        try:
            threading.Thread(target=self._run, name="ranking", daemon=True).start()
        except RuntimeError:  # the machine gives no more of them
            with self._lock:
                self._threads -= 1
            return False
        return True

    def _run(self) -> None:
        while True:
            self._queue.get().run()
            with self._lock:
                self._idle += 1


def _encoders(state: ServedState) -> list[QueryVectors]:
    """What the published blend reads a query with."""
    towers = state.towers.values() if "depicts" in state.published.signals else ()
    return [state.query_vectors, *towers]


def _holds(state: ServedState, request: RerankRequest) -> bool:
    """Whether every encoder's vector of the query is remembered, or none is needed."""
    query = request.query
    return not query.strip() or all(vectors.holds(query) for vectors in _encoders(state))


def _look_at_the_history(begun: PartialRanking) -> None:
    """Before anything is computed: NotAtHand, where a personal signal would come to that."""
    if any(SIGNALS[name].personal for name in begun.wanted):
        _ = begun.context.history


def _partial_ranking(begun: PartialRanking, state: ServedState, late: str) -> Ranking:
    """A ranking of the columns that were done. Nothing new is asked: it might hang, too."""
    blend, guards = begun.blend, begun.blend.guards
    columns = _columns(begun, late)
    # Whom the query names is known once `match` is; else it would have to be read of the index.
    exact = guards.exact_stays and isinstance(columns.get("match"), Column)
    missing = [*degraded_of(columns), *_rules_left_out(blend, exact)]
    if blend.trees is not None:  # they were never fitted to what is half done
        ranking = engine_order(begun.context.request, state, "deadline")
        name = BlendName(blend.name, begun.version)
        return msgspec.structs.replace(ranking, blend=name, degraded=missing)
    placed = msgspec.structs.replace(
        blend,
        diversity=None,
        guards=Guards(pinned=guards.pinned, buried=guards.buried, exact_stays=exact),
    )
    partial = dataclasses.replace(begun, blend=placed, columns=columns)
    # The engine's order keeps max_move; working out how much of ours may stay takes too long.
    by_score = guards.max_move is None
    return finished(partial, state.versions, missing, Stages(), by_score=by_score)


def _columns(begun: PartialRanking, late: str) -> Columns:
    """What is done, and why the rest is not. The history counts only as the gate lets it."""
    computed = dict(begun.columns)
    columns: Columns = {}
    for name in begun.wanted:
        personal = SIGNALS[name].personal
        column = computed.get(name) or Missing(late if personal else "deadline")
        ungated = personal and not begun.weighed and isinstance(column, Column)
        columns[name] = Missing("deadline") if ungated else column
    return columns


def _rules_left_out(blend: Blend, exact: bool) -> list[Degraded]:
    """Diversity and the guard rails that would have to read the index or the history.

    exact: exact_stays holds all the same.
    """
    guards = blend.guards
    read = guards.unavailable_last or guards.bought_last or (guards.exact_stays and not exact)
    late = (("diversity", blend.diversity is not None), ("guards", read))
    return [Degraded(name, "deadline") for name, lost in late if lost]


def engine_order(request: RerankRequest, state: ServedState, reason: str) -> Ranking:
    """The candidates as they came; the score is minus the place, so that its order is theirs."""
    results = [
        Ranked(
            candidate.id, index, index + 1, score, _explained(score) if request.explain else None
        )
        for index, candidate in enumerate(request.candidates[: request.top_n])
        for score in (-float(index),)
    ]
    return Ranking(
        results=results,
        blend=BlendName(state.published.name, state.published_version),
        versions=state.versions,
        degraded=[Degraded("all", reason)],
    )


def _explained(score: float) -> Explanation:
    alone = SignalExplanation(weight=1.0, normalised=score, contribution=score, raw=score)
    return Explanation({"engine": score}, {"engine": alone}, moved=0)
