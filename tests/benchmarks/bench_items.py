"""bench_items.py: POST /rerank while items change a thousand times a second, and while none does.

    python tests/benchmarks/bench_items.py [--home DIR] [--seconds S] [--rate N] [--batch N]

One service, its workers on one core and the client on another; searches as in bench_serving.py, as
many as go. By turns nothing else comes, or POST /items with `rate` items a second in bodies of
`batch`: prices and stock that change; whole items of which the price changed, as feeds send them.
Each pair is measured beside itself, so that what else the machine does hits both. The home is
copied, since it keeps the changes.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from bench_personal import made
from bench_serving import (
    QUERIES,
    Connection,
    Server,
    Shop,
    drive,
    posts,
    queries,
    shop_of,
    started,
)

from indexes.items.index import ItemIndex, published_version
from indexes.items.records import FIELDS
from indexes.workspace import Workspace

SIZE: Final = 100
Change = Callable[[random.Random], dict[str, Any]]


class Upserts:
    """Changes at an even rate, from a thread, until they are stopped."""

    def __init__(self, port: int, change: Change, rate: float, batch: int) -> None:
        self._port, self._change, self._rate, self._batch = port, change, rate, batch
        self._ended = threading.Event()
        self.sent = self.late = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Upserts":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _bodies(self) -> Iterator[bytes]:
        chance = random.Random(time.time_ns())
        while True:
            body = msgspec.json.encode([self._change(chance) for _ in range(self._batch)])
            head = f"POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
            yield head.encode() + body

    def _run(self) -> None:
        connection = Connection(self._port)
        began = time.perf_counter()
        for body in self._bodies():
            wait = began + self.sent / self._rate - time.perf_counter()
            if self._ended.wait(max(wait, 0.0)):
                break
            self.late += wait < -1.0
            connection.send(body, 0.0)
            while not connection.complete():
                pass
            assert not connection.refused
            self.sent += self._batch
        connection.socket.close()


def numbers(ids: list[str]) -> Change:
    """Another price, and as often as not another availability."""

    def change(chance: random.Random) -> dict[str, Any]:
        fields = {"id": chance.choice(ids), "price": round(chance.uniform(1, 500), 2)}
        return fields | ({"available": chance.random() < 0.5} if chance.random() < 0.5 else {})

    return change


def whole_items(home: Path, ids: list[str]) -> Change:
    """Items as they are, with another price."""
    index = ItemIndex(published_version(Workspace(home)))
    items = [index.columns.item(row) for row in index.rows(ids[:5000]).tolist()]
    rows = [{name: getattr(item, name) for name in FIELDS} for item in items]
    kept = [{name: value for name, value in row.items() if value is not None} for row in rows]

    def change(chance: random.Random) -> dict[str, Any]:
        return chance.choice(kept) | {"price": round(chance.uniform(1, 500), 2)}

    return change


def compare(
    name: str, server: Server, shop: Shop, change: Change, given: argparse.Namespace
) -> None:
    seen = posts(shop, SIZE, queries(QUERIES, seed=1))
    drive(server, seen, given.seconds, at_least=len(seen))
    ratios, costs, rates, own = [], [], [], []
    late = 0
    for _ in range(given.rounds):
        alone = drive(server, seen, given.seconds)
        spent = server.processor()
        with Upserts(server.port, change, given.rate, given.batch) as upserts:
            beside = drive(server, seen, given.seconds)
        spent = server.processor() - spent
        searching = alone.processor / 1000 * len(beside.seconds)
        costs.append((spent - searching) / max(upserts.sent, 1) * 1e6)
        ratios.append(beside.rate / alone.rate)
        rates.append((alone.rate, beside.rate))
        own.append((alone.at(0.5), beside.at(0.5), alone.at(0.99), beside.at(0.99)))
        late += upserts.late
    middle = ratios.index(sorted(ratios)[len(ratios) // 2])
    before, during = rates[middle]
    p50, p50_beside, p99, p99_beside = own[middle]
    print(f"{name}, {given.rate:,} a second in bodies of {given.batch}:")
    print(
        f"      /rerank {before:,.0f} a second alone, {during:,.0f} beside: ratio "
        f"{statistics.median(ratios):.3f} ({', '.join(f'{r:.3f}' for r in ratios)})"
    )
    print(
        f"      a change costs {statistics.median(costs):.0f} us of the workers' processor; "
        f"p50 {p50:.2f} -> {p50_beside:.2f} ms, p99 {p99:.2f} -> {p99_beside:.2f} ms"
        + (f"; {late} bodies came over a second late" if late else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(given.home or made(Path(folder) / "shop"), home, symlinks=True)
        shop = shop_of(home)
        os.sched_setaffinity(0, {cores[-1]})
        program = [str(Path(sys.executable).parent / "reranker"), "--home", str(home), "serve"]
        args = ["--port", "0", "--workers", str(given.workers)]
        with started([*program, *args], {cores[0]}) as server:
            compare("prices and stock", server, shop, numbers(shop.ids), given)
            compare("whole items", server, shop, whole_items(home, shop.ids), given)


if __name__ == "__main__":
    main()
