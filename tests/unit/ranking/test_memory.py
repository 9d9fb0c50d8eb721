"""Memory over many requests and many reloads, and a history of a million events."""

import gc
import time
from pathlib import Path
from typing import Any

import pytest
from support.shop import PATIENT, copy_home
from support.swaps import _swap_blend, _swap_model

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.store import open_histories
from reranker.model.versions import model_store
from reranker.ranking.settings import RankingSettings
from service.app import create_app, served


def resident() -> int:
    """Bytes that this process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def grows(home: Path, requests: int, reloads: int) -> float:
    """By which share the most memory of the second half is above the most of the first.

    What is given back after a reload varies by a third, so one look at each would tell nothing.
    """
    workspace = Workspace(home, {RankingSettings: PATIENT})
    app = create_app(workspace)
    client = app.test_client()
    most = [0, 0]
    for number in range(requests):
        body = {
            "query": f"jacket {number % 300}",
            "user": f"u{number % 40}",
            "candidates": [{"id": str((number + place) % 60)} for place in range(50)],
        }
        assert client.post("/rerank", json=body).status_code == 200
        if number % (requests // reloads) == 0:
            (_swap_blend, _swap_model)[number // (requests // reloads) % 2](workspace, number)
            model_store(workspace).prune(2)
            assert served(app).refresh()
            half = 2 * number // requests
            most[half] = max(most[half], resident())
    return most[1] / most[0] - 1


@pytest.mark.heavy
@pytest.mark.promise(21)
def test_memory_is_flat(trained_home: Path, tmp_path: Path, record_property: Any) -> None:
    record_property("runs", 20_000)
    assert grows(copy_home(trained_home, tmp_path / "home"), 20_000, 50) < 0.05


@pytest.mark.heavy
@pytest.mark.promise(20)
def test_a_million_events_are_read_like_fifty(tmp_path: Path, record_property: Any) -> None:
    count = 1_000_000
    record_property("runs", count)
    chosen = HistorySettings(events_per_user=count)
    histories = open_histories(Workspace(tmp_path, {HistorySettings: chosen}))
    now = time.time() - count
    for user, events in (("small", 50), ("huge", count)):
        for start in range(0, events, 50_000):
            histories.append(
                [
                    HistoryEvent(type="view", item=str(at % 999), time=now + at, user=user)
                    for at in range(start, min(start + 50_000, events))
                ]
            )
    taken = {}
    for user in ("small", "huge") * 3:
        began = time.perf_counter()
        for _ in range(200):
            assert len(histories.recent(user, None, 50)) == 50
        taken[user] = min(taken.get(user, 9.0), time.perf_counter() - began)
    histories.close()
    assert taken["huge"] < 3 * taken["small"], taken
