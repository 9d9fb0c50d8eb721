"""bench_personal.py: what a history costs: user vectors, /rerank, and an event to a changed answer.

    python tests/benchmarks/bench_personal.py [--home DIR]

Without --home the small demo shop is made and a model trained for a minute; with it, the home needs
an index, events and a model. Everything runs on one thread.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest

NOW = 1_790_000_000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = args.home or made(Path(folder))
        state = load_state(Workspace(home))
        user_vectors(state, Workspace(home))
        rankings(state)
        event_to_answer(home, state)


def made(folder: Path) -> Path:
    """The small demo shop with a model."""
    from reranker.model.settings import TrainSettings
    from reranker.model_selection.train import train
    from service.demo.season.data import SMALL, write_shop
    from service.page.parts.request_sets import EVENTS, ITEMS

    write_shop(folder / "data", SMALL)
    workspace = Workspace(folder / "home")
    rebuild(workspace, folder / "data" / ITEMS, progress=silent)
    histories = open_histories(workspace)
    Importer(workspace, folder / "data" / EVENTS, silent).run(histories)
    histories.close()
    train(workspace, TrainSettings(minutes=1), on_line=lambda _line: None)
    return workspace.home


def spent(work: Callable[[], object], times: int = 300, warm: int = 20) -> list[float]:
    """Milliseconds of each call, after a few to get warm."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1e3)
    return sorted(taken)


def told(name: str, taken: list[float], more: str = "") -> float:
    middle = statistics.median(taken)
    late = taken[int(len(taken) * 0.99)]
    print(f"{name:<44}p50 {middle:7.3f} ms   p99 {late:7.3f} ms   {more}")
    return middle


def history(state: ServedState, length: int, seed: int = 0) -> list[HistoryEvent]:
    rows = np.random.default_rng(seed).integers(len(state.index), size=length)
    items = state.index.ids.ids(rows)
    return [
        HistoryEvent(type="view", item=item, time=NOW - 60.0 * (length - at))
        for at, item in enumerate(items)
    ]


def user_vectors(state: ServedState, workspace: Workspace) -> None:
    """Ours beside torch, on the same weights."""
    import torch
    from support.torch_models import load_model

    torch.set_num_threads(1)
    by_torch, model = load_model(workspace, state.index), state.model
    assert by_torch and model
    for length in (1, 10, 50):
        events = history(state, length)
        ours = told(
            f"user vector of {length} events",
            spent(lambda e=events: model.user_vector(e, NOW, state.query_vectors)),
        )
        theirs = spent(lambda e=events: by_torch.user_vectors([(e, NOW)]), 100)
        middle = told("  the same by torch", theirs)
        print(f"  ratio ours : torch {ours / middle:.2f}")


def rankings(state: ServedState) -> None:
    """A ranking with a history beside the same without."""
    for size in (100, 1000):
        rows = np.arange(min(size, len(state.index)), dtype=np.int64)
        candidates = [Candidate(item) for item in state.index.ids.ids(rows)]
        base = None
        for length in (0, 10, 50):
            sent = [
                Event(type=one.type, item=one.item, time=one.time) for one in history(state, length)
            ]
            asked = RerankRequest(candidates, query="blue jacket", history=sent, time=NOW)
            taken = spent(lambda a=asked: rerank(a, state), 150)
            name = f"rerank {len(candidates)} candidates, {length} events"
            middle = told(name, taken)
            base = base or middle
            if length:
                print(f"  ratio to no history {middle / base:.2f}")


def event_to_answer(home: Path, state: ServedState) -> None:
    """POST /events, then POST /rerank of the same user: the whole way to a changed answer."""
    program = "from service.commands.cli import main; main()"
    command = [sys.executable, "-c", program, "--home", str(home.resolve())]
    process = subprocess.Popen(
        [*command, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        connection = http.client.HTTPConnection("127.0.0.1", _port(process), timeout=30)
        ids = state.index.ids.ids(np.arange(100, dtype=np.int64))
        asked: dict[str, Any] = {"query": "blue jacket", "candidates": [{"id": one} for one in ids]}
        taken, changed = [], 0
        for turn in range(220):
            user = f"bench {turn}"
            before = _post(connection, "/rerank", {**asked, "user": user})
            began = time.perf_counter()
            _post(
                connection,
                "/events",
                {"user": user, "type": "view", "item": ids[turn % 100], "time": time.time()},
            )
            after = _post(connection, "/rerank", {**asked, "user": user})
            taken.append((time.perf_counter() - began) * 1e3)
            scores = [[one["score"] for one in answer["results"]] for answer in (before, after)]
            changed += scores[0] != scores[1]
        told(
            "event acknowledged to changed answer", sorted(taken[20:]), f"{changed} of 220 changed"
        )
    finally:
        process.terminate()
        process.wait()


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            return int(line.split("http://127.0.0.1:")[1].split()[0].strip("/."))
    raise SystemExit("the service did not start")


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data
    return json.loads(data)


if __name__ == "__main__":
    main()
