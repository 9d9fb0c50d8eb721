"""Back up under load, restore elsewhere, and the answers are equal."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.paths import ROOT
from support.service import ALL_LET_IN, PROGRAM, Running, environment, publish_again, serving
from support.shop import TRAINED_AT, copy_home

from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore
from reranker.histories.histories import Shopper
from reranker.histories.store import open_histories

CANDIDATES = [{"id": str(number)} for number in range(30)]
SHOPPERS = ("u0", "u1", "u7", "nobody")


def run(home: Path, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(PROGRAM), "--home", str(home), *args, "--json"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def answers(service: Running) -> list[dict[str, Any]]:
    """What does not change between two answers to the same request, for shoppers and blends."""
    found = []
    for user in SHOPPERS:
        for blend in (None, "kept@1"):
            body = {"query": "shoes", "user": user, "candidates": CANDIDATES, "explain": True}
            body["time"] = TRAINED_AT  # else events grow older between two answers
            status, answer = service.ask("/rerank", body | ({"blend": blend} if blend else {}))
            assert status == 200, answer
            whole = json.loads(answer)
            keys = ("results", "blend", "versions", "degraded", "gate")
            found.append({key: whole.get(key) for key in keys})
    return found


class Shoppers(threading.Thread):
    """Looks at items without end; `acknowledged` counts the events that the service has taken."""

    def __init__(self, service: Running, name: str) -> None:
        super().__init__(daemon=True)
        self.service, self.user = service, name
        self.acknowledged = 0
        self.sent = 0
        self.stopped = threading.Event()
        self.errors: list[object] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            self.sent += 1
            event = {"user": self.user, "type": "view", "item": str(self.sent % 60)}
            event |= {"time": 1_790_000_000 + self.sent, "id": f"{self.user}-{self.sent}"}
            status, body = self.service.ask("/events", event)
            if status != 200 or json.loads(body)["accepted"] != 1:
                self.errors.append((status, body))
            self.acknowledged += 1
            self.service.ask("/rerank", {"user": self.user, "candidates": CANDIDATES})


@contextmanager
def load(service: Running) -> Iterator[list[Shoppers]]:
    shoppers = [Shoppers(service, f"busy{number}") for number in range(2)]
    for one in shoppers:
        one.start()
    try:
        while any(one.acknowledged < 3 for one in shoppers):
            assert all(one.is_alive() and not one.errors for one in shoppers)
            one.stopped.wait(0.01)
        yield shoppers
    finally:
        for one in shoppers:
            one.stopped.set()
        for one in shoppers:
            one.join()
        assert not any(one.errors for one in shoppers)


def kept_of(home: Path, user: str) -> list[str]:
    histories = open_histories(Workspace(home))
    try:
        return [str(event.id) for event in histories.export(*Shopper(user, None))]
    finally:
        histories.close()


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    """With a model, events, a blend of its own beside the published one, and settings."""
    home = copy_home(trained_home, tmp_path / "home")
    kept = msgspec.structs.replace(DEFAULT, name="kept", author="a test")
    BlendStore(home / "blends").save(kept)
    (home / "settings.toml").write_text("[ranking]\nuser_cache = 77\n")
    return home


def test_a_home_under_load_is_restored_elsewhere_with_the_same_answers(
    home: Path, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "elsewhere" / "backup", tmp_path / "restored"
    with serving(home, "--workers", "2", **ALL_LET_IN) as service:
        before = answers(service)
        with load(service) as shoppers:
            least = {one.user: one.acknowledged for one in shoppers}
            made = run(home, "backup", str(backup))
            most = {one.user: one.sent for one in shoppers}
        assert answers(service) == before
    assert made["left_out"] == [] and made["keys"]
    assert {"index", "model", "blends"} == set(made["versions"])
    shutil.rmtree(home)  # nothing of it is needed
    assert run(restored, "restore", str(backup))["events"] == made["events"]
    for user, count in least.items():  # each that was acknowledged before, and in order, no gap
        kept = kept_of(restored, user)
        assert kept == [f"{user}-{number + 1}" for number in range(len(kept))]
        assert count <= len(kept) <= most[user]
    with serving(restored, "--workers", "2", **ALL_LET_IN) as service:
        assert answers(service) == before
    for path in (restored / "rankings").glob("*.jsonl"):
        assert all(json.loads(line)["id"] for line in path.read_bytes().splitlines())
    assert (restored / "settings.toml").read_text() == "[ranking]\nuser_cache = 77\n"
    assert run(restored, "index", "verify", "--all")


def test_versions_published_and_deleted_meanwhile_leave_one_that_is_whole(
    home: Path, tmp_path: Path
) -> None:
    stopped = threading.Event()

    def publish() -> None:
        while not stopped.is_set():
            publish_again(home)
            VersionStore(home / "index").prune(1)

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        for number in range(3):
            run(home, "backup", str(tmp_path / f"backup{number}"))
    finally:
        stopped.set()
        publisher.join()
    for number in range(3):
        run(tmp_path / f"restored{number}", "restore", str(tmp_path / f"backup{number}"))
        store = VersionStore(tmp_path / f"restored{number}" / "index")
        version = store.current()
        assert version is not None and store.verify(version) == []


def test_the_documented_commands_are_these(home: Path, tmp_path: Path) -> None:
    """docs/backups.md, its first block, line by line."""
    block = (ROOT / "docs" / "backups.md").read_text().split("```\n")[1]
    places = {"/var/lib/reranker": str(home), "/backups": str(tmp_path), "/srv": str(tmp_path)}
    for line in block.splitlines():
        words = line.partition("#")[0].split()
        for place, own in places.items():
            words = [word.replace(place, own) for word in words]
        assert words.pop(0) == "reranker"
        done = subprocess.run([str(PROGRAM), *words], capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr, done.stdout)
