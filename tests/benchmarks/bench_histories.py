"""bench_histories.py: histories -> microseconds to read 50 events, milliseconds to keep one.

    PYTHONPATH=tests python tests/benchmarks/bench_histories.py [--events 1000000] [--folder DIR]

One user has 50 events, another as many as --events says. Beside the file a Redis, started here
where redis-server is installed, with everysec and with always; ratios are of the medians.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from support.redis_servers import Server, server

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories
from reranker.histories.redis_nodes import read_url
from reranker.histories.redis_store import RedisHistories
from reranker.histories.store import SqliteHistories
from reranker.pseudonyms.keys import PseudonymKeys


def spent(work: Callable[[], object], times: int) -> tuple[float, str]:
    """Median of one call in microseconds; and in words, with the 99th percentile."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e6)
    taken.sort()
    median = statistics.median(taken)
    return median, f"p50 {median:8,.0f} us   p99 {taken[int(times * 0.99)]:8,.0f} us"


def some(user: str, start: int, count: int) -> list[HistoryEvent]:
    """Views of items, a second apart."""
    return [
        HistoryEvent(type="view", item=str(n % 9973), time=1e9 + n, price=9.5, user=user)
        for n in range(start, start + count)
    ]


def measure(name: str, store: Histories, events: int) -> dict[str, float]:
    """Medians in microseconds, printed as they come."""
    print(f"== {name}")
    started = time.perf_counter()
    for start in range(0, events, 5000):
        store.append(some("many", start, min(5000, events - start)))
    print(f"append in batches of 5,000: {events / (time.perf_counter() - started):,.0f} events/s")
    store.append(some("few", 0, 50))
    medians = {}
    for user in ("few", "many"):
        medians[user], told = spent(lambda user=user: store.recent(user), 5000)
        print(f"recent, user with {user:<5}: {told}")
    late = iter([some("many", events + n, 1) for n in range(2000)])
    medians["append"], told = spent(lambda: store.append(next(late)), 2000)
    print(f"append one             : {told}   {1e6 / medians['append']:,.0f}/s a client")
    for user in range(400):
        store.append(some(f"shopper {user}", 0, 50))
    started = time.perf_counter()
    read = sum(len(history) for _, history in store.stream())
    print(f"all of them, as training reads: {read / (time.perf_counter() - started):,.0f} events/s")
    started = time.perf_counter()
    store.forget("few")
    print(f"forget                 : {time.perf_counter() - started:.2f} s")
    return medians


def bytes_a_shopper(redis: Server) -> None:
    """What a shopper of 50 events takes in the server's memory."""
    keys = [key for key in redis.ask("KEYS", "*:{u*}:e") if redis.ask("ZCARD", key) == 50]
    sizes = [
        redis.ask("MEMORY", "USAGE", key) + redis.ask("MEMORY", "USAGE", key[:-1] + b"k")
        for key in keys[:100]
    ]
    print(f"a shopper of 50 events : {statistics.median(sizes):,.0f} bytes in the server's memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="A folder on the disk to be measured.")
    args = parser.parse_args()
    settings = HistorySettings(events_per_user=args.events + 10_000)
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = Path(made)
        keys = PseudonymKeys(folder)
        file = SqliteHistories(folder / "events", settings, keys)
        of_file = measure("a file (SQLite)", file, args.events)
        file.close()
        if find_spec("redis") is None or shutil.which("redis-server") is None:
            print("no Redis: the package redis or redis-server is not installed")
            return
        for fsync in ("everysec", "always"):
            with server(folder / fsync, "--appendfsync", fsync) as redis:
                histories = RedisHistories(read_url(redis.url), settings, keys)
                of_redis = measure(f"a Redis, appendfsync {fsync}", histories, args.events)
                ratios = {name: of_redis[name] / median for name, median in of_file.items()}
                print("of the file's time     :", {n: f"{r:.2f}x" for n, r in ratios.items()})
                bytes_a_shopper(redis)
                histories.close()


if __name__ == "__main__":
    main()
