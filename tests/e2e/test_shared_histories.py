"""Two services, two homes, one Redis: what one is told, the other knows; away, it costs nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

from support.redis_servers import needed, server
from support.service import Running, serving
from support.shop import copy_home
from support.waiting import wait_until

BODY = {"query": "shoes", "user": "u1", "candidates": [{"id": str(n)} for n in range(12)]}


def personal(service: Running) -> bool:
    """Whether the history counts in an answer; what is left out is named, and the answer whole."""
    status, answer = service.ask("/rerank", BODY)
    ranking: dict[str, Any] = json.loads(answer)
    assert status == 200 and len(ranking["results"]) == 12
    reasons = {part["reason"] for part in ranking["degraded"]}
    return not reasons & {"no_history", "history_unavailable", "breaker_open", "deadline"}


def test_a_fleet_shares_histories_and_outlives_them(trained_home: Path, tmp_path: Path) -> None:
    needed()
    homes = [copy_home(trained_home, tmp_path / name) for name in ("one", "two")]
    for home in homes:
        shutil.rmtree(home / "events")
    event = {"type": "view", "item": "7", "user": "u1", "id": "e1", "time": "2026-01-01T00:00:00Z"}
    with server(tmp_path / "redis") as redis:
        variables = {"RERANKER_HISTORY_URL": redis.url, "RERANKER_HISTORY_WAIT_SECONDS": "0.5"}
        with serving(homes[0], **variables) as one, serving(homes[1], **variables) as two:
            assert not personal(one) and not personal(two)
            assert json.loads(one.ask("/events", event)[1])["accepted"] == 1
            wait_until(lambda: personal(two))
            assert json.loads(two.ask("/events", event)[1])["duplicates"] == 1
            redis.kill()
            assert not personal(one)
            status, answer = two.ask("/events", event | {"id": "e2"})
            assert (status, json.loads(answer)["error"]["code"]) == (503, "history_unavailable")
            redis.again()
            wait_until(lambda: personal(one) and personal(two))
            assert json.loads(two.ask("/events", event | {"id": "e2"})[1])["duplicates"] == 0
            connection_free = json.loads(one.ask("/users/u1")[1])
            assert sorted(row["id"] for row in connection_free["events"]) == ["e1", "e2"]
    assert not (homes[0] / "events" / "history.db").exists()
