"""test_provenance.py: a saved result names whatever changed since, and holds while nothing does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from indexes.build.rebuild import rebuild
from indexes.errors import Failure
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.commands.evaluate import evaluate_command
from reranker.evaluation.provenance import (
    Hashes,
    VersionHash,
    blend_hash,
    code_hash,
    read_saved,
    sources_hash,
    stale,
)
from reranker.model.versions import model_store

TITLES = {"shoe": "Red running shoes", "boot": "Leather hiking boots", "tent": "A tent for two"}
REQUEST = {
    "id": "q1",
    "query": "hiking boots",
    "candidates": [{"id": one} for one in TITLES],
    "ratings": {"boot": 2},
}


def build(workspace: Workspace, *more: str) -> None:
    path = workspace.home / "items.jsonl"
    items = [{"id": one, "title": title} for one, title in TITLES.items()]
    items += [{"id": one, "title": one} for one in more]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, items)))
    rebuild(workspace, path, progress=silent)


def bolder(weight: float) -> Blend:
    return Blend(name="bolder", signals={"match": SignalWeight(weight)})


def run(workspace: Workspace, *options: object) -> Result:
    return CliRunner().invoke(evaluate_command, [*map(str, options)], obj=workspace)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An index, two blends, requests, judgments and a result saved from them."""
    home = tmp_path_factory.mktemp("home")
    workspace = Workspace(home)
    build(workspace)
    store = BlendStore(workspace.blends_root)
    store.published_or_default()
    store.save(bolder(1.0))
    (home / "r.jsonl").write_bytes(msgspec.json.encode(REQUEST))
    (home / "j.csv").write_text("query,docid,rating\nhiking boots,boot,1\n")
    files = ("--requests", home / "r.jsonl", "--judgments", home / "j.csv")
    blends = ("--blend", "bolder", "--compare", "default")
    done = run(workspace, *files, *blends, "--save-result", home / "result.json", "--json")
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout) == saved(workspace)
    return workspace


@pytest.fixture
def hashes(workspace: Workspace) -> Hashes:
    return read_saved(workspace.home / "result.json")


def saved(workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((workspace.home / "result.json").read_bytes())
    return found


def test_a_result_says_what_it_was_made_from(workspace: Workspace, hashes: Hashes) -> None:
    result = saved(workspace)
    assert msgspec.convert(result["hashes"], Hashes) == hashes
    assert list(hashes.blends) == ["bolder", "default"]
    assert hashes.blends["bolder"] == blend_hash(bolder(1.0)) != blend_hash(bolder(1.5))
    assert hashes.index.version == result["versions"]["index"]
    assert (hashes.requests.path, hashes.model) == (str(workspace.home / "r.jsonl"), None)
    assert hashes.judgments and hashes.judgments.sha256 != hashes.requests.sha256
    assert hashes.code == code_hash()
    assert len(hashes.code.sha256) == 64


def test_a_result_holds_while_nothing_changed(workspace: Workspace, hashes: Hashes) -> None:
    assert stale(hashes, workspace) == []
    found = run(workspace, "stale", workspace.home / "result.json")
    assert (found.exit_code, "still holds" in found.stdout) == (0, True)


@pytest.fixture
def changed(workspace: Workspace) -> Iterator[Callable[[str, bytes], None]]:
    """Change a file of the home for one test."""
    kept: dict[Path, bytes] = {}

    def change(name: str, data: bytes) -> None:
        path = workspace.home / name
        kept[path] = path.read_bytes()
        path.write_bytes(data)

    yield change
    for path, data in kept.items():
        path.write_bytes(data)


@pytest.mark.parametrize(("kind", "name"), [("requests", "r.jsonl"), ("judgments", "j.csv")])
def test_a_changed_file_is_named(
    workspace: Workspace,
    hashes: Hashes,
    changed: Callable[[str, bytes], None],
    kind: str,
    name: str,
) -> None:
    changed(name, b"something else")
    assert stale(hashes, workspace) == [f"{kind}: {workspace.home / name} has changed"]
    (workspace.home / name).unlink()
    (found,) = stale(hashes, workspace)
    assert found.startswith(f"{kind}: {workspace.home / name} cannot be read: No such file")


def test_another_model_or_none_is_named(workspace: Workspace, hashes: Hashes) -> None:
    gone = msgspec.structs.replace(hashes, model=VersionHash("0007-x", "0" * 64))
    assert stale(gone, workspace) == ["model: none is served now; the result is of 0007-x"]
    index = VersionStore(workspace.index_root).current()
    assert index is not None
    store = model_store(workspace)
    with store.stage() as staged:
        (staged / "habits.json").write_text("{}")
        save_file({}, staged / "shoppers.safetensors")
        save_file({}, staged / "searches.safetensors")
        model = store.publish(staged, {"fingerprint": index.about["fingerprint"]})
    assert model.manifest
    try:
        without = f"model: {model.id} is served now; the result is without one"
        assert stale(hashes, workspace) == [without]
        other = f"model: {model.id} is served now; the result is of 0007-x"
        assert stale(gone, workspace) == [other]
        same = VersionHash(model.id, model.manifest.sha256)
        assert stale(msgspec.structs.replace(hashes, model=same), workspace) == []
        renamed = msgspec.structs.replace(hashes, model=VersionHash(model.id, "0" * 64))
        assert "another one under the same name" in stale(renamed, workspace)[0]
        with store.stage() as staged:  # trained on another encoder's vectors: it is not served
            (staged / "habits.json").write_text("{}")
            save_file({}, staged / "shoppers.safetensors")
            save_file({}, staged / "searches.safetensors")
            store.publish(staged, {"fingerprint": "another"})
        assert stale(hashes, workspace) == []
    finally:
        (store.root / "current").unlink()


def test_other_code_is_named(workspace: Workspace, hashes: Hashes, tmp_path: Path) -> None:
    older = msgspec.structs.replace(hashes, code=VersionHash("0.0.1", "0" * 64))
    assert "the result is of 0.0.1" in stale(older, workspace)[0]
    edited = msgspec.structs.replace(hashes, code=VersionHash(hashes.code.version, "0" * 64))
    (found,) = stale(edited, workspace)
    assert found == f"code: the sources of reranker {hashes.code.version} have changed"
    (tmp_path / "part").mkdir()
    source = tmp_path / "part" / "a.py"
    seen = []
    for text in ("x = 1", "x = 2"):
        source.write_text(text)
        seen.append(sources_hash([tmp_path]))
    seen.append(sources_hash([source.rename(tmp_path / "part" / "b.py").parent.parent]))
    assert len(set(seen)) == 3


def test_a_new_version_of_a_blend_is_named_and_a_numbered_one_never_changes(
    workspace: Workspace, hashes: Hashes
) -> None:
    store = BlendStore(workspace.blends_root)
    store.save(msgspec.structs.replace(bolder(1.0), note="Asked for by Ann.", author="Ann"))
    assert stale(hashes, workspace) == []  # version 2 ranks the same
    store.save(bolder(3.0))
    assert stale(hashes, workspace) == ["blend bolder has changed: it is version 3 now"]
    numbered = msgspec.structs.replace(hashes, blends={"bolder@1": hashes.blends["bolder"]})
    assert stale(numbered, workspace) == []
    unknown = msgspec.structs.replace(hashes, blends={"lost": "0" * 64})
    assert stale(unknown, workspace) == ["blend lost is gone"]


def test_another_index_is_named_and_the_command_exits_1(
    workspace: Workspace, hashes: Hashes
) -> None:
    before = VersionStore(workspace.index_root).current()
    build(workspace, "kettle")
    now = VersionStore(workspace.index_root).current()
    assert before and now and before.id != now.id
    expected = f"index: {now.id} is served now; the result is of {before.id}"
    assert expected in stale(hashes, workspace)
    found = run(workspace, "stale", workspace.home / "result.json")
    assert found.exit_code == 1
    assert "is stale:" in found.stdout and expected in found.stdout
    found = run(workspace, "stale", workspace.home / "result.json", "--json")
    assert found.exit_code == 1
    assert expected in msgspec.json.decode(found.stdout)["stale"]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"queries": 3}', b"\xff"])
def test_a_file_that_is_no_saved_result_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(data)
    with pytest.raises(Failure, match="--save-result"):
        read_saved(path)


def test_a_result_that_could_not_be_written_stops_before_the_work(workspace: Workspace) -> None:
    where = workspace.home / "nowhere" / "result.json"
    found = run(workspace, "--requests", workspace.home / "r.jsonl", "--save-result", where)
    assert isinstance(found.exception, Failure)
    assert "is no folder" in str(found.exception)
