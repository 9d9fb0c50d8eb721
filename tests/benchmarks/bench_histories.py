"""bench_histories.py: histories -> microseconds to read 50 events, milliseconds to keep one.

    python tests/benchmarks/bench_histories.py [--events 1000000] [--folder DIR]

One user has 50 events, another as many as --events says.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.store import SqliteHistories


def spent(work: Callable[[], object], times: int) -> str:
    """Median and 99th percentile of one call, in microseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e6)
    taken.sort()
    return f"p50 {statistics.median(taken):8,.0f} us   p99 {taken[int(times * 0.99)]:8,.0f} us"


def some(user: str, start: int, count: int) -> list[HistoryEvent]:
    """Views of items, a second apart."""
    return [
        HistoryEvent(type="view", item=str(n % 9973), time=1e9 + n, price=9.5, user=user)
        for n in range(start, start + count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="A folder on the disk to be measured.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        settings = HistorySettings(events_per_user=args.events + 10_000)
        store = SqliteHistories(Path(folder) / "events", settings)
        started = time.perf_counter()
        for start in range(0, args.events, 5000):
            store.append(some("many", start, min(5000, args.events - start)))
        seconds = time.perf_counter() - started
        print(f"append in batches of 5,000: {args.events / seconds:,.0f} events/s")
        store.append(some("few", 0, 50))
        for user in ("few", "many"):
            print(f"recent, user with {user:<5}: {spent(lambda u=user: store.recent(u), 5000)}")
        late = iter([some("many", args.events + n, 1) for n in range(500)])
        print(f"append one, on disk    : {spent(lambda: store.append(next(late)), 500)}")
        started = time.perf_counter()
        store.forget("few")
        print(f"forget                 : {time.perf_counter() - started:.2f} s")
        store.close()


if __name__ == "__main__":
    main()
