"""What names shoppers is closed to other accounts, whatever the umask, and the keys are missed."""

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.shop import patient

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.privacy.folders import close_to_others, open_to_others
from service.app import create_app, ranking_log
from service.commands.cli import run
from service.live.jobs import Jobs
from service.page.parts.request_sets import RequestSets

CANDIDATES = [{"id": f"{number}"} for number in range(1, 7)]
REQUEST = json.dumps({"query": "tea", "user": "u-4711", "candidates": CANDIDATES}).encode()


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask that closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_files_are_closed_whatever_the_umask(own_home: Path, careless: None) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    event = {"type": "view", "item": "1", "time": 1e9, "user": "u-4711"}
    assert client.post("/events", json=event).get_json()["accepted"] == 1
    client.post("/rerank", json={"user": "u-4711", "query": "tea", "candidates": CANDIDATES})
    ranking_log(app).flush()
    RequestSets(own_home).save("mine.jsonl", REQUEST)
    jobs = Jobs(Workspace(own_home))
    job = jobs.start("evaluate", "t", {}, ["blends", "list", "--json"])
    while jobs.job(job).state == "running":
        time.sleep(0.05)
    forgotten = run(["--home", str(own_home), "forget", "u-4711", "--json"])
    assert forgotten == 1  # requests/mine.jsonl names them
    for name in ("events", "rankings", "requests", "jobs", f"jobs/{job}", "pseudonyms"):
        assert mode(own_home / name) == 0o700, name
    assert {path.name for path in (own_home / "jobs" / job).iterdir()} >= {"out", "err", "pid"}
    assert list(open_to_others(own_home)) == []


def test_a_new_home_is_closed(tmp_path: Path, careless: None) -> None:
    home = tmp_path / "new" / "home"
    store = open_histories(Workspace(home))
    store.append([HistoryEvent(type="view", item="1", time=1e9, user="u")])
    store.close()
    assert {path.name for path in home.iterdir()} == {"events", "pseudonyms"}
    for path in home.rglob("*"):
        assert not mode(path) & 0o077, path


def test_what_is_open_is_closed_by_serve_and_said_by_doctor(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_home / "requests"
    folder.mkdir()
    (folder / "r.jsonl").write_bytes(REQUEST)
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(REQUEST)
    (folder / "linked.jsonl").symlink_to(outside)
    folder.chmod(0o755)
    (folder / "r.jsonl").chmod(0o664)
    outside.chmod(0o644)
    found = findings(own_home, capsys)["private"]
    assert found["state"] == "warn" and f"chmod -R go= {folder}" in found["do"]
    assert close_to_others(own_home) == 2
    assert (mode(folder), mode(folder / "r.jsonl"), mode(outside)) == (0o700, 0o600, 0o644)
    assert findings(own_home, capsys)["private"]["state"] == "ok"


def findings(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    run(["--home", str(home), "doctor", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {finding["check"]: finding for finding in answer["findings"]}


def test_rankings_are_lost_and_counted_while_the_keys_are_gone(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    body: dict[str, Any] = {"user": "u-4711", "query": "tea", "candidates": CANDIDATES}
    client.post("/rerank", json=body)
    ranking_log(app).flush()
    keys = own_home / "pseudonyms" / "keys"
    kept = keys.read_bytes()
    keys.unlink()
    (day,) = (own_home / "rankings").glob("*.jsonl")
    before = day.read_bytes()
    later = create_app(patient(own_home))
    assert later.test_client().post("/rerank", json=body).status_code == 200
    ranking_log(later).flush()
    assert day.read_bytes() == before and not keys.exists()
    metrics = later.test_client().get("/metrics").text
    assert 'reranker_rankings_total{outcome="lost"} 1.0' in metrics
    found = findings(own_home, capsys)["pseudonyms"]
    assert found["state"] == "fail" and f"Restore {keys}" in found["do"]
    keys.write_bytes(kept)
    later.test_client().post("/rerank", json=body)
    ranking_log(later).flush()
    assert day.read_bytes().startswith(before) and len(day.read_bytes()) > len(before)
    assert findings(own_home, capsys)["pseudonyms"]["state"] == "ok"
