"""`reranker doctor`: each thing that can be wrong is said, with what to do."""

import json
import os
from pathlib import Path

import pytest

from indexes.versions import VersionStore
from service.cli import run


def states(home: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    status = run(["--home", str(home), "doctor", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["well"] == (status == 0)
    return status, {finding["check"]: finding for finding in answer["findings"]}


def test_a_sound_home_is_well(shop_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = states(shop_home, capsys)
    assert status == 0
    assert not [finding for finding in found.values() if finding["state"] == "bad"]
    assert "60 items" in found["index"]["message"]
    assert "ms for a query" in found["encoder"]["message"]
    assert "0.0%" in found["language"]["message"]


@pytest.mark.parametrize(
    ("query", "state"), [("red running shoes", "ok"), ("防水登山鞋 女 轻便 透气", "warn")]
)
def test_queries_that_the_model_cannot_read_are_found(
    query: str,
    state: str,
    shop_home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"query": query, "candidates": [{"id": "1"}]}) + "\n")
    run(["--home", str(shop_home), "doctor", "--requests", str(requests), "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = {finding["check"]: finding for finding in answer["findings"]}["queries"]
    assert found["state"] == state
    assert state == "ok" or "multilingual" in found["do"]


def test_an_empty_home_needs_a_rebuild(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "new"
    status, found = states(home, capsys)
    assert (status, found["index"]["state"]) == (1, "bad")
    assert "reranker rebuild" in found["index"]["do"]
    assert not home.exists()  # a doctor changes nothing


def test_damage_is_found(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = VersionStore(own_home / "index").current()
    assert version is not None
    version.folder.chmod(0o755)
    os.remove(version.folder / "vectors.faiss")
    status, found = states(own_home, capsys)
    assert (status, found["index"]["state"]) == (1, "bad")
    assert "vectors.faiss" in found["index"]["message"]


def test_too_many_workers_are_warned_of(
    shop_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKER_SERVE_WORKERS", "256")
    _, found = states(shop_home, capsys)
    assert found["threads"]["state"] == "warn"
