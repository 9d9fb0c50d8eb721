"""aggregate.py: results of single queries -> means, differences with intervals, and counts."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.items.words import folded
from indexes.storage.arrays import Floats
from reranker.evaluation.results import TOP, QueryResult
from reranker.metrics.intervals import LEVEL, RESAMPLES, SEED, Difference, paired_differences
from reranker.ranking.ranking import Degraded


class Coverage(msgspec.Struct, frozen=True):
    """How much of what was ranked has a rating at all; the rest counts as grade 0."""

    candidates: int
    judged: int
    judged_share: float
    judged_share_top10: dict[str, float]


class DegradedCount(msgspec.Struct, frozen=True):
    """How often a signal of a blend could not say all that it might have, and why."""

    blend: str
    signal: str
    reason: str
    requests: int
    candidates: int


@dataclass
class Aggregate:
    """What all requests together say. Holds a few numbers a request, not the requests."""

    metric_names: tuple[str, ...]
    orders: tuple[str, ...]
    queries: int = 0
    left_out: int = 0
    later_events: int = 0
    _values: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    _judged_only: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    _clusters: list[Hashable] = field(default_factory=list)
    _users: bool = False
    _counts: Counter[str] = field(default_factory=Counter)
    _judged_top: Counter[str] = field(default_factory=Counter)
    _degraded: dict[tuple[str, str, str], Counter[str]] = field(default_factory=dict)

    def add(self, result: QueryResult) -> None:
        """Count one request."""
        if result.left_out:
            self.left_out += 1
            return
        self.queries += 1
        self.later_events += result.later_events
        self._users |= result.user is not None
        # requests of nobody in particular are as many as there are query texts
        by_query = f"query {folded(result.query)}" if result.query else self.queries
        self._clusters.append(by_query if result.user is None else result.user)
        for order, values in result.metrics.items():
            self._values.setdefault(order, []).append(tuple(values.values()))
        for order, values in result.judged_only.items():
            self._judged_only.setdefault(order, []).append(tuple(values.values()))
        top = min(TOP, result.candidates)
        self._counts.update(candidates=result.candidates, judged=result.judged, top=top)
        self._judged_top.update(result.judged_top)
        for blend, lost in result.degraded.items():
            self._add_degraded(blend, lost, result.candidates)

    def _add_degraded(self, blend: str, lost: list[Degraded], candidates: int) -> None:
        for degraded in lost:
            count = self._degraded.setdefault((blend, degraded.signal, degraded.reason), Counter())
            count.update(
                requests=1, candidates=candidates if degraded.count is None else degraded.count
            )

    def check(self) -> None:
        """Failure when there is nothing to report on."""
        if not self.queries:
            raise Failure(
                f"None of the {self.left_out:,} requests has a rating above 0.",
                field="ratings",
                hint="Give ratings in the requests, or in a file with --judgments.",
            )

    @property
    def clusters(self) -> list[Hashable] | None:
        """The shopper behind each query, else its text; None where each stands for itself."""
        together = self._users or len(set(self._clusters)) < len(self._clusters)
        return self._clusters if together else None

    @property
    def shoppers(self) -> int | None:
        """How many independent units there are; None where every query is one."""
        return len(set(self._clusters)) if self._users else None

    def values(self, order: str) -> Floats:
        """Metrics (queries, metrics) of one order."""
        return np.array(self._values[order], dtype=np.float64)

    def judged_only(self, order: str) -> Floats:
        """The same of the order without the items that have no rating."""
        return np.array(self._judged_only[order], dtype=np.float64)

    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric, by order."""
        return {order: self._means(self.values(order)) for order in self.orders}

    def judged_only_means(self) -> dict[str, dict[str, float]]:
        """The same of the orders without the items that have no rating."""
        return {order: self._means(self.judged_only(order)) for order in self.orders}

    def _means(self, values: Floats) -> dict[str, float]:
        return dict(zip(self.metric_names, values.mean(axis=0).tolist(), strict=True))

    def differences(
        self,
        order: str,
        baseline: str,
        resamples: int = RESAMPLES,
        seed: int = SEED,
        level: float = LEVEL,
    ) -> dict[str, Difference]:
        """One order minus another, by metric."""
        apart = self.values(order) - self.values(baseline)
        return self._differences(apart, resamples, seed, level)

    def judged_only_differences(
        self, order: str, baseline: str, resamples: int = RESAMPLES, seed: int = SEED
    ) -> dict[str, Difference]:
        """The same of the orders without the items that have no rating."""
        apart = self.judged_only(order) - self.judged_only(baseline)
        return self._differences(apart, resamples, seed)

    def _differences(
        self, apart: Floats, resamples: int, seed: int, level: float = LEVEL
    ) -> dict[str, Difference]:
        differences = paired_differences(apart, self.clusters, resamples, seed, level)
        return dict(zip(self.metric_names, differences, strict=True))

    def coverage(self) -> Coverage:
        """How much of the evaluated requests is judged."""
        count = self._counts
        return Coverage(
            candidates=count["candidates"],
            judged=count["judged"],
            judged_share=count["judged"] / count["candidates"],
            judged_share_top10={
                order: self._judged_top[order] / count["top"] for order in self.orders
            },
        )

    def degraded_counts(self) -> list[DegradedCount]:
        """The most frequent first."""
        counts = [
            DegradedCount(*key, requests=count["requests"], candidates=count["candidates"])
            for key, count in self._degraded.items()
        ]
        return sorted(counts, key=lambda degraded: -degraded.requests)
