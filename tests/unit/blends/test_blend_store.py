"""Blends publish, roll back and conflict; who did what is kept; the commands say it plainly."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from support.shop import patient

from indexes.storage.manifests import Manifest, read_manifest
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, Blend, SignalWeight
from reranker.blends.files import written
from reranker.blends.store import BlendStore
from reranker.errors import BadBlend, Conflict, UnknownBlend
from reranker.ranking.state import load_state
from service.app import create_app, served
from service.commands.cli import run

BOLD = Blend(name="bold", signals={"engine": SignalWeight(0.1), "semantic": SignalWeight(3.0)})


@pytest.fixture
def store(tmp_path: Path) -> BlendStore:
    found = BlendStore(tmp_path / "blends")
    found.published_or_default()
    return found


def published(store: BlendStore) -> str:
    return next(one.label for one in store.listed() if one.published)


@pytest.mark.promise(32)
def test_publish_roll_back_and_roll_back_again(store: BlendStore) -> None:
    store.save(BOLD)
    store.save(msgspec.structs.replace(BOLD, note="second"))
    store.publish("bold@1", who="ann")
    store.publish("bold", who="bob")
    assert published(store) == "bold@2"
    assert store.rollback(who="ann").label == "bold@1"
    assert store.rollback().label == "default@1"
    with pytest.raises(Exception, match="No version was served before"):
        store.rollback()
    assert [(one.what, one.who, f"{one.name}@{one.version}") for one in store.log()][3:] == [
        ("publish", "ann", "bold@1"),
        ("publish", "bob", "bold@2"),
        ("rollback", "ann", "bold@1"),
        ("rollback", "", "default@1"),
    ]


def test_publishing_after_a_rollback_goes_on_from_there(store: BlendStore) -> None:
    store.save(BOLD, publish=True)
    store.rollback()
    store.save(BOLD, publish=True)
    assert store.rollback().label == "default@1"


@pytest.mark.promise(32)
def test_the_log_says_what_changed(store: BlendStore) -> None:
    store.save(BOLD, publish=True, who="ann")
    lines = store.log()[-1].diff
    assert "signals.engine.weight: 1.0 -> 0.1" in lines
    assert "signals.match: 0.5 -> (none)" in lines
    assert store.diff("bold", "bold@1") == []


@pytest.mark.promise(32)
def test_two_edits_of_one_version_conflict(store: BlendStore) -> None:
    store.save(BOLD)
    mine, _ = store.get("bold")
    store.save(msgspec.structs.replace(mine, note="hers"))
    with pytest.raises(Conflict, match="made from version 1, and version 2"):
        store.save(msgspec.structs.replace(mine, note="mine"))
    store.save(msgspec.structs.replace(mine, note="mine, after looking", version=2))
    assert store.get("bold")[1] == 3


@pytest.mark.promise(32)
def test_publishing_over_what_was_not_seen_conflicts(store: BlendStore) -> None:
    seen = next(one.id for one in store.listed() if one.published)
    store.save(BOLD, publish=True)
    with pytest.raises(Conflict, match="bold@1 was published meanwhile"):
        store.publish("default", expect=seen)
    assert published(store) == "bold@1"


def test_a_name_that_there_is_not(store: BlendStore) -> None:
    for label in ("bald", "default@7", "default@x"):
        with pytest.raises(UnknownBlend, match="default@1"):
            store.get(label)


@pytest.mark.promise(32)
def test_a_torn_line_of_the_log_hides_no_other(store: BlendStore, tmp_path: Path) -> None:
    store.save(BOLD, publish=True)
    with (tmp_path / "blends" / "log.jsonl").open("ab") as log:
        log.write(b'{"time": "2026')
    store.save(BOLD, publish=True)
    assert [(one.name, one.version) for one in store.log()] == [
        ("default", 1),
        ("bold", 1),
        ("bold", 2),
    ]
    assert store.rollback().label == "bold@1"


def test_a_running_service_serves_any_version_by_its_label(own_home: Path) -> None:
    app: Flask = create_app(patient(own_home))
    store = BlendStore(own_home / "blends")
    store.save(BOLD)
    store.save(msgspec.structs.replace(BOLD, note="second"))
    served(app).refresh()
    body: dict[str, Any] = {"query": "lamp", "candidates": [{"id": "25"}]}
    asked = {"bold": 2, "bold@1": 1}
    for label, version in asked.items():
        answer = app.test_client().post("/rerank", json=body | {"blend": label}).get_json()
        assert answer["blend"] == {"name": "bold", "version": version}
    refused = app.test_client().post("/rerank", json=body | {"blend": "bold@9"})
    assert refused.status_code == 422 and refused.get_json()["error"]["code"] == "unknown_blend"
    store.publish("bold@1")
    served(app).refresh()
    assert load_state(Workspace(own_home)).published.name == "bold"
    answer = app.test_client().post("/rerank", json=body).get_json()
    assert answer["blend"] == {"name": "bold", "version": 1}


@pytest.mark.promise(32)
def test_a_damaged_published_blend_can_be_rolled_back(
    store: BlendStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(BOLD, publish=True)
    damaged = next(one for one in store.listed() if one.published)
    file = tmp_path / "blends" / "versions" / damaged.id / "blend.json"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b" ")
    assert run(["--home", str(tmp_path), "blends", "list"]) == 0
    assert run(["--home", str(tmp_path), "blends", "rollback"]) == 0
    assert published(store) == "default@1"


@pytest.mark.promise(32)
def test_a_crash_between_switch_and_log_is_not_taken_for_a_choice(
    store: BlendStore, tmp_path: Path
) -> None:
    for weight in (1.0, 2.0, 3.0):
        store.save(Blend(name="bold", signals={"engine": SignalWeight(weight)}), publish=True)
    log = tmp_path / "blends" / "log.jsonl"
    before = log.read_bytes()
    store.rollback()
    log.write_bytes(before)  # as if the process had died right after the switch
    assert store.rollback().label == "bold@1"


def test_what_could_not_be_read_back_is_not_stored(store: BlendStore) -> None:
    with pytest.raises(BadBlend, match="2000"):
        store.save(msgspec.structs.replace(BOLD, note="n" * 2001))
    assert len(store.listed()) == 1


# The commands


def command(capsys: pytest.CaptureFixture[str], home: Path, *args: str, status: int = 0) -> Any:
    assert run(["--home", str(home), "blends", *args]) == status
    out, err = capsys.readouterr()
    return out if status == 0 else err


def test_export_edit_import_publish_roll_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "blend.json"
    command(capsys, tmp_path, "export", "--out", str(file))
    edited = file.read_text().replace('"weight": 2.0', '"weight": 2.5')
    file.write_text(edited)
    assert "default@2 stored, not published" in command(capsys, tmp_path, "import", str(file))
    assert "made from version 1" in command(capsys, tmp_path, "import", str(file), status=1)
    assert "signals.semantic.weight: 2.0 -> 2.5" in command(
        capsys, tmp_path, "diff", "default@1", "default@2"
    )
    assert "default@2 is published" in command(
        capsys, tmp_path, "publish", "default", "--by", "ann"
    )
    listed = json.loads(command(capsys, tmp_path, "list", "--json"))["blends"]
    assert [(one["version"], one["published"]) for one in listed] == [(2, True), (1, False)]
    assert "default@1 is published" in command(capsys, tmp_path, "rollback")
    assert "publish default@2 by ann" in command(capsys, tmp_path, "log")
    assert "semantic" in command(capsys, tmp_path, "show", "default@2")
    assert "* default@1" in command(capsys, tmp_path, "list")


@pytest.mark.promise(32)
def test_a_file_that_cannot_be_used_stores_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "blend.json"
    file.write_bytes(written(DEFAULT).replace(b'"semantic"', b'"semantics"'))
    said = command(capsys, tmp_path, "import", str(file), status=1)
    assert "line 8" in said and "semantics" in said
    assert "default@2" not in command(capsys, tmp_path, "list")


@pytest.mark.parametrize("name", ["nope", "nope@1", "default@99"])
def test_a_blend_that_is_not_there_costs_one_look_at_what_is(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = load_state(Workspace(own_home))
    stored = [state.store.save(DEFAULT) for _ in range(3)]
    looked: list[Path] = []

    def counted(folder: Path) -> Manifest:
        looked.append(folder)
        return read_manifest(folder)

    monkeypatch.setattr("indexes.storage.versions.read_manifest", counted)
    with pytest.raises(UnknownBlend, match=f"'{name}', which does not exist; there is default"):
        state.blend(name)
    assert len(looked) == len(set(looked)) == 1 + len(stored)
