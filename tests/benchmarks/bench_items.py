"""bench_items.py: POST /rerank while items change a thousand times a second, and while none does.

    python tests/benchmarks/bench_items.py [--home DIR] [--seconds S] [--rate N] [--batch N]

One service, its workers on one core and the client on another; searches as in bench_serving.py, as
many as go. By turns nothing else comes, or POST /items with `rate` items a second in bodies of
`batch`: prices and stock that change; whole items of which the price changed, as feeds send them.
Each pair is measured beside itself, so that what else the machine does hits both; processor time
says more than rates where others are at work. The home is copied, since it keeps the changes.
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
from typing import Any, Final, NamedTuple

import msgspec
from bench_personal import made
from bench_serving import (
    QUERIES,
    Connection,
    Measured,
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
KEPT: Final = 5000  # items that whole ones are of
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
    items = [index.columns.item(row) for row in index.rows(ids[:KEPT]).tolist()]
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
    with Upserts(server.port, change, given.rate, given.batch):  # all have been changed once
        time.sleep(KEPT / given.rate)
    rounds = [_round(server, seen, change, given) for _ in range(given.rounds)]
    ratios = [one.beside.rate / one.alone.rate for one in rounds]
    middle = rounds[ratios.index(sorted(ratios)[len(ratios) // 2])]
    alone, beside = middle.alone, middle.beside
    cost, only = (statistics.median(getattr(one, name) for one in rounds) for name in _COSTS)
    late = sum(one.late for one in rounds)
    print(f"{name}, {given.rate:,} a second in bodies of {given.batch}:")
    print(
        f"      /rerank {alone.rate:,.0f} a second alone, {beside.rate:,.0f} beside: ratio "
        f"{statistics.median(ratios):.3f} ({', '.join(f'{r:.3f}' for r in ratios)})"
    )
    print(
        f"      a change costs {cost:.0f} us of processor beside searches, {only:.0f} without: "
        f"{cost * given.rate / 1e4:.1f} % and {only * given.rate / 1e4:.1f} % of a core"
    )
    print(
        f"      p50 {alone.at(0.5):.2f} -> {beside.at(0.5):.2f} ms, "
        f"p99 {alone.at(0.99):.2f} -> {beside.at(0.99):.2f} ms"
        + (f"; {late} bodies came over a second late" if late else "")
    )


_COSTS: Final = ("cost", "only")


class Round(NamedTuple):
    """cost, only: microseconds of the workers' processor a change, beside searches and without."""

    alone: Measured
    beside: Measured
    cost: float
    only: float
    late: int


def _round(server: Server, seen: list[bytes], change: Change, given: argparse.Namespace) -> Round:
    alone = drive(server, seen, given.seconds)
    spent = server.processor()
    with Upserts(server.port, change, given.rate, given.batch) as upserts:
        beside = drive(server, seen, given.seconds)
    spent = server.processor() - spent - alone.processor / 1000 * len(beside.seconds)
    own = server.processor()
    with Upserts(server.port, change, given.rate, given.batch) as others:
        time.sleep(given.seconds)
    own = server.processor() - own
    costs = spent / max(upserts.sent, 1) * 1e6, own / max(others.sent, 1) * 1e6
    return Round(alone, beside, *costs, upserts.late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
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
