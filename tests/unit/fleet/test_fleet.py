"""One set of index, model and blend on every machine: published, taken, rolled back, damaged."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from support.look_shop import look_vectors, with_vectors
from support.service import publish_again
from support.shop import copy_home, small_shop, write_items

from indexes.build.rebuild import rebuild
from indexes.errors import Failure
from indexes.items.changes import ItemChange, ItemChanges
from indexes.items.index import ItemIndex, published_version
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.fleet import pull as pulling
from reranker.fleet.object_store import ObjectStore, StoreFailure, open_store
from reranker.fleet.pull import local_set, pull, pull_at_start
from reranker.fleet.push import push, roll_back
from reranker.fleet.sets import object_name, point_to, read_pointer, read_set
from reranker.ranking.state import load_state
from service.commands.cli import run
from service.commands.doctor_fleet import fleet
from service.live.settings import ReloadSettings


@pytest.fixture
def publisher(trained_home: Path, tmp_path: Path) -> Workspace:
    return Workspace(copy_home(trained_home, tmp_path / "publisher"))


@pytest.fixture(params=["file", "fsspec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return open_store((tmp_path / "store").as_uri())
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    return open_store("memory://bucket/sets")


def named(workspace: Workspace) -> dict[str, str | None]:
    """What a home serves."""
    state = load_state(workspace)
    versions = dict(state.versions)
    return versions | {"blend": f"{state.published.name}@{state.published_version}"}


def next_set(publisher: Workspace, store: ObjectStore) -> str:
    """Another index and another blend, published."""
    publish_again(publisher.home)
    blends = BlendStore(publisher.blends_root)
    blend, _ = blends.published_or_default()
    blends.save(msgspec.structs.replace(blend, note=uuid4().hex), publish=True)
    return push(publisher, store, silent).set


def test_a_replica_serves_what_was_published(
    publisher: Workspace, store: ObjectStore, tmp_path: Path
) -> None:
    replica = Workspace(tmp_path / "replica")
    with pytest.raises(StoreFailure, match="serves no set yet"):
        pull_at_start(replica, open_store((tmp_path).as_uri()))
    first = push(publisher, store, silent)
    assert first.changed and first.files > 10
    assert not push(publisher, store, silent).changed
    taken = pull(replica, store)
    assert taken is not None and taken.id == first.set
    assert named(replica) == named(publisher)
    assert pull(replica, store) is None
    before = named(replica)
    second = next_set(publisher, store)
    assert pull(replica, store) is not None
    assert named(replica) == named(publisher) != before
    assert roll_back(store).id == first.set
    assert pull(replica, store) is not None
    assert named(replica) == before
    assert roll_back(store, second).id == second
    with pytest.raises(Failure, match="is not in"):
        roll_back(store, "000099-20260101T000000Z")


def test_a_replica_has_what_no_text_says(shop_home: Path, tmp_path: Path) -> None:
    publisher = Workspace(copy_home(shop_home, tmp_path / "publisher"))
    with_vectors(publisher.home, image=look_vectors())
    store, replica = open_store((tmp_path / "store").as_uri()), Workspace(tmp_path / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    vectors = [load_state(one).index.modalities["image"] for one in (publisher, replica)]
    rows = np.arange(vectors[0].covered)
    assert np.array_equal(vectors[0].rows(rows)[0], vectors[1].rows(rows)[0])


def test_what_is_here_is_linked_and_not_fetched(
    publisher: Workspace, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, fetched = Workspace(tmp_path / "replica"), list[str]()
    push(publisher, store, silent)
    pull(replica, store)
    fetch = store.fetch

    def counted(name: str, target: Path) -> None:
        fetched.append(name)
        fetch(name, target)

    monkeypatch.setattr(store, "fetch", counted)
    next_set(publisher, store)
    assert pull(replica, store) is not None
    assert len(fetched) <= 1  # the blend; the index has the same files
    vectors = [
        version.folder / "vectors.faiss" for version in VersionStore(replica.index_root).versions()
    ]
    assert len({path.stat().st_ino for path in vectors}) == 1 < len(vectors)


def test_a_damaged_object_is_named_and_the_old_set_goes_on(
    publisher: Workspace, store: ObjectStore, tmp_path: Path
) -> None:
    replica = Workspace(tmp_path / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    before = named(replica)
    next_set(publisher, store)
    blend = VersionStore(publisher.blends_root).current()
    assert blend is not None and blend.manifest is not None
    name = object_name(blend.manifest.files["blend.json"].sha256)
    whole = store.read(name) or b""
    store.write(name, whole.replace(b"default", b"defamed"))
    with pytest.raises(StoreFailure, match=f"{name}.*blend.json.* is damaged"):
        pull(replica, store)
    assert named(replica) == before
    assert not list((replica.home / "blends" / "work").glob("staged-*"))
    store.write(name, whole)
    assert pull(replica, store) is not None
    assert named(replica) == named(publisher)
    pointer = read_pointer(store)
    assert pointer is not None
    store.write(f"sets/{pointer.set}.json", b"{}")
    (replica.home / "set.json").unlink()
    with pytest.raises(StoreFailure, match=f"sets/{pointer.set}.json is damaged"):
        pull(replica, store)


def test_a_file_that_rotted_here_is_fetched_again(
    publisher: Workspace, store: ObjectStore, tmp_path: Path
) -> None:
    replica = Workspace(tmp_path / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    next_set(publisher, store)
    [first] = VersionStore(replica.index_root).versions()
    rotted = first.folder / "vectors.faiss"
    rotted.chmod(0o644)
    rotted.write_bytes(bytes(rotted.stat().st_size))
    assert pull(replica, store) is not None
    assert named(replica) == named(publisher)


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../../../stray": {"sha256": "", "bytes": 5}}},
        {"files": {"/{tmp}/stray": {"sha256": "", "bytes": 5}}},
        {"id": "../../../stray"},
        {"id": "0999-20260101T000000Z"},
    ],
)
def test_nothing_in_a_store_leads_out_of_the_home(
    publisher: Workspace, tmp_path: Path, change: dict[str, Any]
) -> None:
    store = open_store((tmp_path / "store").as_uri())
    replica = Workspace(tmp_path / "a" / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    before = named(replica)
    next_set(publisher, store)
    pointer = read_pointer(store)
    assert pointer is not None
    there = read_set(store, pointer.set)
    stray = hashlib.sha256(b"stray").hexdigest()
    store.write(object_name(stray), b"stray")
    raw = store.read(object_name(there.blends.manifest)) or b""
    text = json.dumps(json.loads(raw) | change).replace('"sha256": ""', f'"sha256": "{stray}"')
    manifest = text.replace("/{tmp}", str(tmp_path)).encode()
    sha256 = hashlib.sha256(manifest).hexdigest()
    store.write(object_name(sha256), manifest)
    blends = msgspec.structs.replace(there.blends, manifest=sha256)
    changed = msgspec.structs.replace(there, blends=blends)
    content = msgspec.json.encode(changed)
    store.write(f"sets/{changed.id}.json", content)
    point_to(store, changed, content)
    with pytest.raises(StoreFailure, match="is damaged"):
        pull(replica, store)
    assert named(replica) == before
    places = [path for path in tmp_path.rglob("stray*") if "store" not in path.parts]
    assert not places


def test_a_store_that_is_away_changes_nothing(publisher: Workspace, tmp_path: Path) -> None:
    folder, replica = tmp_path / "store", Workspace(tmp_path / "replica")
    store = open_store(folder.as_uri())
    push(publisher, store, silent)
    assert pull_at_start(replica, store) is None
    folder.rename(tmp_path / "away")
    with pytest.raises(StoreFailure, match="is not there"):
        pull(replica, store)
    away = pull_at_start(replica, store)
    assert away is not None and "is not there" in str(away)
    assert named(replica) == named(publisher)
    with pytest.raises(StoreFailure):
        pull_at_start(Workspace(tmp_path / "new"), store)


def test_a_swap_that_was_cut_off_is_ended(
    publisher: Workspace, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Workspace(tmp_path / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    next_set(publisher, store)
    switch = VersionStore.switch_to

    def killed(self: VersionStore, version_id: str) -> Any:
        if self.root.name == "index":  # after the blend
            raise KeyboardInterrupt
        return switch(self, version_id)

    with monkeypatch.context() as patched:
        patched.setattr(VersionStore, "switch_to", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(replica, store)
    assert named(replica) != named(publisher)
    assert pull(replica, store) is not None
    assert named(replica) == named(publisher)
    assert pull(replica, store) is None


def test_a_set_without_a_model_takes_the_model_away(
    publisher: Workspace, store: ObjectStore, tmp_path: Path
) -> None:
    replica = Workspace(tmp_path / "replica")
    push(publisher, store, silent)
    pull(replica, store)
    assert named(replica)["model"] is not None
    (publisher.home / "model" / "current").unlink()
    push(publisher, store, silent)
    pull(replica, store)
    assert named(replica)["model"] is None
    assert (local_set(replica.home) or pytest.fail()).model is None


def test_a_home_with_versions_of_its_own_is_refused(
    publisher: Workspace, shop_home: Path, store: ObjectStore, tmp_path: Path
) -> None:
    push(publisher, store, silent)
    replica = Workspace(tmp_path / "replica")
    pull(replica, store)
    shutil.rmtree(replica.home / "blends" / "versions")
    (replica.home / "set.json").unlink()
    version = VersionStore(publisher.blends_root).current()
    assert version is not None
    (replica.home / "blends" / "versions" / version.id).mkdir(parents=True)
    with pytest.raises(Failure, match="another version"):
        pull(replica, store)


def test_only_one_process_of_a_home_pulls(
    publisher: Workspace, store: ObjectStore, tmp_path: Path
) -> None:
    push(publisher, store, silent)
    replica = Workspace(tmp_path / "replica")
    replica.home.mkdir()
    lock = pulling.try_lock(replica.home / "pull.lock")
    assert lock is not None
    assert pull(replica, store) is None
    assert local_set(replica.home) is None
    pulling.release(lock)
    assert pull(replica, store) is not None


def test_the_command_publishes_lists_and_rolls_back(
    publisher: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = (tmp_path / "store").as_uri()

    def said(*args: str) -> dict[str, Any]:
        assert run(["--home", str(publisher.home), "publish", "--to", url, "--json", *args]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return answer

    first = said()["set"]
    second = next_set(publisher, open_store(url))
    assert [row["served"] for row in said("--list")["sets"]] == [False, True]
    assert said("--rollback")["set"] == first
    assert said("--rollback", "--set", second)["set"] == second
    assert run(["publish", "--to", "nowhere"]) == 1
    assert "no address of a store" in capsys.readouterr().err


def test_doctor_compares_a_replica_with_what_is_published(
    publisher: Workspace, tmp_path: Path
) -> None:
    url, home = (tmp_path / "store").as_uri(), tmp_path / "replica"
    replica = Workspace(home, {ReloadSettings: ReloadSettings(source=url)})
    assert fleet(Workspace(home)).state == "ok"
    assert fleet(replica).state == "warn"  # the store is away
    push(publisher, open_store(url), silent)
    assert "this home none" in fleet(replica).message
    pull(replica, open_store(url))
    assert "pseudonym keys" in fleet(replica).message
    shutil.copytree(publisher.home / "pseudonyms", home / "pseudonyms")
    assert fleet(replica).state == "ok"
    next_set(publisher, open_store(url))
    assert fleet(replica).state == "warn"


@pytest.mark.parametrize("later", [False, True])
def test_a_set_takes_the_changes_that_are_in_it(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    """Each home numbers its own changes; whichever began first, none is lost or kept for good."""
    monkeypatch.setattr("indexes.items.changes._MARGIN_SECONDS", 0.0)
    store = open_store((tmp_path / "store").as_uri())
    builder = Workspace(copy_home(shop_home, tmp_path / "builder"))
    replica = Workspace(tmp_path / "replica")
    push(builder, store, silent)
    pull(replica, store)
    homes = (builder, replica) if later else (replica, builder)
    for workspace in homes:
        ItemChanges(workspace.home, 9).apply([ItemChange("3", {"price": 5.0})])
    rebuild(builder, write_items(tmp_path / "items.jsonl", small_shop()), progress=silent)
    push(builder, store, silent)
    changes = ItemChanges(replica.home, 9)
    changes.apply([ItemChange("7", {"price": 6.0})])  # that the builder has not seen
    pull(replica, store)
    assert changes.since(0).fields == {"7": {"price": 6.0}}
    index = ItemIndex(published_version(replica))
    waiting = changes.since(changes.folded(index.about))
    assert waiting.fields == {"7": {"price": 6.0}}
    assert index.columns.price[index.rows(["3"])].tolist() == [5.0]
