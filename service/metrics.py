"""metrics.py: what the service does -> Prometheus counters, over all workers.

Labels come from short, fixed lists: no user, query or item ever becomes one.
"""

import os
import re
import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from reranker.event_cleaning import FIELDS

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"  # has to be set before this is imported
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CANDIDATES: Final = (0, 1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def run_folder() -> Path | None:
    """The folder in which the workers of one start meet; None for a process on its own."""
    folder = os.environ.get(MULTIPROCESS_DIR)
    return Path(folder) if folder else None


class Metrics:
    """One set of counters; every application makes its own."""

    def __init__(self) -> None:
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
        self.stages = Histogram(
            "reranker_stage_seconds",
            "Seconds in each stage of POST /rerank.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.candidates = Histogram(
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
            "Events sent to POST /events. Duplicates are accepted ones, by their id; bot: those "
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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of POST /rerank."""
        started = time.perf_counter()
        yield
        self.stages.labels(name).observe(time.perf_counter() - started)

    def count_degraded(self, signal: str, reason: str) -> None:
        """Count a degradation; what does not look like a name of ours is counted as "other"."""
        labels = (value if _LABEL.fullmatch(value) else "other" for value in (signal, reason))
        self.degraded.labels(*labels).inc()

    def count_rankings(self, outcome: str, count: int) -> None:
        """Count rankings that were logged, or were not."""
        self.rankings.labels(outcome).inc(count)

    def count_events(
        self, accepted: int, duplicates: int, bot_like: int, rejected: Iterable[str]
    ) -> None:
        """Count one POST /events. rejected: the wrong field of each, "" for what is no event."""
        fields = Tally(_field_label(field) for field in rejected)
        for outcome, count in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("rejected", fields.total()),
            ("bot", bot_like),
        ):
            self.events.labels(outcome).inc(count)
        for field, count in fields.items():
            self.events_rejected.labels(field).inc(count)

    def exposition(self) -> bytes:
        """What Prometheus reads, summed over the workers that share a folder."""
        if MULTIPROCESS_DIR not in os.environ:
            return generate_latest(self._registry)
        summed = CollectorRegistry()
        multiprocess.MultiProcessCollector(summed)  # type: ignore[no-untyped-call]
        return generate_latest(summed)


def _field_label(field: str) -> str:
    """The names of our fields, and no other text of a sender."""
    if not field:
        return "event"
    return field if field in FIELDS else "other"
