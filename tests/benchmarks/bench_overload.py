"""bench_overload.py: POST /rerank at 0.5 to 10 times its capacity -> who is answered, how fast.

    python tests/benchmarks/bench_overload.py [--home DIR] [--seconds S] [--candidates N]
                                              [--loads TIMES]

One worker on one core, the client on another. The capacity is what connections that ask without
pause get; then requests come at a fixed rate, whatever becomes of them (an open loop), and each
one's time counts from when it was due. Without --home the small demo shop is made and trained.
"""

import argparse
import os
import select
import selectors
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from bench_personal import made
from bench_serving import (
    QUERIES,
    Connection,
    Server,
    posts,
    queries,
    shop_of,
    started,
)

FACTORS = (0.5, 1.0, 2.0, 5.0, 10.0)
CONNECTIONS = 512
DEADLINE = 0.1
PATIENCE = 2.0  # seconds until the client calls it a timeout
HEALTH_EVERY = 0.05


@dataclass
class Load:
    """What became of the requests of one level; times in seconds."""

    seconds: float = 0.0
    sent: int = 0
    answered: list[float] = field(default_factory=list)
    late_orders: int = 0  # answered 200, in part or whole without the signals: the time was up
    refused: list[float] = field(default_factory=list)
    no_retry_after: int = 0
    timeouts: int = 0
    resets: int = 0
    not_sent: int = 0  # the client had no free connection: its own limit

    @property
    def goodput(self) -> float:
        return sum(one <= DEADLINE for one in self.answered) / self.seconds


class Client(Connection):
    """A connection that also takes 503, and is opened anew when the server closed it, unused."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port

    def send(self, request: bytes, since: float) -> None:
        if select.select([self.socket], [], [], 0)[0]:
            self.socket.close()
            super().__init__(self.port)
        super().send(request, since)

    def complete(self) -> bool:
        block = self.socket.recv(1 << 20)
        if not block:
            raise ConnectionResetError
        self.received += block
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.received[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return len(self.received) >= end + 4 + length


def open_loop(
    port: int, requests: list[bytes], rate: float, seconds: float, pool: list[Client]
) -> Load:
    """`rate` requests a second, whatever happens to them."""
    selector = selectors.DefaultSelector()
    load, idle, busy = Load(), deque(pool), set()
    began = time.perf_counter()
    end = began + seconds
    while (now := time.perf_counter()) < end or busy:
        for _ in range(64):
            due = began + (load.sent + load.not_sent) / rate
            if due > now or due > end:
                break
            if not idle:
                load.not_sent += 1
                continue
            one = idle.popleft()
            try:
                one.send(requests[load.sent % len(requests)], due)
                selector.register(one.socket, selectors.EVENT_READ, one)
                busy.add(one)
            except OSError:
                load.resets += 1
            load.sent += 1
        due = began + (load.sent + load.not_sent) / rate
        for key, _ in selector.select(0 if due <= now < end else min(max(due - now, 0), 0.02)):
            if _take(load, key.data, idle, busy):
                selector.unregister(key.fileobj)
        if now > end + PATIENCE:
            load.timeouts += len(busy)
            break
    load.seconds = min(time.perf_counter(), end) - began
    selector.close()
    return load


def _take(load: Load, one: Client, idle: deque[Client], busy: set[Client]) -> bool:
    """Read what there is; whether that was the end of it."""
    try:
        if not one.complete():
            return False
    except OSError:
        load.resets += 1
        busy.discard(one)
        idle.append(one)
        return True
    took = time.perf_counter() - one.since
    if one.received.startswith(b"HTTP/1.1 200"):
        load.answered.append(took)
        load.late_orders += b'"deadline"' in one.received
    else:
        assert one.received.startswith(b"HTTP/1.1 503"), bytes(one.received[:300])
        load.refused.append(took)
        load.no_retry_after += b"retry-after:" not in bytes(one.received[:300]).lower()
    busy.discard(one)
    idle.append(one)
    return True


def at(times: list[float], share: float) -> float:
    """Milliseconds within which this share was answered."""
    ordered = sorted(times) or [0.0]
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def capacity(server: Server, requests: list[bytes], seconds: float) -> float:
    """Answers a second of eight connections that ask without pause; the best of three tries."""
    from bench_serving import drive

    return max(drive(server, requests, seconds).rate for _ in range(3))


class Health(threading.Thread):
    """Asks /livez and /readyz all the while."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.over = port, False
        self.times: dict[str, list[float]] = {"/livez": [], "/readyz": []}
        self.bad = 0

    def run(self) -> None:
        one = Client(self.port)
        while not self.over:
            for path, times in self.times.items():
                one.send(
                    f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode(), time.perf_counter()
                )
                while not one.complete():
                    pass
                times.append(time.perf_counter() - one.since)
                self.bad += not one.received.startswith(b"HTTP/1.1 200")
            time.sleep(HEALTH_EVERY)


def measure(
    server: Server, requests: list[bytes], seconds: float, name: str, loads: list[float]
) -> None:
    port = server.port
    most = capacity(server, requests, seconds / 2)
    print(f"{name}: capacity {most:,.0f} requests/s")
    print("   load  sent/s  goodput/s  share   200 p50/p99   cut   503 p50/p99  timeouts resets")
    pool = [Client(port) for _ in range(CONNECTIONS)]
    health = Health(port)
    health.start()
    for factor in loads:
        load = open_loop(port, requests, factor * most, seconds, pool)
        assert not load.no_retry_after
        print(
            f"  {factor:4.1f}x {load.sent / load.seconds:7,.0f} {load.goodput:10,.0f}"
            f" {load.goodput / most / min(factor, 1):6.0%}"
            f" {at(load.answered, 0.5):6.1f}/{at(load.answered, 0.99):5.1f} ms {load.late_orders:4}"
            f" {at(load.refused, 0.5):6.1f}/{at(load.refused, 0.99):5.1f} ms"
            f" {load.timeouts:8} {load.resets:6}"
            + (f"  ({load.not_sent} not sent: the client's limit)" if load.not_sent else "")
        )
        after = open_loop(port, requests, 0.5 * most, 1.0, pool)
        print(
            f"        then at 0.5x: 200 p99 {at(after.answered, 0.99):.1f} ms, "
            f"{len(after.refused)} refused in the first second"
        )
    health.over = True
    health.join()
    for path, times in health.times.items():
        print(f"  {path}: p99 {at(times, 0.99):.1f} ms")
    print(f"  not 200: {health.bad} of {sum(map(len, health.times.values()))}")
    for one in pool:
        one.socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--candidates", type=int, nargs="*", default=[100, 1000])
    parser.add_argument(
        "--loads", type=float, nargs="*", default=FACTORS, help="times the capacity"
    )
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or made(Path(folder))
        shop = shop_of(home)
        os.sched_setaffinity(0, {cores[-1]})
        program = [sys.executable, "-c", "from service.commands.cli import main; main()"]
        command = [*program, "--home", str(home), "serve", "--port", "0", "--workers", "1"]
        os.environ["RERANKER_SERVE_DRAIN_SECONDS"] = "0"
        with started(command, {cores[0]}) as server:
            for size in given.candidates:
                requests = posts(shop, size, queries(QUERIES, seed=1))
                capacity(server, requests, 1.0)  # every query is seen
                measure(server, requests, given.seconds, f"{size} candidates", given.loads)


if __name__ == "__main__":
    main()
