"""`reranker doctor`: each thing that can be wrong is said, with what to do."""

import json
import os
from pathlib import Path

import pytest
from support.service import serving

from indexes.items.changes import ItemChange, ItemChanges
from indexes.items.settings import ItemSettings
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from service.commands import doctor_machine
from service.commands.cli import run
from service.commands.doctor_fleet import changes


def states(home: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    status = run(["--home", str(home), "doctor", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["well"] == (status == 0)
    return status, {finding["check"]: finding for finding in answer["findings"]}


def test_a_sound_home_is_well(shop_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = states(shop_home, capsys)
    assert status == 0
    assert not [finding for finding in found.values() if finding["state"] == "fail"]
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
    assert (status, found["index"]["state"]) == (1, "fail")
    assert "reranker rebuild" in found["index"]["do"]
    assert not home.exists()  # a doctor changes nothing


def test_damage_is_found(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = VersionStore(own_home / "index").current()
    assert version is not None
    version.folder.chmod(0o755)
    os.remove(version.folder / "vectors.faiss")
    status, found = states(own_home, capsys)
    assert (status, found["index"]["state"]) == (1, "fail")
    assert "vectors.faiss" in found["index"]["message"]


def test_an_index_of_another_release_is_no_sound_one(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = VersionStore(own_home / "index")
    with store.stage() as staged:
        (staged / "ids.bin").write_bytes(b"")
        version = store.publish(staged, {"format": 2, "items": 60})
    finding = one(own_home, "index", capsys)
    assert finding["state"] == "fail"
    assert finding["message"].startswith(f"Index {version.id} has format 2, and this release")
    assert "reranker rebuild" in finding["do"]


def test_too_many_workers_are_warned_of(
    shop_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKER_SERVE_WORKERS", "256")
    _, found = states(shop_home, capsys)
    assert found["threads"]["state"] == "warn"


def one(home: Path, check: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return states(home, capsys)[1][check]


def test_every_check_says_a_fact(shop_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = states(shop_home, capsys)
    for check in ("memory", "files", "clock", "secrets", "model", "blend", "events", "service"):
        assert found[check]["message"], check
    assert [finding for finding in found.values() if finding["state"] == "warn"] == [
        finding for finding in found.values() if finding["state"] == "warn" and finding["do"]
    ]


def test_events_of_another_catalogue_are_warned_of(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    histories = open_histories(Workspace(own_home))
    view = HistoryEvent(type="view", item="17", time=1e9, user="u")
    histories.append([view])
    assert one(own_home, "items", capsys)["state"] == "ok"
    histories.append(
        [HistoryEvent(type="view", item=f"sku-{n}", time=1e9, user="u") for n in (1, 2)]
    )
    histories.close()
    found = one(own_home, "items", capsys)
    assert found["state"] == "warn" and "'sku-1'" in found["message"] and found["do"]


def test_a_key_that_others_can_read_fails(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = own_home / "keys" / "one.json"
    key.parent.mkdir()
    key.write_text("{}")
    key.chmod(0o644)
    status, found = states(own_home, capsys)
    assert (status, found["secrets"]["state"]) == (1, "fail")
    assert "keys/one.json" in found["secrets"]["message"] and "chmod" in found["secrets"]["do"]
    key.chmod(0o600)
    assert one(own_home, "secrets", capsys)["state"] == "ok"


def test_a_model_of_another_index_fails(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = VersionStore(own_home / "model")
    with store.stage() as staged:
        (staged / "weights").write_bytes(b"0")
        store.publish(staged, {"fingerprint": "another encoder"})
    found = one(own_home, "model", capsys)
    assert found["state"] == "fail" and "reranker train" in found["do"]


def test_few_open_files_are_warned_of(
    shop_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_machine, "_FILES", 1 << 40)
    found = one(shop_home, "files", capsys)
    assert found["state"] == "warn" and "LimitNOFILE" in found["do"]


def test_a_clock_that_was_never_set_fails(
    shop_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_machine, "_EARLIEST", 1e12)
    assert one(shop_home, "clock", capsys)["state"] == "fail"


def test_the_running_service_is_compared(
    own_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(own_home, RERANKER_RELOAD_SECONDS="600") as service:
        monkeypatch.setenv("RERANKER_SERVE_PORT", str(service.port))
        assert "ready with what is published" in one(own_home, "service", capsys)["message"]
        BlendStore(own_home / "blends").save(DEFAULT, publish=True)
        found = one(own_home, "service", capsys)
    assert found["state"] == "warn" and "another blend" in found["message"]
    assert "none answers" in one(own_home, "service", capsys)["message"]


def test_people_get_a_line_each_and_a_sum(
    shop_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(shop_home), "doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split(", ")[0].endswith(" ok")


def test_the_service_of_another_home_is_no_failure(
    own_home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(own_home) as service:
        monkeypatch.setenv("RERANKER_SERVE_PORT", str(service.port))
        _, found = states(tmp_path / "nothing published", capsys)
    assert found["service"]["state"] == "warn"
    assert "another index and blend" in found["service"]["message"]


def test_changes_that_wait_for_a_rebuild_are_counted(own_home: Path) -> None:
    few = Workspace(own_home, {ItemSettings: ItemSettings(changed_items=5)})
    assert changes(few).message.startswith("0 changed items wait")
    waiting = ItemChanges(own_home, 5)
    for number in range(4):
        waiting.apply([ItemChange(str(number), {"price": 1.0})])
    waiting.close()
    assert (changes(few).state, changes(Workspace(own_home)).state) == ("warn", "ok")
    assert changes(few).message.startswith("4 changed items wait")
