"""bench_recommend.py: what a recommendation costs in a large catalogue, and a whole base of them.

    python tests/benchmarks/bench_recommend.py [--items 1000000] [--home DIR]

First a catalogue of random vectors, where a shopper with a history of 20 items is recommended to:
wall clock and processor time of the whole answer (limit: 15 ms in 99 of 100), beside the exact
search over all vectors alone. Then `recommend --all` on one core, of the home (it needs an index,
events and a model), or of the small demo shop, with the users a second.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
from bench_million import build
from bench_personal import made

from indexes.workspace import Workspace
from reranker.applications.recommendations.all_shoppers import write_all
from reranker.applications.recommendations.candidates import MOST, CatalogueLists
from reranker.applications.recommendations.recommend import recommend
from reranker.applications.recommendations.wishes import Wish
from reranker.histories.store import open_histories
from reranker.ranking.state import load_state
from reranker.requests import Event, RerankRequest

LIMIT_MS = 15.0
ASKED = 300
USERS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large(Path(folder) / "large", chosen.items)
        base(chosen.home or made(Path(folder)), Path(folder) / "recs.parquet")


def large(home: Path, items: int) -> None:
    """One answer after another, each of another shopper."""
    build(home, items)
    state = load_state(Workspace(home))
    lists = CatalogueLists(state.index, None)
    begun = time.process_time()
    vectors = lists.space.item_vectors(np.arange(min(items, 1000)))
    print(f"{items:,} items; index in memory built in {time.process_time() - begun:.0f} s of CPU")
    rng = np.random.default_rng(1)

    def asked() -> Wish:
        met = [f"item-{row}" for row in rng.choice(items, 20, replace=False).tolist()]
        history = [Event(type="view", item=item, time=1e9 + at) for at, item in enumerate(met)]
        return Wish(RerankRequest([], history=history), top_n=20)

    recommend(asked(), state, lists)
    wall, cpu = timed(lambda: recommend(asked(), state, lists))
    flat = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, items, 50_000):
        flat.add(lists.space.item_vectors(np.arange(start, min(start + 50_000, items))))
    exact, _ = timed(lambda: flat.search(vectors[:1], MOST), 20)
    p50, p99 = np.quantile(wall, [0.5, 0.99]).tolist()
    print(f"  one answer      p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   CPU {np.mean(cpu):7.2f} ms")
    print(f"  exact search    p50 {np.median(exact):7.2f} ms   ({np.median(exact) / p50:.1f}x)")
    print(f"  p99 / limit     {p99 / LIMIT_MS:.2f} (limit {LIMIT_MS:g} ms)")


def timed(work: Callable[[], object], times: int = ASKED) -> tuple[list[float], list[float]]:
    """Milliseconds by the wall and of this process, each time."""
    wall, cpu = [], []
    for _ in range(times):
        begun, used = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - begun) * 1e3)
        cpu.append((time.process_time() - used) * 1e3)
    return wall, cpu


def base(home: Path, out: Path) -> None:
    """Everybody, at most USERS, on one core."""
    workspace = Workspace(home)
    histories = open_histories(workspace)
    state = load_state(workspace, histories)
    users = list(islice(histories.users(), USERS))
    wall, cpu = timed(lambda: write_all(users, Wish(RerankRequest([])), state, out), 1)
    histories.close()
    print(
        f"recommend --all, {len(state.index):,} items, {len(users):,} users: "
        f"{len(users) / wall[0] * 1e3:.0f} users/s by the wall, "
        f"{len(users) / cpu[0] * 1e3:.0f} a second of processor time of one core"
    )


if __name__ == "__main__":
    main()
