"""Vectors by item id join at the rebuild: checked, counted, versioned, kept and left out."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner
from support.tiny_models import tiny_bert

from indexes.build import item_vectors
from indexes.build.commands import index_commands, rebuild_command
from indexes.build.item_vectors import named_files
from indexes.build.rebuild import Summary, rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.modalities import vector_files
from indexes.progress import silent
from indexes.storage.arrays import Vectors
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace

IDS = [f"i{number}" for number in range(60)]
Run = Callable[..., Summary]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    words = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{digit}" for digit in range(10))]
    return EncoderSettings(model=str(tiny_bert(tmp_path_factory.mktemp("tiny"), words=words)))


def catalogue(path: Path, ids: Sequence[str] = IDS) -> Path:
    lines = [msgspec.json.encode({"id": item, "title": f"a b {item}"}) for item in ids]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def run(tmp_path: Path, tiny: EncoderSettings) -> Run:
    def run(
        vectors: dict[str, Any] | None = None, ids: Sequence[str] = IDS, **settings: Any
    ) -> Summary:
        sections = {EncoderSettings: tiny, RebuildSettings: RebuildSettings(**settings)}
        named = {name: str(file) for name, file in (vectors or {}).items()}
        home = Workspace(tmp_path / "home", sections)
        source = catalogue(tmp_path / "items.jsonl", ids)
        return rebuild(home, source, item_vectors=named, progress=silent)

    return run


def looks(n: int = len(IDS), d: int = 8) -> Vectors:
    return np.random.default_rng(d).normal(size=(n, d)).astype(np.float32)


def npy(folder: Path, ids: Sequence[str], vectors: Vectors, name: str = "look") -> Path:
    np.save(folder / f"{name}.npy", vectors)
    (folder / f"{name}.ids.txt").write_text("".join(f"{item}\n" for item in ids))
    return folder / f"{name}.npy"


def as_parquet(path: Path, ids: Sequence[Any], cells: Any) -> Path:
    parquet.write_table(pa.table({"id": pa.array(ids), "vector": cells}), path)
    return path


def served(tmp_path: Path) -> ItemIndex:
    version = VersionStore(tmp_path / "home" / "index").current()
    assert version is not None
    return ItemIndex(version)


def assert_holds(index: ItemIndex, ids: Sequence[str], vectors: Vectors) -> None:
    found, known = index.modalities["look"].rows(index.rows(list(ids)))
    assert known.all()
    wanted = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_npy_and_parquet_say_the_same(tmp_path: Path, run: Run) -> None:
    vectors = looks()
    ids = [*IDS[10:], *(f"gone{number}" for number in range(10))]
    summary = run({"look": npy(tmp_path, ids, vectors)})
    joined = summary.item_vectors["look"]
    counts = (joined.items, joined.without, joined.unknown, joined.bad, joined.dimensions)
    assert counts == (50, 10, 10, 0, 8)
    assert_holds(served(tmp_path), IDS[10:], vectors[:50])

    cells = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), 8)
    summary = run({"look": as_parquet(tmp_path / "look.parquet", ids, cells)})
    assert summary.changed and summary.item_vectors["look"].unknown == 10
    assert_holds(served(tmp_path), IDS[10:], vectors[:50])


@pytest.mark.parametrize("kind", [pa.float64(), pa.float16(), pa.int32()])
def test_lists_of_any_numbers(tmp_path: Path, run: Run, kind: Any) -> None:
    vectors = np.round(looks() * 50)
    cells = pa.array(vectors.tolist()).cast(pa.list_(kind))
    file = as_parquet(tmp_path / "look.parquet", range(60), cells)
    run({"look": file}, ids=[str(number) for number in range(60)])
    assert_holds(served(tmp_path), [str(number) for number in range(60)], vectors)


def test_rows_that_are_no_vector_cost_themselves_alone(tmp_path: Path, run: Run) -> None:
    cells: list[Any] = looks().tolist()
    ids: list[Any] = list(IDS)
    cells[1], cells[2], cells[3] = None, cells[2][:5], [float("nan")] * 8
    cells[4] = [0.0] * 8
    ids[5], ids[6], ids[7] = None, " ", "i0"
    file = as_parquet(tmp_path / "look.parquet", ids, pa.array(cells))
    with pytest.raises(Failure, match="rebuild.max_bad_share allows 1.0%") as failed:
        run({"look": file})
    assert failed.value.field == "rebuild.max_bad_share"
    assert not VersionStore(tmp_path / "home" / "index").versions()

    summary = run({"look": file}, max_bad_share=0.2)
    joined = summary.item_vectors["look"]
    assert (joined.items, joined.without, joined.bad) == (53, 7, 7)
    assert "look: 7 vectors of" in "".join(summary.notes)
    known = served(tmp_path).modalities["look"].known(np.arange(60))
    assert np.flatnonzero(~known).tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_a_file_may_begin_with_items_that_have_no_vector(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_files, "_BATCH", 5)  # rows read at once
    vectors = looks()
    cells = pa.array([None] * 10 + vectors[10:].tolist())
    summary = run({"look": as_parquet(tmp_path / "look.parquet", IDS, cells)}, max_bad_share=0.2)
    joined = summary.item_vectors["look"]
    assert (joined.items, joined.bad, joined.dimensions) == (50, 10, 8)
    assert "the vector of 'i0' has no numbers" in "".join(summary.notes)
    assert_holds(served(tmp_path), IDS[10:], vectors[10:])


def test_a_file_whose_ids_meet_nothing_is_refused(tmp_path: Path, run: Run) -> None:
    with pytest.raises(Failure, match="its first are 'x0', 'x1', 'x2', and the catalogue's 'i0'"):
        run({"look": npy(tmp_path, [f"x{number}" for number in range(60)], looks())})


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    np.save(folder / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.save(folder / "flat.npy", np.ones(4))
    np.save(folder / "alone.npy", looks())
    (folder / "empty.npy").write_bytes(b"")
    np.savez(folder / "many.npz", a=looks())
    os.replace(folder / "many.npz", folder / "many.npy")
    for name in ("objects", "flat", "empty", "many"):
        (folder / f"{name}.ids.txt").write_text("i0\n")
    npy(folder, IDS[:7], looks(), "short")
    npy(folder, IDS, np.ones((60, 1), np.float32), "thin")
    (folder / "text.csv").write_text("id,vector\n")
    (folder / "torn.parquet").write_bytes(b"PAR1 and no more")
    parquet.write_table(pa.table({"id": ["i0"], "name": ["x"]}), folder / "words.parquet")
    return {
        "objects": (folder / "objects.npy", "cannot be read as .npy"),
        "flat": (folder / "flat.npy", "of shape .4,.; an array"),
        "alone": (folder / "alone.npy", "needs its ids in .*alone.ids.txt"),
        "empty": (folder / "empty.npy", "cannot be read as .npy"),
        "many": (folder / "many.npy", "an array .items, dimensions. of numbers is expected"),
        "short": (folder / "short.npy", "60 vectors and .*short.ids.txt 7 lines"),
        "thin": (folder / "thin.npy", "1 numbers each; allowed are 2 to 4,096"),
        "csv": (folder / "text.csv", "allowed are .parquet and .npy"),
        "torn": (folder / "torn.parquet", "cannot be read as Parquet"),
        "words": (folder / "words.parquet", "needs a column `id` and a column `vector`.*'name'"),
        "missing": (folder / "nowhere.npy", "does not exist"),
    }


def test_files_that_are_no_vectors_leave_the_old_version(tmp_path: Path, run: Run) -> None:
    first = run({"look": npy(tmp_path, IDS, looks())})
    for name, (file, message) in broken_files(tmp_path).items():
        with pytest.raises(Failure, match=message) as failed:
            run({name: file})
        assert failed.value.hint, name
    assert served(tmp_path).version == first.version


def test_what_is_unchanged_is_kept(tmp_path: Path, run: Run) -> None:
    vectors = looks()
    file = npy(tmp_path, IDS, vectors)
    first = run({"look": file})
    again = run({"look": file})
    assert not again.changed and again.version == first.version
    assert again.item_vectors["look"].reused
    plain = run()
    assert not plain.changed, "a plain rebuild keeps them"

    file.unlink()
    fewer = run(ids=[*IDS[5:], "new"])
    joined = fewer.item_vectors["look"]
    assert (joined.items, joined.without, joined.unknown) == (55, 1, 5)
    assert any("look: no file is named; kept" in note for note in fewer.notes)
    index = served(tmp_path)
    assert_holds(index, IDS[5:], vectors[5:])
    assert not index.modalities["look"].known(index.rows(["new"])).any()

    gone = run({"look": ""}, ids=[*IDS[5:], "new"])
    assert gone.changed and not gone.item_vectors and not served(tmp_path).modalities


def test_a_file_named_again_reaches_items_that_came_meanwhile(tmp_path: Path, run: Run) -> None:
    vectors = looks()
    file = npy(tmp_path, IDS, vectors)
    run({"look": file}, ids=IDS[:50])
    kept = run(ids=IDS)
    assert (kept.item_vectors["look"].items, kept.item_vectors["look"].without) == (50, 10)
    assert not run(ids=IDS).changed
    again = run({"look": file}, ids=IDS)
    assert again.changed and again.item_vectors["look"].items == 60
    assert_holds(served(tmp_path), IDS, vectors)
    assert not run({"look": file}, ids=IDS).changed


def test_setting_item_vectors(tmp_path: Path, run: Run) -> None:
    (tmp_path / "home").mkdir()
    npy(tmp_path / "home", IDS, looks())
    said = {"item_vectors": ["look=look.npy"]}
    assert run(**said).item_vectors["look"].items == 60
    assert not run(**said).changed
    with pytest.raises(Failure, match="rebuild.item_vectors is 'look'; NAME=FILE is expected"):
        run(item_vectors=["look"])
    changed = npy(tmp_path, IDS[:30], looks(30), "other")
    assert run({"look": changed}, **said).item_vectors["look"].items == 30


def test_setting_vector_weights(tmp_path: Path, run: Run) -> None:
    file = npy(tmp_path, IDS, looks())
    run({"look": file})
    heavier = run({"look": file}, vector_weights=["look=2.5", "sound=1"])
    assert heavier.changed and heavier.item_vectors["look"].reused
    assert "names 'sound'" in "".join(heavier.notes)
    assert served(tmp_path).modalities["look"].weight == 2.5
    with pytest.raises(Failure, match="allowed are numbers from 0 to 1,000"):
        run({"look": file}, vector_weights=["look=much"])


def test_names_on_the_command_line() -> None:
    assert named_files(["a=x.npy", "b="], "--item-vectors") == {"a": "x.npy", "b": ""}
    with pytest.raises(Failure, match="names 'a' twice"):
        named_files(["a=x", "a=y"], "--item-vectors")


def test_rollback_brings_the_vectors_back(tmp_path: Path, run: Run) -> None:
    one, two = looks(), looks()[::-1].copy()
    run({"look": npy(tmp_path, IDS, one)})
    run({"look": npy(tmp_path, IDS, two)})
    store = VersionStore(tmp_path / "home" / "index")
    assert_holds(served(tmp_path), IDS, two)
    store.rollback()
    assert_holds(served(tmp_path), IDS, one)

    file = served(tmp_path).modalities["look"].folder / "vectors.f16"
    file.chmod(0o600)
    file.write_bytes(b"\0" * file.stat().st_size)
    current = store.current()
    assert current is not None
    assert store.verify(current) == [
        "modalities/look/vectors.f16 was changed: its sha256 does not fit"
    ]


def test_the_command_counts_both_ways(tmp_path: Path, tiny: EncoderSettings) -> None:
    file = npy(tmp_path, [*IDS[:50], "gone"], looks(51))
    source = catalogue(tmp_path / "items.jsonl")
    workspace = Workspace(tmp_path / "home", {EncoderSettings: tiny})
    asked = ["--items", str(source), "--item-vectors", f"look={file}"]
    shown = CliRunner().invoke(rebuild_command, asked, obj=workspace)
    assert shown.exit_code == 0, shown.output
    line = next(line for line in shown.output.splitlines() if "look" in line)
    assert "50 items have a vector of 8, 10 have none; 1 vectors are of no item" in line
    shown = CliRunner().invoke(index_commands, ["list"], obj=workspace)
    assert "look 50" in shown.output
    shown = CliRunner().invoke(rebuild_command, [*asked, "--json"], obj=workspace)
    joined = msgspec.json.decode(shown.stdout.splitlines()[-1])["item_vectors"]["look"]
    assert (joined["items"], joined["without"]) == (50, 10)


def killed_rebuild(workspace: Workspace, items: Path, file: Path) -> None:
    """A rebuild that is killed once the vectors are written."""
    write = item_vectors.write_modality

    def killed(*arguments: Any) -> Any:
        write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    item_vectors.write_modality = killed
    rebuild(workspace, items, item_vectors={"look": str(file)}, progress=silent)


def test_a_killed_rebuild_leaves_the_old_vectors(
    tmp_path: Path, run: Run, tiny: EncoderSettings
) -> None:
    first = run({"look": npy(tmp_path, IDS, looks())})
    other = npy(tmp_path, IDS, looks()[::-1].copy(), "other")
    workspace = Workspace(tmp_path / "home", {EncoderSettings: tiny})
    child = multiprocessing.get_context("forkserver").Process(
        target=killed_rebuild, args=(workspace, tmp_path / "items.jsonl", other)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert served(tmp_path).version == first.version
    assert_holds(served(tmp_path), IDS, looks())
    assert run({"look": other}).changed
    assert_holds(served(tmp_path), IDS, looks()[::-1])
