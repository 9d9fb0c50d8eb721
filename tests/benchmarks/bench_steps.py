"""bench_steps.py: one /rerank of 100 candidates and 50 events, step by step -> each step's share.

    python tests/benchmarks/bench_steps.py [--home DIR] [--candidates N]

Medians in the process, one thread. The floor beside a step is the least that its data can cost
here, measured in the same run: bare decoding, one gather, one product, one SQLite query. Without
--home the small demo shop is made and a model trained on it for a minute.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import msgspec
import numpy as np
from bench_personal import made
from bench_serving import Shop, queries, shop_of
from threadpoolctl import threadpool_limits

from indexes.workspace import Workspace
from reranker.ranking.ranking import gate_of, rerank, results_of, wanted
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from reranker.signals.columns import Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Columns, in_turn
from service.api.requests import RequestReader
from service.api.rerank import answer_of
from service.http.settings import LimitSettings

_ROUNDS = 600


@dataclass
class Steps:
    """Microseconds of each step, of many requests."""

    seconds: dict[str, list[float]]

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)
        return found

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name]) * 1e6 if name in self.seconds else 0.0


def bodies(shop: Shop, size: int) -> list[bytes]:
    rng = np.random.default_rng(3)
    asked = queries(50, seed=2)
    return [
        msgspec.json.encode(
            {
                "query": asked[number % len(asked)],
                "user": shop.users[number % 50],
                "candidates": [
                    {"id": shop.ids[at], "score": float(-place)}
                    for place, at in enumerate(rng.choice(len(shop.ids), size, replace=False))
                ],
            }
        )
        for number in range(200)
    ]


def one(state: ServedState, body: bytes, limits: LimitSettings, steps: Steps) -> None:
    """What `rerank` does, in its order, with a clock between its parts."""
    began = time.perf_counter()
    asked = steps("read JSON", lambda: RequestReader(limits).read(body).request)
    context = RankingContext(
        asked, state.index, state.query_vectors, state.text_limit, personal=state.personal
    )
    blend, _ = state.blend(None)
    steps("ids to rows", lambda: context.rows)
    steps("history and profile", lambda: context.history)
    steps("item vectors", lambda: context.item_vectors)
    steps("query vector", lambda: context.query_encoded)
    steps("query words", lambda: context.terms)
    if state.model and state.model.has_encoder:
        steps("user vector", lambda: context.user_vector)
    columns: Columns = {}
    signals, context.together = in_turn(*(SIGNALS[name] for name in wanted(blend, {})))
    for reads, whose in zip(context.together, ("everybody", "the shopper"), strict=True):
        if reads and not isinstance(context.history, Missing):
            steps(f"read of items, for {whose}", partial(context.read, reads[0]))
    for signal in signals:
        column = steps(f"signal {signal.name}", partial(signal.compute, context))
        columns[signal.name] = context.columns[signal.name] = column
    gate = steps("gate", lambda: gate_of(blend, context, columns))
    score, _ = steps(
        "blend", lambda: scored(blend, columns, {}, len(context.ids), gate or 1.0, {}, False)
    )
    order = steps("sort", lambda: np.argsort(-score, kind="stable"))
    results = steps("results", lambda: results_of(context.ids, order, score, None))
    context.done()
    ranking = rerank(RerankRequest([Candidate("x")]), state)
    ranking = msgspec.structs.replace(ranking, results=results)
    steps("write JSON", lambda: msgspec.json.encode(answer_of(ranking, began)))


def floors(state: ServedState, body: bytes, home: Path, steps: Steps) -> None:
    """The bare operation on the same data, beside the step of its name."""
    asked = msgspec.json.decode(body, type=RerankRequest)
    rows = state.index.rows([candidate.id for candidate in asked.candidates])
    vectors, n = state.index.vectors(rows), len(rows)
    some = np.random.default_rng(0).standard_normal(n)
    bare = np.zeros((50_000, vectors.shape[1]), np.uint16)
    places = rows % len(bare)
    query = vectors[0].copy()
    db = sqlite3.connect(f"file:{home / 'events' / 'history.db'}?mode=ro", uri=True)
    shopper = db.execute("SELECT shopper FROM events LIMIT 1").fetchone()[0]
    newest = "SELECT payload FROM events WHERE shopper = ? ORDER BY time DESC, seq DESC LIMIT 50"
    answer = {"results": [{"id": "12345", "index": 1, "rank": 1, "score": 1.5}] * n}
    towards = np.zeros((vectors.shape[1], 20), np.float32)
    known = {candidate.id: 1 for candidate in asked.candidates}
    for name, work in {
        "read JSON": lambda: msgspec.json.decode(body),
        "ids to rows": lambda: [known[candidate.id] for candidate in asked.candidates],
        "history and profile": lambda: db.execute(newest, (shopper,)).fetchall(),
        "item vectors": lambda: bare[places],
        "signal semantic": lambda: vectors @ query,
        "signal typical": lambda: vectors @ (some.astype(np.float32) @ vectors),
        "read of items, for the shopper": lambda: vectors @ towards,
        "signal behaviour": lambda: vectors @ query,
        "blend": lambda: some * 0.5,
        "sort": lambda: np.argsort(some),
        "write JSON": lambda: msgspec.json.encode(answer),
    }.items():
        steps(name, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--candidates", type=int, default=100)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    threadpool_limits(1, "blas")
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or made(Path(folder))
        shop, state = shop_of(home), load_state(Workspace(home))
        sent = bodies(shop, given.candidates)
        steps, least, limits = Steps({}), Steps({}), LimitSettings()
        for body in sent:
            one(state, body, limits, Steps({}))
        for number in range(_ROUNDS):
            one(state, sent[number % len(sent)], limits, steps)
            floors(state, sent[number % len(sent)], home, least)
    total = sum(steps.median(name) for name in steps.seconds)
    print(f"{'step':<32}{'us':>8}{'share':>8}{'floor us':>10}")
    for name in steps.seconds:
        floor = f"{least.median(name):10.1f}" if name in least.seconds else " " * 10
        middle = steps.median(name)
        print(f"{name:<32}{middle:>8.1f}{middle / total:>8.1%}{floor}")
    print(f"{'all':<32}{total:>8.1f}")


if __name__ == "__main__":
    main()
