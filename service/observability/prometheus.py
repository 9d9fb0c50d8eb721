"""prometheus.py: what the service does -> Prometheus counters, over all workers.

Labels come from short, fixed lists: no user, query or item ever becomes one.
"""

import logging
import os
import re
import resource
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from reranker.events.cleaning import FIELDS
from reranker.experiments.drift import Drift
from reranker.metrics.rank_correlation import Agreement
from reranker.ranking.ranking import Ranking
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.runtime.stages import Stages
from service.observability.tallies import BulkHistogram, CacheDeltas, Tallies

log = logging.getLogger("reranker")

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"  # has to be set before this is imported
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STAGE_SECONDS: Final = (
    *(0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001),
    *(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
_REFRESH_SECONDS: Final = 0.5
_PAGE_BYTES: Final = resource.getpagesize()
_CANDIDATES: Final = (0, 1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def run_folder() -> Path | None:
    """The folder in which the workers of one start meet; None for a process on its own."""
    folder = os.environ.get(MULTIPROCESS_DIR)
    return Path(folder) if folder else None


class Metrics:
    """One set of counters; every application makes its own."""

    def __init__(self, home: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "reranker_requests",
            "Answered requests.",
            ("route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "reranker_request_seconds",
            "Seconds from a request's arrival in Flask to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.stages = BulkHistogram(
            "reranker_stage_seconds",
            "Seconds in each stage of POST /rerank, without the stages inside it: they add up.",
            ("stage",),
            buckets=_STAGE_SECONDS,
            registry=self._registry,
        )
        self.candidates = BulkHistogram(
            "reranker_candidates",
            "Candidates in a request.",
            buckets=_CANDIDATES,
            registry=self._registry,
        )
        self.degraded = Counter(
            "reranker_degraded",
            "Answers in which a signal was left out or could not judge every candidate.",
            ("signal", "reason"),
            registry=self._registry,
        )
        self.reloads = Counter(
            "reranker_reloads",
            "Newly published versions, by what became of them in a worker: swapped or refused.",
            ("outcome",),
            registry=self._registry,
        )
        self.events = Counter(
            "reranker_events",
            "Events sent to POST /events. Duplicates are accepted ones that were kept before; "
            "conflict: accepted ones whose shopper has another event with the same id; bot: those "
            "beyond events.bot_events_per_minute, accepted or rejected.",
            ("outcome",),
            registry=self._registry,
        )
        self.events_rejected = Counter(
            "reranker_events_rejected",
            "Rejected events, by the field that was wrong.",
            ("field",),
            registry=self._registry,
        )
        self.rankings = Counter(
            "reranker_rankings",
            "Rankings for the log of rankings: written, or lost because they could not be.",
            ("outcome",),
            registry=self._registry,
        )
        self.expired = Counter(
            "reranker_expired",
            "What a running service deleted because it was too old: events, days of logged "
            "rankings, leftovers of commands that were killed.",
            ("what",),
            registry=self._registry,
        )
        self.admission = Counter(
            "reranker_admission",
            "Requests that were let in, or refused with 503 because too much was waiting.",
            ("outcome",),
            registry=self._registry,
        )
        self.waiting = Gauge(
            "reranker_waiting_candidates",
            "Candidates of requests that wait or are worked on, estimated from their length.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.breaker_open = Gauge(
            "reranker_breaker_open",
            "Workers in which the breaker of a dependency, or of a signal that fails, is open.",
            ("dependency",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.refused = Counter(
            "reranker_refused",
            "Requests that were refused before they cost anything, by why.",
            ("reason",),
            registry=self._registry,
        )
        self.rate_limited = Counter(
            "reranker_rate_limited",
            "Requests answered with 429, by the name of the API key.",
            ("key",),
            registry=self._registry,
        )
        self.items = Gauge(
            "reranker_index_items",
            "Items in the served index.",
            registry=self._registry,
            multiprocess_mode="livemostrecent",
        )
        self.gate_sum = Counter(
            "reranker_gate_sum",
            "Sum of the gate, which says how much personal signals counted, from 0 to 1.",
            registry=self._registry,
        )
        self.gate_count = Counter(
            "reranker_gate_count",
            "Rankings in which a personal signal had something to say.",
            registry=self._registry,
        )
        self.cache = Counter(
            "reranker_cache",
            "Looks into a cache: hit, or miss (then it is computed).",
            ("cache", "outcome"),
            registry=self._registry,
        )
        self.score_drift = Gauge(
            "reranker_score_drift",
            "Population stability index of the newest rankings against the first ones of this "
            "blend's version: above 0.25 is another distribution. The worker farthest off.",
            ("feature",),
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self.memory = Gauge(
            "reranker_memory_bytes",
            "Resident memory, summed over the workers; pages of the index count in each.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.shadows = Counter(
            "reranker_shadows",
            "Shadow rankings: computed, dropped under load, failed, or lost (not logged).",
            ("outcome",),
            registry=self._registry,
        )
        self.shadow_overlap = Summary(
            "reranker_shadow_overlap",
            "Share of the served first ten that a shadow blend has among its first ten.",
            ("blend",),
            registry=self._registry,
        )
        self.shadow_displacement = Summary(
            "reranker_shadow_displacement",
            "Places by which a shadow blend moves the served first ten, on average.",
            ("blend",),
            registry=self._registry,
        )
        self.shadow_tau = Gauge(
            "reranker_shadow_tau",
            "Kendall's tau of the newest shadow ranking's first ten with the served.",
            ("blend",),
            registry=self._registry,
            multiprocess_mode="livemostrecent",
        )
        self.shadow_first_changed = Counter(
            "reranker_shadow_first_changed",
            "Shadow rankings with another first item than the served.",
            ("blend",),
            registry=self._registry,
        )
        self.answering = 0  # requests that this process is answering now
        self.started = Gauge(
            "reranker_start_time_seconds",
            "When the oldest worker of now began, in epoch seconds.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.started.set(time.time())
        self.drift = Drift(home)
        self._served: Callable[[], ServedState] | None = None
        self._caches = CacheDeltas()
        self._tallies = Tallies()
        self._stages = self._tallies.histogram(self.stages, _STAGE_SECONDS)
        self._candidates = self._tallies.histogram(self.candidates, _CANDIDATES)
        self._degraded = self._tallies.counter(self.degraded)
        self._gate_sum = self._tallies.counter(self.gate_sum)
        self._gate_count = self._tallies.counter(self.gate_count)

    def note_ranking(self, asked: RerankRequest, ranking: Ranking, stages: Stages) -> None:
        """Everything about an answered POST /rerank; some microseconds."""
        tallies = self._tallies
        with tallies.lock:
            for name, seconds in stages.seconds.items():
                self._stages.observe(seconds, (name,))
            self._candidates.observe(len(asked.candidates))
            for part in ranking.degraded:
                self._degraded.inc(_labels(part.signal, part.reason))
            if ranking.gate is not None:
                self._gate_sum.inc((), ranking.gate)
                self._gate_count.inc(())
        if asked.blend is None and not asked.weights:
            self.drift.add(ranking)

    def began(self) -> None:
        """A request is being answered."""
        with self._tallies.lock:
            self.answering += 1

    def ended(self) -> None:
        """It is no more."""
        with self._tallies.lock:
            self.answering -= 1

    def count_shadow(self, outcome: str) -> None:
        """Count what became of one shadow ranking."""
        self.shadows.labels(outcome).inc()

    def note_shadow(self, blend: str, found: Agreement) -> None:
        """How a shadow blend agrees with what was served."""
        self.shadow_overlap.labels(blend).observe(found.overlap)
        self.shadow_displacement.labels(blend).observe(found.displacement)
        self.shadow_tau.labels(blend).set(found.tau)
        if not found.same_first:
            self.shadow_first_changed.labels(blend).inc()

    def watch(self, served: Callable[[], ServedState]) -> None:
        """What is live is asked of the served state."""
        self._served = served

    def refresh(self) -> None:
        """Write what waits and look at what only changes slowly; twice a second is enough."""
        self._tallies.write()
        if self._served is not None:
            state = self._served()
            profiles = state.personal.profiles
            for name, cache in (("query_vectors", state.query_vectors), ("profiles", profiles)):
                self._caches.since(name, cache.counts, self._count_cache)
        self.memory.set(resident_bytes())
        for feature, value in self.drift.values().items():
            self.score_drift.labels(feature).set(value)

    def keep_fresh(self) -> threading.Thread:
        """Refresh for as long as this process lives."""
        thread = threading.Thread(target=self._keep_fresh, name="metrics", daemon=True)
        thread.start()
        return thread

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(_REFRESH_SECONDS)
            try:
                self.refresh()
            except Exception:  # whatever it is, it must not end the thread
                log.exception("metrics cannot be written")

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

    def families(self) -> list[Metric]:
        """Every metric of this set, for the page that lists them."""
        return list(self._registry.collect())

    def exposition(self) -> bytes:
        """What Prometheus reads, summed over the workers that share a folder."""
        self.refresh()
        live = CollectorRegistry()
        if MULTIPROCESS_DIR in os.environ:
            multiprocess.MultiProcessCollector(live)  # type: ignore[no-untyped-call]
        else:
            live.register(self._registry)
        if self._served is not None:
            live.register(LiveVersions(self._served))
        return generate_latest(live)


class LiveVersions(Collector):
    """What answers now, as labels: only the live versions, so that they stay few."""

    def __init__(self, served: Callable[[], ServedState]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        state = self._served()
        blend = f"{state.published.name}@{state.published_version}"
        labels = {name: found or "none" for name, found in state.versions.items()}
        yield InfoMetricFamily(
            "reranker_versions", "Versions that answer now.", {**labels, "blend": blend}
        )


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _labels(signal: str, reason: str) -> tuple[str, str]:
    known = [value if _LABEL.fullmatch(value) else "other" for value in (signal, reason)]
    return known[0], known[1]


def _field_label(field: str) -> str:
    """The names of our fields, and no other text of a sender."""
    if not field:
        return "event"
    return field if field in FIELDS else "other"
