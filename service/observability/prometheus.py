"""prometheus.py: what the service does -> Prometheus counters, over all workers.

Labels come from short, fixed lists: no user, query or item ever becomes one.
"""

import re
import threading
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prometheus_client import Counter, Histogram
from prometheus_client.core import Metric

from reranker.events.cleaning import FIELDS
from reranker.experiments.drift import WINDOW, Drift
from reranker.metrics.rank_correlation import Agreement
from reranker.ranking.ranking import Ranking
from reranker.requests import RerankRequest
from reranker.runtime.background import by_turns, every
from reranker.runtime.budget import Stages
from reranker.runtime.caches import CacheCounts
from service.observability.declared import BulkHistogram, DeclaredMetrics
from service.observability.exposition import AskServed, exposition, resident_bytes

_LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_REFRESH_SECONDS: Final = 0.5
Labels = tuple[str, ...]
Add = Callable[[str, str, int], object]


class Metrics(DeclaredMetrics):
    """One set of counters; every application makes its own."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__()
        self.answering = 0  # requests that this process is answering now
        self.started.set(time.time())
        self.drift = Drift(home)
        self._served: AskServed | None = None
        self._caches = CacheDeltas()
        self._pending = Pending()
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._drifting: deque[Ranking] = deque(maxlen=WINDOW)
        self._refreshing = threading.Lock()

    def note_ranking(self, asked: RerankRequest, ranking: Ranking, stages: Stages) -> None:
        """Everything about an answered POST /rerank; some microseconds."""
        pending = self._pending
        with pending.lock:
            for name, seconds in stages.seconds.items():
                pending.observe(self.stages, seconds, (name,))
            pending.observe(self.candidates, len(asked.candidates))
            for part in ranking.degraded:
                pending.inc(self.degraded, (_label(part.signal), _label(part.reason)))
            if ranking.gate is not None:
                pending.inc(self.gate_sum, amount=ranking.gate)
                pending.inc(self.gate_count)
        if asked.blend is None and not asked.weights:
            self._drifting.append(ranking)

    def note_answer(self, route: str, status: int, seconds: float) -> None:
        """An answer that Flask had no part in: written at once, as those that it had are."""
        bound = self._bound.get((route, status))
        if bound is None:
            bound = self.requests.labels(route, status), self.seconds.labels(route)
            self._bound[route, status] = bound
        bound[0].inc()
        bound[1].observe(seconds)

    def began(self) -> None:
        """A request is being answered."""
        with self._pending.lock:
            self.answering += 1

    def ended(self) -> None:
        """It is no more."""
        with self._pending.lock:
            self.answering -= 1

    def count_shadow(self, outcome: str) -> None:
        """Count what became of one shadow ranking."""
        self.shadows.labels(outcome).inc()

    def note_shadow(self, blend: str, agreement: Agreement) -> None:
        """How a shadow blend agrees with what was served."""
        self.shadow_overlap.labels(blend).observe(agreement.overlap)
        self.shadow_displacement.labels(blend).observe(agreement.displacement)
        self.shadow_tau.labels(blend).set(agreement.tau)
        if not agreement.same_first:
            self.shadow_first_changed.labels(blend).inc()

    def watch(self, served: AskServed) -> None:
        """What is live is asked of the served state."""
        self._served = served

    def refresh(self) -> None:
        """Write what waits and look at what only changes slowly; twice a second is enough."""
        with self._refreshing:  # /metrics does it, too
            self._refresh()

    def _refresh(self) -> None:
        self._pending.write()
        if self._served is not None:
            state = self._served()
            profiles = state.personal.profiles
            for name, cache in (("query_vectors", state.query_vectors), ("profiles", profiles)):
                self._caches.since(name, cache.counts, self._count_cache)
        self.memory.set(resident_bytes())
        for _ in by_turns(range(len(self._drifting))):
            self.drift.add(self._drifting.popleft())
        for feature, value in self.drift.values().items():
            self.score_drift.labels(feature).set(value)

    def keep_fresh(self) -> threading.Thread:
        """Refresh for as long as this process lives."""
        return every(_REFRESH_SECONDS, self.refresh, "metrics", "metrics cannot be written")

    def _count_cache(self, name: str, outcome: str, more: int) -> None:
        self.cache.labels(name, outcome).inc(more)

    def note_admission(self, admitted: int, refused: int, waiting: int) -> None:
        """Count requests at the gate since the last call, and the candidates behind it now."""
        for outcome, count in (("admitted", admitted), ("refused", refused)):
            self.admission.labels(outcome).inc(count)
        self.waiting.set(waiting)

    def note_breaker(self, dependency: str, is_open: bool) -> None:
        """Whether this worker leaves the dependency out now."""
        self.breaker_open.labels(dependency).set(int(is_open))

    def count_rankings(self, outcome: str, count: int) -> None:
        """Count rankings that were logged, or were not."""
        self.rankings.labels(outcome).inc(count)

    def count_expired(self, events: int, days_of_rankings: int, leftovers: int) -> None:
        """Count what was deleted by age."""
        self.expired.labels("events").inc(events)
        self.expired.labels("days_of_rankings").inc(days_of_rankings)
        self.expired.labels("leftovers").inc(leftovers)

    def count_events(
        self,
        accepted: int,
        duplicates: int,
        conflicts: int,
        bot_like: int,
        rejected: Iterable[str],
    ) -> None:
        """Count one POST /events. rejected: the wrong field of each, "" for what is no event."""
        fields = Tally(_field_label(field) for field in rejected)
        for outcome, count in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("conflict", conflicts),
            ("rejected", fields.total()),
            ("bot", bot_like),
        ):
            self.events.labels(outcome).inc(count)
        for field, count in fields.items():
            self.events_rejected.labels(field).inc(count)

    def count_items(self, accepted: int, duplicates: int, rejected: int) -> None:
        """Count one POST /items."""
        for outcome, count in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("rejected", rejected),
        ):
            self.items_changed.labels(outcome).inc(count)

    def families(self) -> list[Metric]:
        """Every metric of this set, for the page that lists them."""
        return list(self.registry.collect())

    def exposition(self) -> bytes:
        """What Prometheus reads, summed over the workers that share a folder."""
        self.refresh()
        return exposition(self.registry, self._served)


class Pending:
    """Counts that wait to be written, by metric and labels; all behind one lock.

    With several workers each observation of prometheus_client writes to a mapped file, 2 to 4
    microseconds; a dozen a request would be more than the rest of the bookkeeping. Here a request
    adds to plain numbers, and now and then those are written as if each had been observed.
    """

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()  # held by whoever counts, once a request
        self._increments: dict[tuple[Counter, Labels], float] = {}
        self._observations: dict[tuple[BulkHistogram, Labels], list[float]] = {}

    def inc(self, counter: Counter, labels: Labels = (), amount: float = 1.0) -> None:
        """Count, with the lock held."""
        key = counter, labels
        self._increments[key] = self._increments.get(key, 0.0) + amount

    def observe(self, histogram: BulkHistogram, value: float, labels: Labels = ()) -> None:
        """Observe, with the lock held."""
        key, bounds = (histogram, labels), histogram.bounds
        numbers = self._observations.get(key)
        if numbers is None:  # of each bucket, and the sum of what was observed
            numbers = self._observations[key] = [0.0] * (len(bounds) + 1)
        numbers[bisect_left(bounds, value)] += 1
        numbers[-1] += value

    def write(self) -> None:
        """Write what waits."""
        with self.lock:
            increments, self._increments = self._increments, {}
            observations, self._observations = self._observations, {}
        for (counter, labels), amount in increments.items():
            (counter.labels(*labels) if labels else counter).inc(amount)
        for (histogram, labels), (*counts, total) in observations.items():
            (histogram.labels(*labels) if labels else histogram).add(counts, total)


class CacheDeltas:
    """Counts that only grow, of caches that come and go -> what is new in them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[CacheCounts, int, int]] = {}

    def since(self, name: str, counts: CacheCounts, add: Add) -> None:
        """Add what was counted since the last look; a cache that was swapped is accounted first."""
        seen = self._seen.get(name, (counts, 0, 0))
        if seen[0] is not counts:
            self._add(name, *seen, add)
            seen = counts, 0, 0
        self._add(name, *seen, add)

    def _add(self, name: str, counts: CacheCounts, hits: int, misses: int, add: Add) -> None:
        now = counts.hits, counts.misses
        add(name, "hit", now[0] - hits)
        add(name, "miss", now[1] - misses)
        self._seen[name] = (counts, *now)


def _label(name: str) -> str:
    """A signal or a reason; what does not look like a name of ours is "other"."""
    return name if _LABEL.fullmatch(name) else "other"


def _field_label(field: str) -> str:
    """The names of our fields, and no other text of a sender."""
    if not field:
        return "event"
    return field if field in FIELDS else "other"
