"""declared.py: one table of every metric -> a set of them, registered.

A name, a label and a bucket are what alerts and dashboards are written with: docs/metrics.md.
"""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STAGE_SECONDS: Final = (
    *(0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001),
    *(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
_CANDIDATES: Final = (0, 1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class BulkHistogram(Histogram):
    """A histogram that takes many observations at once, by bucket.

    bounds: the upper bound of each bucket; the last is infinite.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.bounds: Sequence[float] = tuple(self._upper_bounds)

    def add(self, counts: Sequence[float], total: float) -> None:
        """counts: observations of each bucket, the last one above all bounds; total: their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Declared(Generic[M]):
    """A row of the table; a set of metrics has the metric itself under the row's name.

    signature: name and labels, as docs/metrics.md writes them.
    """

    def __init__(self, kind: type[M], signature: str, help: str, **options: Any) -> None:
        self._kind, self._help, self._options = kind, help, options
        self._name, _, labels = signature.rstrip("}").partition("{")
        self._labels = labels.split(",") if labels else []

    def __get__(self, _metrics: object, _kind: type) -> M:
        raise AttributeError(f"{self._name} is there once DeclaredMetrics() has registered it")

    def registered(self, registry: CollectorRegistry) -> M:
        """The metric, made."""
        return self._kind(self._name, self._help, self._labels, registry=registry, **self._options)


def _counter(signature: str, help: str) -> Declared[Counter]:
    return Declared(Counter, signature, help)


def _gauge(signature: str, help: str, workers: str) -> Declared[Gauge]:
    """workers: how prometheus_client puts the workers' values together."""
    return Declared(Gauge, signature, help, multiprocess_mode=workers)


def _summary(signature: str, help: str) -> Declared[Summary]:
    return Declared(Summary, signature, help)


class DeclaredMetrics:
    """The table, in the order in which a process on its own tells it."""

    requests = _counter("reranker_requests{route,status}", "Answered requests.")
    seconds = Declared(
        BulkHistogram,
        "reranker_request_seconds{route}",
        "Seconds from a request's arrival in Flask to its answer.",
        buckets=_SECONDS,
    )
    stages = Declared(
        BulkHistogram,
        "reranker_stage_seconds{stage}",
        "Seconds in each stage of POST /rerank, without the stages inside it: they add up.",
        buckets=_STAGE_SECONDS,
    )
    candidates = Declared(
        BulkHistogram, "reranker_candidates", "Candidates in a request.", buckets=_CANDIDATES
    )
    degraded = _counter(
        "reranker_degraded{signal,reason}",
        "Answers in which a signal was left out or could not judge every candidate.",
    )
    reloads = _counter(
        "reranker_reloads{outcome}",
        "Newly published versions, by what became of them in a worker: swapped or refused.",
    )
    events = _counter(
        "reranker_events{outcome}",
        "Events sent to POST /events. Duplicates are accepted ones that were kept before; "
        "conflict: accepted ones whose shopper has another event with the same id; bot: those "
        "beyond events.bot_events_per_minute, accepted or rejected.",
    )
    events_rejected = _counter(
        "reranker_events_rejected{field}", "Rejected events, by the field that was wrong."
    )
    items_changed = _counter(
        "reranker_items_changed{outcome}",
        "Items sent to POST /items. Duplicates are accepted ones that said nothing new.",
    )
    rankings = _counter(
        "reranker_rankings{outcome}",
        "Rankings for the log of rankings: written, or lost because they could not be.",
    )
    expired = _counter(
        "reranker_expired{what}",
        "What a running service deleted because it was too old: events, days of logged rankings, "
        "leftovers of commands that were killed.",
    )
    admission = _counter(
        "reranker_admission{outcome}",
        "Requests that were let in, or refused with 503 because too much was waiting.",
    )
    waiting = _gauge(
        "reranker_waiting_candidates",
        "Candidates of requests that wait or are worked on, estimated from their length.",
        "livesum",
    )
    breaker_open = _gauge(
        "reranker_breaker_open{dependency}",
        "Workers in which the breaker of a dependency, or of a signal that fails, is open.",
        "livesum",
    )
    refused = _counter(
        "reranker_refused{reason}", "Requests that were refused before they cost anything, by why."
    )
    rate_limited = _counter(
        "reranker_rate_limited{key}", "Requests answered with 429, by the name of the API key."
    )
    items = _gauge("reranker_index_items", "Items in the served index.", "livemostrecent")
    gate_sum = _counter(
        "reranker_gate_sum",
        "Sum of the gate, which says how much personal signals counted, from 0 to 1.",
    )
    gate_count = _counter(
        "reranker_gate_count", "Rankings in which a personal signal had something to say."
    )
    cache = _counter(
        "reranker_cache{cache,outcome}", "Looks into a cache: hit, or miss (then it is computed)."
    )
    score_drift = _gauge(
        "reranker_score_drift{feature}",
        "Population stability index of the newest rankings against the first ones of this blend's"
        " version: above 0.25 is another distribution. The worker farthest off.",
        "livemax",
    )
    memory = _gauge(
        "reranker_memory_bytes",
        "Resident memory, summed over the workers; pages of the index count in each.",
        "livesum",
    )
    shadows = _counter(
        "reranker_shadows{outcome}",
        "Shadow rankings: computed, dropped under load, failed, or lost (not logged).",
    )
    shadow_overlap = _summary(
        "reranker_shadow_overlap{blend}",
        "Share of the served first ten that a shadow blend has among its first ten.",
    )
    shadow_displacement = _summary(
        "reranker_shadow_displacement{blend}",
        "Places by which a shadow blend moves the served first ten, on average.",
    )
    shadow_tau = _gauge(
        "reranker_shadow_tau{blend}",
        "Kendall's tau of the newest shadow ranking's first ten with the served.",
        "livemostrecent",
    )
    shadow_first_changed = _counter(
        "reranker_shadow_first_changed{blend}",
        "Shadow rankings with another first item than the served.",
    )
    started = _gauge(
        "reranker_start_time_seconds",
        "When the oldest worker of now began, in epoch seconds.",
        "livemin",
    )

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for attribute, declared in vars(DeclaredMetrics).items():
            if isinstance(declared, Declared):
                self.__dict__[attribute] = declared.registered(self.registry)
