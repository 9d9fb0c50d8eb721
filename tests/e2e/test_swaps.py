"""New indexes, blends and models under load; the same request gives the same bytes."""

import http.client
import json
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.service import ALL_LET_IN, Running, serving
from support.shop import copy_home, small_shop, write_items
from support.swaps import _swap_blend, _swap_model
from support.waiting import wait_until

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.ranking.state import load_state
from reranker.requests import Candidate, RerankRequest

NOW = time.time()
BODY: dict[str, Any] = {
    "query": "coffee maker",
    "candidates": [{"id": f"{number}"} for number in range(60)],
}


# Swaps


class Versions(threading.Thread):
    """Asks at a fixed rate, and keeps every answer with the versions it names."""

    def __init__(self, service: Running, rate: float) -> None:
        super().__init__()
        self.service, self.pause, self.over = service, 1 / rate, threading.Event()
        self.found: dict[tuple[str, str, str], set[str]] = {}
        self.failed: list[Any] = []
        self.answers = 0

    def run(self) -> None:
        body = {**BODY, "user": "u3", "time": NOW}
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=180)
        while not self.over.wait(self.pause):
            try:
                connection.request("POST", "/rerank", json.dumps(body).encode())
                answer = connection.getresponse()
                found = json.loads(answer.read())
                assert answer.status == 200, found
            except Exception as error:
                self.failed.append(error)
                connection.close()
                continue
            blend, versions = found["blend"], found["versions"]
            key = (versions["index"], str(versions["model"]), f"{blend['name']}@{blend['version']}")
            self.found.setdefault(key, set()).add(json.dumps(found["results"]))
            self.answers += 1
        connection.close()


def _swap_index(workspace: Workspace, number: int) -> None:
    store = VersionStore(workspace.index_root)
    current = store.current()
    others = [version.id for version in store.versions() if version.id != current.id]
    store.switch_to(others[number % len(others)])


def swap_often(home: Path, folder: Path, times: int) -> Versions:
    """Publish an index or a blend so many times under load; check every answer offline."""
    workspace = Workspace(home)
    changed = [{**item, "title": item["title"][::-1]} for item in small_shop()]
    rebuild(workspace, write_items(folder / "changed.jsonl", changed), progress=silent)
    expected = {}
    with serving(home, "--workers", "1", RERANKER_RELOAD_SECONDS="0.05", **ALL_LET_IN) as service:
        load = Versions(service, 60)
        load.start()
        for number in range(times):
            (_swap_blend, _swap_index, _swap_model)[number % 3](workspace, number)
            state = load_state(workspace)
            asked = RerankRequest(
                [Candidate(one["id"]) for one in BODY["candidates"]],
                query=BODY["query"],
                user="u3",
                time=NOW,
            )
            ranking = rerank(asked, state)
            key = (
                str(ranking.versions["index"]),
                str(ranking.versions["model"]),
                f"{ranking.blend.name}@{ranking.blend.version}",
            )
            expected[key] = [(one.id, one.score) for one in ranking.results]
            wait_until(partial(load.found.__contains__, key))
        load.over.set()
        load.join()
    assert load.failed == []
    for key, answers in load.found.items():
        assert len(answers) == 1, f"{key} gave different rankings"
        if key in expected:
            found = [(one["id"], one["score"]) for one in json.loads(next(iter(answers)))]
            assert found == expected[key], f"{key} is not what these versions rank"
    assert len(expected) > 1
    return load


@pytest.mark.promise(14)
def test_swaps_under_load_fail_and_mix_nothing(trained_home: Path, tmp_path: Path) -> None:
    swap_often(copy_home(trained_home, tmp_path / "home"), tmp_path, 3)


@pytest.mark.heavy
@pytest.mark.promise(14)
def test_a_hundred_swaps(trained_home: Path, tmp_path: Path, record_property: Any) -> None:
    record_property("runs", 100)
    swap_often(copy_home(trained_home, tmp_path / "home"), tmp_path, 100)


# The same bytes


@pytest.mark.promise(2)
def test_the_same_results_on_one_and_four_threads_and_in_two_processes(trained_home: Path) -> None:
    same_bytes(trained_home, 12)


@pytest.mark.heavy
@pytest.mark.promise(2)
def test_the_same_results_often(trained_home: Path, record_property: Any) -> None:
    record_property("runs", 500)
    same_bytes(trained_home, 500)


def same_bytes(home: Path, count: int) -> None:
    bodies = [
        {
            "query": ["rain jacket", "red lamp", f"unseen {number}", ""][number % 4],
            "user": f"u{number % 45}",
            "time": 1.79e9,
            "explain": number % 3 == 0,
            "candidates": [{"id": str((7 * number + 11 * place) % 70)} for place in range(60)],
        }
        for number in range(count)
    ]
    found = []
    for threads, clients in (("1", 1), ("4", 4)):
        with serving(home, "--workers", "1", "--threads", threads, **ALL_LET_IN) as service:
            found.append(_results(service, bodies, clients))
    assert found[0] == found[1]


def _results(service: Running, bodies: list[dict[str, Any]], clients: int) -> list[bytes]:
    results: list[bytes] = [b""] * len(bodies)

    def ask(start: int) -> None:
        for place in range(start, len(bodies), clients):
            status, body = service.ask("/rerank", bodies[place])
            assert status == 200
            results[place] = body[body.index(b'"results":') : body.index(b',"blend":')]

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results)
    return results
