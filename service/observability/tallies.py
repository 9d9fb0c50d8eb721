"""tallies.py: many observations -> few writes to Prometheus' files.

With several workers each observation of prometheus_client writes to a mapped file, 2 to 4
microseconds; a dozen a request would be more than the rest of the bookkeeping. Here a request
adds to plain numbers, and now and then those are written as if each had been observed.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import Counter, Histogram

from reranker.runtime.caches import CacheCounts

Labels = tuple[str, ...]


class BulkHistogram(Histogram):
    """A histogram that takes many observations at once, by bucket."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """counts: observations of each bucket, the last one above all bounds; total: their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class HistogramTally:
    """Observations of one histogram that wait to be written, by label."""

    def __init__(self, histogram: BulkHistogram, bounds: Sequence[float]) -> None:
        self._histogram, self._bounds = histogram, tuple(bounds)
        self._waiting: dict[Labels, list[float]] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        found = self._waiting.get(labels)
        if found is None:
            found = self._waiting[labels] = [0.0] * (len(self._bounds) + 2)
        found[bisect_left(self._bounds, value)] += 1
        found[-1] += value

    def write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for labels, found in waiting.items():
            child = self._histogram.labels(*labels) if labels else self._histogram
            child.add([int(count) for count in found[:-1]], found[-1])


class CounterTally:
    """Increments of one counter that wait to be written, by label."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._waiting: dict[Labels, float] = {}

    def inc(self, labels: Labels, amount: float = 1.0) -> None:
        self._waiting[labels] = self._waiting.get(labels, 0.0) + amount

    def write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for labels, amount in waiting.items():
            (self._counter.labels(*labels) if labels else self._counter).inc(amount)


class Tallies:
    """All of them behind one lock, taken once a request."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self._all: list[HistogramTally | CounterTally] = []

    def histogram(self, histogram: BulkHistogram, bounds: Sequence[float]) -> HistogramTally:
        tally = HistogramTally(histogram, bounds)
        self._all.append(tally)
        return tally

    def counter(self, counter: Counter) -> CounterTally:
        tally = CounterTally(counter)
        self._all.append(tally)
        return tally

    def write(self) -> None:
        """Write what waits."""
        with self.lock:
            for tally in self._all:
                tally.write()


class CacheDeltas:
    """Counts that only grow, of caches that come and go -> what is new in them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[CacheCounts, int, int]] = {}

    def since(self, name: str, counts: CacheCounts, add: Callable[[str, str, int], object]) -> None:
        """Add what was counted since the last look; a cache that was swapped is accounted first."""
        seen = self._seen.get(name)
        if seen is not None and seen[0] is not counts:
            self._add(name, *seen, add)
            seen = None
        self._add(name, *(seen or (counts, 0, 0)), add)

    def _add(
        self,
        name: str,
        counts: CacheCounts,
        hits: int,
        misses: int,
        add: Callable[[str, str, int], object],
    ) -> None:
        now = counts.hits, counts.misses
        add(name, "hit", now[0] - hits)
        add(name, "miss", now[1] - misses)
        self._seen[name] = (counts, *now)
