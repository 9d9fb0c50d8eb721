"""Changes of items on a running service: every worker serves them, and no kill loses one."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from support.service import ALL_LET_IN, Running, serving, workers
from support.shop import copy_home
from support.waiting import wait_until

from indexes.items.changes import ItemChanges

ASKED = {"query": "lamp", "explain": True, "candidates": [{"id": "3"}, {"id": "7"}]}
SOLD_OUT = {"id": "3", "available": False}
_IN_A_ROW = 30  # answers on connections of their own: of both workers


def available(service: Running) -> float:
    status, body = service.ask("/rerank", ASKED)
    assert status == 200
    results: list[dict[str, Any]] = json.loads(body)["results"]
    [found] = [one for one in results if one["id"] == "3"]
    return float(found["explanation"]["signals"]["available"]["raw"])


def test_every_worker_serves_a_change_and_no_kill_loses_it(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    with serving(home, "--workers", "2", **ALL_LET_IN) as service:
        assert available(service) == 1.0
        status, body = service.ask("/items", [SOLD_OUT, {"id": "9", "price": "x"}])
        assert status == 200
        assert json.loads(body)["accepted"] == 1 and len(json.loads(body)["rejected"]) == 1
        wait_until(lambda: all(available(service) == 0.0 for _ in range(_IN_A_ROW)))
        status, body = service.ask("/items", {"id": "7", "removed": True})
        assert json.loads(body)["accepted"] == 1
        killed = [*workers(service), service.process.pid]
        for pid in killed[::-1]:  # the master first: nobody takes their place
            os.kill(pid, signal.SIGKILL)
    assert ItemChanges(home, 10).since(0).fields == {
        "3": {"available": False},
        "7": {"removed": True},
    }
    with serving(home, "--workers", "2", **ALL_LET_IN) as service:
        assert all(available(service) == 0.0 for _ in range(_IN_A_ROW))
