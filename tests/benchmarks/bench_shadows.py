"""bench_shadows.py: what a shadow blend costs the served requests: latency with it over without.

    python tests/benchmarks/bench_shadows.py [--home HOME] [--requests 400]

One client with a pause between requests, the same ones with and without a shadow, in turns.
"""

import argparse
import statistics
import time
from pathlib import Path

from flask.testing import FlaskClient

from indexes.workspace import Workspace
from reranker.experiments.shadow_files import ShadowChoice, choose_shadows
from service.app import create_app

PAUSE = 0.005
TURNS = 6


def milliseconds(client: FlaskClient, body: dict[str, object], count: int) -> list[float]:
    """Of each request."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        client.post("/rerank", json=body)
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("var/demo"))
    parser.add_argument("--requests", type=int, default=400)
    args = parser.parse_args()
    if not (args.home / "index" / "current").exists():
        print(f"{args.home} holds no index; --home names another (`reranker demo` makes one)")
        return
    client = create_app(Workspace(args.home)).test_client()
    body: dict[str, object] = {
        "query": "red running shoes",
        "candidates": [{"id": f"{number}"} for number in range(60)],
    }
    client.post("/rerank", json=body)
    taken: dict[float, list[float]] = {0.0: [], 0.1: [], 1.0: []}
    for _ in range(TURNS):
        for share in taken:
            choose_shadows(args.home, ShadowChoice(["default@1"] if share else [], share))
            time.sleep(1.1)  # taken up within a second
            milliseconds(client, body, 5)
            taken[share] += milliseconds(client, body, args.requests // TURNS)
    choose_shadows(args.home, ShadowChoice())
    base = statistics.median(taken[0.0])
    for share, found in taken.items():
        found.sort()
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        print(f"share {share:4.0%}  p50 {p50:.2f} ms ({p50 / base:.2f}x)  p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
