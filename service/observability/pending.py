"""pending.py: many observations -> few writes to Prometheus' files.

With several workers each observation of prometheus_client writes to a mapped file, 2 to 4
microseconds; a dozen a request would be more than the rest of the bookkeeping. Here a request
adds to plain numbers, and now and then those are written as if each had been observed.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter

from reranker.runtime.caches import CacheCounts
from service.observability.declared import BulkHistogram

Labels = tuple[str, ...]
Add = Callable[[str, str, int], object]


class Pending:
    """Counts that wait to be written, by metric and labels; all behind one lock."""

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
