"""bench_serving.py: POST /rerank beside a bare handler and an empty GET -> ratios, latencies.

    python tests/benchmarks/bench_serving.py [--home DIR] [--seconds S]

All run by turns under the same gunicorn settings on one core, the client on another. The bare
handler is what two inner products cost in Flask: it reads the same bodies, looks up a vector for
each id, multiplies with two others, sorts by the sum and answers ids and scores. Each request is of
another of up to 1,000 shoppers, with the newest 50 events of each; all signals of the published
blend are on, nothing of an answer is kept. Queries were seen before, as most of a shop's are; the
last line of each size says what an unseen one adds. Besides requests a second, processor time of
the worker: what else the machine does touches it less. Without --home the small demo shop is made
and a model trained on it for a minute.
"""

import argparse
import os
import random
import selectors
import signal
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from bench_personal import made

from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories

CONNECTIONS = 8
ROUNDS = 3
WARM_UPS = 5
QUERIES = 200
SHOPPERS = 1000
EVENTS = 50
WORDS = "red blue light warm small strong shoe lamp jacket kettle game".split()
START = "serving on port "
BARE = "/two-dots"
_BARE_ITEMS = 5_000  # as the demo shop has


@dataclass
class Measured:
    """Answers a second, and seconds of each answer."""

    rate: float
    seconds: list[float]
    processor: float  # milliseconds of the worker's processor a request
    refused: int

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
        self.refused = False

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.received.clear()
        self.socket.sendall(request)

    def complete(self) -> bool:
        """Read what there is; whether the answer is whole. It has to be 200, or the gate's 503."""
        self.received += self.socket.recv(1 << 20)
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = self.received[9:12]
        assert status in (b"200", b"503"), bytes(self.received[:300])
        self.refused = status == b"503"
        head = bytes(self.received[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return len(self.received) >= end + 4 + length


def drive(
    server: "Server",
    requests: list[bytes],
    seconds: float,
    rate: float | None = None,
    at_least: int = 0,
) -> Measured:
    """As many requests as go, or `rate` a second with latency from each one's planned time."""
    selector = selectors.DefaultSelector()
    spent = server.processor()
    idle = [
        Connection(server.port) for _ in range(CONNECTIONS if rate is None else 4 * CONNECTIONS)
    ]
    for connection in idle:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    found: list[float] = []
    sent, started = 0, time.perf_counter()
    end = started + seconds
    busy = refused = 0
    while (now := time.perf_counter()) < end or busy or sent < at_least:
        due = started + sent / rate if rate else now
        while idle and (now < end or sent < at_least) and due <= now:
            idle.pop().send(requests[sent % len(requests)], due)
            sent, busy = sent + 1, busy + 1
            due = started + sent / rate if rate else now
        wait = max(0.0, min(due - now, 0.05)) if rate and idle else 0.05
        for key, _ in selector.select(wait):
            connection = key.data
            if connection.complete():
                if connection.refused:
                    refused += 1
                else:
                    found.append(time.perf_counter() - connection.since)
                idle.append(connection)
                busy -= 1
    elapsed = time.perf_counter() - started
    for connection in idle:
        connection.socket.close()
    processor = (server.processor() - spent) * 1000 / max(len(found), 1)
    return Measured(len(found) / elapsed, found, processor, refused)


def get() -> list[bytes]:
    return [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]


def posts(shop: "Shop", size: int, queries: list[str], route: str = "/rerank") -> list[bytes]:
    """Requests to rank, each of another shopper and with its own candidates."""
    chance = random.Random(7)
    made = []
    for number in range(max(len(queries), len(shop.users))):
        sent = chance.sample(shop.ids, size)
        asked: dict[str, object] = {
            "query": queries[number % len(queries)],
            "candidates": [{"id": item, "score": float(size - at)} for at, item in enumerate(sent)],
        }
        if shop.users:
            asked["user"] = shop.users[number % len(shop.users)]
        body = msgspec.json.encode(asked)
        head = f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


def queries(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    letters = string.ascii_lowercase
    return [
        " ".join([*chance.sample(WORDS, 3), "".join(chance.choices(letters, k=7))])
        for _ in range(count)
    ]


class Server(NamedTuple):
    """A running server of one worker."""

    port: int
    master: int

    def processor(self) -> float:
        """Seconds of processor that the worker has used."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        fields = [Path(f"/proc/{child}/stat").read_text().rsplit(") ", 1)[1] for child in children]
        ticks = sum(sum(map(int, field.split()[11:13])) for field in fields)
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(command: list[str], core: set[int]) -> Iterator[Server]:
    """A server on its own core."""
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
        port = int(line.rstrip().rsplit(":" if "http" in line else " ", 1)[1])
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def empty_server() -> None:
    """An empty Flask application, and the bare handler, under the very same gunicorn settings."""
    from flask import Flask, Response, request

    from indexes.workspace import Workspace
    from service.http.addresses import listen
    from service.http.settings import ServeSettings
    from service.server.banner import default_banner
    from service.server.gunicorn import Server, run

    class Empty(Server):
        def load(self) -> Flask:
            app = Flask("empty")
            app.add_url_rule("/", view_func=lambda: "")
            rng = np.random.default_rng(0)
            vectors = rng.standard_normal((_BARE_ITEMS, 384), np.float32)
            towards = rng.standard_normal((2, 384), np.float32)
            decoder = msgspec.json.Decoder(BareRequest)

            def bare() -> Response:
                ids = [candidate.id for candidate in decoder.decode(request.get_data()).candidates]
                found = vectors[[hash(item) % _BARE_ITEMS for item in ids]]
                scores = (found @ towards[0] + found @ towards[1]).tolist()
                order = sorted(range(len(ids)), key=scores.__getitem__, reverse=True)
                results = [{"id": ids[at], "score": scores[at]} for at in order]
                content = msgspec.json.encode({"results": results})
                return Response(content, content_type="application/json")

            app.add_url_rule(BARE, "bare", bare, methods=["POST"])
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


class BareCandidate(msgspec.Struct, gc=False):
    """What the bare handler reads of one."""

    id: str


class BareRequest(msgspec.Struct):
    """And of a request."""

    candidates: list[BareCandidate]


class Shop(NamedTuple):
    """What there is in a home to ask for."""

    ids: list[str]
    users: list[str]


def shop_of(home: Path) -> Shop:
    """Items and shoppers of this home, each shopper with 50 events: made up from the items."""
    version = VersionStore(home / "index").current()
    assert version is not None, f"no index in {home}"
    index = ItemIndex(version)
    rows = np.random.default_rng(5).permutation(len(index))[:20_000]
    ids = index.ids.ids(rows)
    if not (home / "model" / "current").exists():
        return Shop(ids, [])
    histories = open_histories(Workspace(home))
    users = [f"bench-{number}" for number in range(SHOPPERS)]
    if not histories.recent(users[-1]):
        chance = random.Random(9)
        now = time.time()
        for user in users:
            histories.append(
                [
                    HistoryEvent(
                        user=user,
                        type=chance.choice(("view", "view", "view", "cart", "purchase")),
                        item=chance.choice(ids),
                        time=now - 600.0 * (EVENTS - at),
                    )
                    for at in range(EVENTS)
                ]
            )
    histories.close()
    return Shop(ids, users)


def compare(size: int, served: Server, empty: Server, shop: Shop, seconds: float) -> None:
    """Both servers by turns, so that what else the machine does hits both."""
    seen = posts(shop, size, queries(QUERIES, seed=1))
    for _ in range(WARM_UPS):  # until every query and shopper has been seen
        if not drive(served, seen, seconds, at_least=len(seen)).refused:
            break
    before = misses(served)
    bare = posts(shop, size, queries(QUERIES, seed=1), BARE)
    drive(empty, bare, seconds / 4)
    turns = [
        (drive(served, seen, seconds), drive(empty, get(), seconds), drive(empty, bare, seconds))
        for _ in range(ROUNDS)
    ]
    pairs = [(ours, empty_get) for ours, empty_get, _ in turns]
    after = misses(served)
    ratios = [one.rate / other.rate for one, other in pairs]
    spent = [other.processor / one.processor for one, other in pairs]
    fastest = max(one.rate for one, _ in pairs)
    half = drive(served, seen, seconds, rate=fastest / 2)
    unseen = posts(shop, size, queries(QUERIES, seed=time.time_ns()))
    print(f"{size:>5} candidates: {fastest:7,.0f} requests/s, empty GET {pairs[0][1].rate:7,.0f}")
    print(f"      ratio {statistics.median(ratios):.3f}  ({', '.join(f'{r:.3f}' for r in ratios)})")
    print(
        f"      of processor time {statistics.median(spent):.3f}: "
        f"{pairs[0][0].processor:.2f} ms against {pairs[0][1].processor:.2f}"
    )
    beside = [ours.rate / bare_one.rate for ours, _, bare_one in turns]
    of_time = [bare_one.processor / ours.processor for ours, _, bare_one in turns]
    print(
        f"      beside the bare handler {statistics.median(beside):.3f} "
        f"({', '.join(f'{r:.3f}' for r in beside)}), of processor time "
        f"{statistics.median(of_time):.3f}: {turns[0][2].processor:.2f} ms"
    )
    if shop.users and after[0] > before[0]:
        share = (after[1] - before[1]) / (after[0] - before[0])
        print(f"      {len(shop.users):,} shoppers: {share:.1%} of profiles had to be worked out")
    refused = f", {half.refused} refused" if half.refused else ""
    print(
        f"      at half that load: p50 {half.at(0.5):.2f} ms, p99 {half.at(0.99):.2f} ms{refused}"
    )
    print(f"      an unseen query adds {unseen_adds(served.port, seen, unseen):.2f} ms at p50")


def misses(server: Server) -> tuple[float, float]:
    """UserProfiles asked for, and worked out anew, from /metrics."""
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if line.startswith("reranker_cache_total")]
    hit, miss = (
        sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if 'cache="profiles"' in line and f'outcome="{outcome}"' in line
        )
        for outcome in ("hit", "miss")
    )
    return hit + miss, miss


def unseen_adds(port: int, seen: list[bytes], unseen: list[bytes]) -> float:
    """Milliseconds, by turns on one connection, so that nothing waits for anything else."""
    connection = Connection(port)
    times: dict[bool, list[float]] = {False: [], True: []}
    for pair in zip(seen[:QUERIES], unseen[:QUERIES], strict=True):
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
        home = given.home or made(Path(folder))
        shop = shop_of(home)
        os.sched_setaffinity(0, {cores[-1]})
        program = [str(Path(sys.executable).parent / "reranker"), "--home", str(home), "serve"]
        with (
            started([*program, "--port", "0", "--workers", "1"], {cores[0]}) as served,
            started([sys.executable, __file__, "--empty"], {cores[0]}) as empty,
        ):
            for size in (100, 1000):
                if size <= len(shop.ids):
                    compare(size, served, empty, shop, given.seconds)


if __name__ == "__main__":
    main()
