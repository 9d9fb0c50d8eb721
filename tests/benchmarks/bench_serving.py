"""bench_serving.py: POST /rerank beside an empty Flask GET, in one run -> ratios and latencies.

    python tests/benchmarks/bench_serving.py [--home DIR] [--seconds S]

Both run under the same gunicorn settings on one core, the client on another. Queries were seen
before, as most of a shop's are; the last line of each size says what an unseen one adds. Without
--home an index of 2,000 invented items is built first.
"""

import argparse
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

CONNECTIONS = 8
ROUNDS = 3
QUERIES = 200
WORDS = (
    "red",
    "blue",
    "light",
    "warm",
    "small",
    "strong",
    "shoe",
    "lamp",
    "jacket",
    "kettle",
    "game",
)
START = "serving on port "


@dataclass
class Measured:
    """Answers a second, and seconds of each answer."""

    rate: float
    seconds: list[float]

    def at(self, share: float) -> float:
        """Milliseconds within which this share of the requests was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Connection:
    """One kept connection of the client: what was sent when, and what came so far."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.since = 0.0

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.received.clear()
        self.socket.sendall(request)

    def complete(self) -> bool:
        """Read what there is; whether the answer has all come. It has to be 200."""
        self.received += self.socket.recv(1 << 20)
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        assert self.received.startswith(b"HTTP/1.1 200"), bytes(self.received[:300])
        head = bytes(self.received[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return len(self.received) >= end + 4 + length


def drive(port: int, requests: list[bytes], seconds: float, rate: float | None = None) -> Measured:
    """As many requests as go, or `rate` a second with latency from each one's planned time."""
    selector = selectors.DefaultSelector()
    idle = [Connection(port) for _ in range(CONNECTIONS if rate is None else 4 * CONNECTIONS)]
    for connection in idle:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    found: list[float] = []
    sent, started = 0, time.perf_counter()
    end = started + seconds
    busy = 0
    while (now := time.perf_counter()) < end or busy:
        due = started + sent / rate if rate else now
        while idle and now < end and due <= now:
            idle.pop().send(requests[sent % len(requests)], due)
            sent, busy = sent + 1, busy + 1
            due = started + sent / rate if rate else now
        wait = max(0.0, min(due - now, 0.05)) if rate and idle else 0.05
        for key, _ in selector.select(wait):
            connection = key.data
            if connection.complete():
                found.append(time.perf_counter() - connection.since)
                idle.append(connection)
                busy -= 1
    elapsed = time.perf_counter() - started
    for connection in idle:
        connection.socket.close()
    return Measured(len(found) / elapsed, found)


def get() -> list[bytes]:
    return [b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"]


def posts(ids: list[str], size: int, queries: list[str]) -> list[bytes]:
    """One /rerank request a query, each with its own candidates."""
    chance = random.Random(7)
    made = []
    for query in queries:
        sent = chance.sample(ids, size)
        candidates = [{"id": item, "score": float(size - at)} for at, item in enumerate(sent)]
        body = msgspec.json.encode({"query": query, "candidates": candidates})
        head = f"POST /rerank HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


def queries(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{' '.join(chance.sample(WORDS, 3))} {chance.randrange(10**6)}" for _ in range(count)]


@contextmanager
def started(command: list[str], core: set[int]) -> Iterator[int]:
    """A server on its own core; yields its port."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield int(line.rstrip().rsplit(":" if "http" in line else " ", 1)[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def empty_server() -> None:
    """An empty Flask application under the very same gunicorn settings."""
    from flask import Flask

    from indexes.workspace import Workspace
    from service.gunicorn_server import Server, run
    from service.serve import ServeSettings, default_banner, listen

    class Empty(Server):
        def load(self) -> Flask:
            app = Flask("empty")
            app.add_url_rule("/", view_func=lambda: "")
            return app

        def _say_ready(self, worker: object) -> None:
            sys.stdout.write(f"{START}{port}\n")
            sys.stdout.flush()

    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = ServeSettings(workers=1)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), {ServeSettings: settings})
        run(workspace, listener, default_banner, Empty)


def small_index(home: Path) -> None:
    from indexes.progress import silent
    from indexes.rebuild import rebuild
    from indexes.workspace import Workspace

    chance = random.Random(3)
    lines = [
        msgspec.json.encode(
            {"id": f"item-{n}", "title": " ".join(chance.sample(WORDS, 4)) + f" {n}"}
        )
        for n in range(2000)
    ]
    home.mkdir(parents=True)
    home.joinpath("items.jsonl").write_bytes(b"\n".join(lines))
    rebuild(Workspace(home), home / "items.jsonl", progress=silent)


def ids_of(home: Path) -> list[str]:
    import numpy as np

    from indexes.item_index import ItemIndex
    from indexes.versions import VersionStore

    version = VersionStore(home / "index").current()
    assert version is not None, f"no index in {home}"
    index = ItemIndex(version)
    rows = np.random.default_rng(5).permutation(len(index))[:20_000]
    return index.ids.ids(rows)


def compare(size: int, served: int, empty: int, ids: list[str], seconds: float) -> None:
    """Both servers by turns, so that what else the machine does hits both."""
    seen = posts(ids, size, queries(QUERIES, seed=1))
    drive(served, seen, seconds / 2)  # every query is seen, every page of the index touched
    pairs = [(drive(served, seen, seconds), drive(empty, get(), seconds)) for _ in range(ROUNDS)]
    ratios = [one.rate / other.rate for one, other in pairs]
    fastest = max(one.rate for one, _ in pairs)
    half = drive(served, seen, seconds, rate=fastest / 2)
    unseen = posts(ids, size, queries(QUERIES, seed=time.time_ns()))
    print(f"{size:>5} candidates: {fastest:7,.0f} requests/s, empty GET {pairs[0][1].rate:7,.0f}")
    print(f"      ratio {statistics.median(ratios):.3f}  ({', '.join(f'{r:.3f}' for r in ratios)})")
    print(f"      at half that load: p50 {half.at(0.5):.2f} ms, p99 {half.at(0.99):.2f} ms")
    print(f"      an unseen query adds {unseen_adds(served, seen, unseen):.2f} ms at p50")


def unseen_adds(port: int, seen: list[bytes], unseen: list[bytes]) -> float:
    """Milliseconds, by turns on one connection, so that nothing waits for anything else."""
    connection = Connection(port)
    times: dict[bool, list[float]] = {False: [], True: []}
    for pair in zip(seen, unseen, strict=True):
        for new, request in enumerate(pair):
            connection.send(request, time.perf_counter())
            while not connection.complete():
                pass
            times[bool(new)].append(time.perf_counter() - connection.since)
    connection.socket.close()
    return (statistics.median(times[True]) - statistics.median(times[False])) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--empty", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.empty:
        empty_server()
        return
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder) / "home"
        if given.home is None:
            small_index(home)
        os.sched_setaffinity(0, {cores[-1]})
        program = [str(Path(sys.executable).parent / "reranker"), "--home", str(home), "serve"]
        with (
            started([*program, "--port", "0", "--workers", "1"], {cores[0]}) as served,
            started([sys.executable, __file__, "--empty"], {cores[0]}) as empty,
        ):
            ids = ids_of(home)
            for size in (100, 1000):
                if size <= len(ids):
                    compare(size, served, empty, ids, given.seconds)


if __name__ == "__main__":
    main()
