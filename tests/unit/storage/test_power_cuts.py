"""The power goes at any step of publishing: what the disk then holds serves the old or the new."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.power_cuts import Disk, cuts
from support.versions import assert_whole, publish, text_of

from indexes.storage import durable
from indexes.storage.versions import Damaged, Version, VersionStore
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore

pytestmark = pytest.mark.promise(7)


@contextmanager
def watched(disk: Path, *allowed: str) -> Iterator[list[str]]:
    """After every step, on both disks: one of the allowed texts is served, whole."""
    seen: list[str] = []

    def look(found: Disk) -> None:
        for make in (found.lost, found.names_first):
            copy = disk.with_name("copy")
            make(copy)
            seen.append(served(VersionStore(copy / "index")))
            assert seen[-1] in allowed
            shutil.rmtree(copy)

    with cuts(disk, look):
        yield seen


def served(store: VersionStore) -> str:
    version = store.current()
    assert version is not None
    store.ensure_verified(version)
    return text_of(version)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(disk: Path) -> VersionStore:
    found = VersionStore(disk / "index")
    publish(found, "oldest")
    publish(found, "old")
    return found


def test_publishing(store: VersionStore, disk: Path) -> None:
    with watched(disk, "old", "new") as seen:
        publish(store, "new")
    assert seen[0] == "old" and seen[-2:] == ["new", "new"], "what publish() returned is there"
    assert seen.count("old") > 10


def test_rolling_back_and_pruning(store: VersionStore, disk: Path) -> None:
    with watched(disk, "old", "oldest") as seen:
        store.rollback()
    assert seen[-2:] == ["oldest", "oldest"]
    store.rollback(store.versions()[-1].id)
    with watched(disk, "old") as seen:
        assert len(store.prune(1)) == 1
    assert len(seen) > 10


def test_the_next_one_can_be_published_whenever_it_was(
    store: VersionStore, disk: Path, record_property: Callable[[str, object], None]
) -> None:
    published: list[Version] = []

    def go_on(found: Disk) -> None:
        copy = disk.with_name("copy")
        found.lost(copy)
        again = VersionStore(copy / "index")
        published.append(publish(again, "next"))
        again.prune(2)
        assert text_of(again.current()) == "next"
        assert_whole(again)
        for folder in copy.rglob("versions/*"):
            folder.chmod(0o755)
        shutil.rmtree(copy)

    with cuts(disk, go_on):
        publish(store, "new")
    record_property("runs", len(published))
    assert len(published) > 10


def test_a_publication_is_in_the_log_of_blends_when_it_is_done(disk: Path) -> None:
    """Also the first one, whose log is a new file."""
    disk.mkdir()
    with cuts(disk, lambda _found: None) as found:
        store = BlendStore(disk / "blends")
        store.save(Blend(name="bold", signals={"engine": SignalWeight(1.0)}), publish=True)
    found.lost(disk.with_name("copy"))
    again = BlendStore(disk.with_name("copy") / "blends")
    assert again.published_or_default()[0].name == "bold"
    assert [(entry.what, entry.name) for entry in again.log()] == [("publish", "bold")]


def test_these_disks_do_lose_what_was_not_synced(
    store: VersionStore, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "sync", lambda _path: None)
    with pytest.raises((Damaged, AssertionError)), watched(disk, "old", "new"):
        publish(store, "new")
