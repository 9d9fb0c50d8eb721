"""The offline rebuild as an operator meets it: incremental, resumable, guarded, locked."""

import errno
import gzip
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from support.tiny_models import tiny_bert

from indexes.build.catalogue_pass import WINDOW_BYTES, TextSpool
from indexes.build.commands import index_commands
from indexes.build.rebuild import Summary, rebuild
from indexes.build.settings import RebuildSettings
from indexes.build.vector_cache import VectorCache
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.items.columns import FORMAT
from indexes.items.index import ItemIndex
from indexes.items.settings import IndexSettings
from indexes.items.text import text_digest
from indexes.progress import silent
from indexes.storage.versions import CRASH_POINTS, LockHeld, VersionStore, exclusive
from indexes.workspace import Workspace

HEAVY = pytest.mark.heavy
COLOURS = ["red", "blue", "green", "black", "white", "grey", "brown", "pink", "gold", "teal"]
THINGS = ["jacket", "kettle", "lamp", "notebook", "tent", "scarf", "drill", "sofa", "puzzle", "mug"]


def items(n: int = 100) -> list[dict[str, Any]]:
    return [
        {
            "id": f"i{i}",
            "title": f"{COLOURS[i % 10]} {THINGS[i // 10 % 10]} no {i}",
            "price": float(i),
        }
        for i in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(gzip.compress(b"\n".join(msgspec.json.encode(row) for row in rows) + b"\n"))
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    """A model of the real kind that reads these items in milliseconds."""
    digits = [*"0123456789", *(f"##{digit}" for digit in range(10))]
    words = [*COLOURS, *THINGS, "no", *"abcdefghijklmnopqrstuvwxyz", *digits]
    return EncoderSettings(model=str(tiny_bert(tmp_path_factory.mktemp("tiny"), words=words)))


Home = Callable[..., Workspace]


@pytest.fixture
def workspace(tiny: EncoderSettings) -> Home:
    def workspace(home: Path, *sections: Any) -> Workspace:
        return Workspace(home, {type(section): section for section in (tiny, *sections)})

    return workspace


@pytest.fixture
def run(tmp_path: Path, workspace: Home) -> Callable[..., Summary]:
    def run(rows: list[dict[str, Any]], *sections: Any, force: bool = False) -> Summary:
        path = write(tmp_path / "items.jsonl.gz", rows)
        home = workspace(tmp_path / "home", *sections)
        return rebuild(home, path, force=force, progress=silent)

    return run


def served(tmp_path: Path) -> ItemIndex:
    version = VersionStore(tmp_path / "home" / "index").current()
    assert version is not None
    return ItemIndex(version)


@pytest.mark.promise(11)
def test_only_changed_texts_are_encoded_again(tmp_path: Path, run: Callable[..., Summary]) -> None:
    first = run(items())
    assert (first.read, first.encoded, first.reused, first.removed) == (100, 100, 0, 0)

    again = run(items())
    assert (again.encoded, again.reused, again.changed) == (0, 100, False)
    assert again.version == first.version

    rows = items()
    rows[7]["title"] = "a different title"
    changed = run(rows)
    assert (changed.encoded, changed.reused, changed.changed) == (1, 99, True)

    fewer = run(rows[:-5])
    assert (fewer.encoded, fewer.removed) == (0, 5)
    assert served(tmp_path).rows(["i94", "i99"]).tolist() == [94, -1]

    rows[3]["price"] = 1.25  # a price is not in the text
    priced = run(rows[:-5])
    assert (priced.encoded, priced.changed) == (0, True)
    assert served(tmp_path).columns.price[3] == 1.25


def test_vectors_are_those_of_the_texts(tmp_path: Path, run: Callable[..., Summary]) -> None:
    run(items(30))
    index = served(tmp_path)
    vectors = index.vectors(np.arange(30))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=0.01)
    nearest = index.neighbours(vectors[:3], 1)
    assert [found[0][0] for found in nearest] == ["i0", "i1", "i2"]


def test_a_new_template_encodes_everything_and_says_so(run: Callable[..., Summary]) -> None:
    run(items(20))
    summary = run(items(20), RebuildSettings(template="{title}. {brand}"))
    assert summary.encoded == 20
    changed, filled = summary.notes
    assert changed == "The template changed: every item is encoded again."
    assert "{brand} is filled by 0 of 20 items" in filled


def test_a_new_model_encodes_everything_and_says_so(
    run: Callable[..., Summary], tiny: EncoderSettings
) -> None:
    run(items(20))
    summary = run(items(20), msgspec.structs.replace(tiny, dimensions=32))
    assert summary.encoded == 20
    assert "encoder changed" in summary.notes[0]


def test_a_new_factory_encodes_nothing(tmp_path: Path, run: Callable[..., Summary]) -> None:
    run(items(20))
    summary = run(items(20), IndexSettings(factory="Flat"))
    assert (summary.encoded, summary.changed) == (0, True)
    assert served(tmp_path).about["factory"] == "Flat"


def test_an_unknown_factory_is_refused_before_anything_is_encoded(
    tmp_path: Path, run: Callable[..., Summary]
) -> None:
    with pytest.raises(Failure, match=r"index\.factory: FAISS cannot build 'Flatt'"):
        run(items(20), IndexSettings(factory="Flatt"))
    assert run(items(20)).encoded == 20


def test_another_format_is_refused_and_a_rebuild_mends_it(
    tmp_path: Path, run: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(items(20))
    for module in ("build.rebuild", "items.index"):
        monkeypatch.setattr(f"indexes.{module}.FORMAT", FORMAT + 1)
    monkeypatch.setattr("indexes.items.index.READABLE", FORMAT + 1)
    with pytest.raises(Failure, match=f"format {FORMAT}.*reranker rebuild"):
        served(tmp_path)
    again = run(items(20))
    assert again.changed and again.encoded == 0
    assert len(served(tmp_path)) == 20


def test_verify_ends_with_its_findings_as_json(
    tmp_path: Path, run: Callable[..., Summary], workspace: Home
) -> None:
    path = tmp_path / "home/index/versions" / run(items(5)).version / "price.npy"

    def verified() -> tuple[Any, Any]:
        done = CliRunner().invoke(
            index_commands,
            ["verify", "--json"],
            obj=workspace(tmp_path / "home"),
            standalone_mode=False,
        )
        return done.return_value, msgspec.json.decode(done.stdout.splitlines()[-1])

    assert verified() == (0, {"versions": {path.parent.name: []}, "sound": True})
    path.chmod(0o644)
    path.write_bytes(b"")
    status, findings = verified()
    assert status == 1 and findings["sound"] is False
    assert "price.npy" in findings["versions"][path.parent.name][0]


@pytest.mark.promise(12)
def test_bad_lines_are_named_and_skipped(tmp_path: Path, run: Callable[..., Summary]) -> None:
    rows = items()
    rows[4] = {"id": "i4", "title": ""}
    rows[9]["id"] = "i3"
    rows[11].pop("id")
    summary = run(rows, RebuildSettings(max_bad_share=0.05))
    assert summary.skipped == 3
    assert summary.items == 97
    assert {bad["line"] for bad in summary.bad} == {5, 10, 12}
    rejected = (tmp_path / "home/index/rejected.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line) for line in rejected] == summary.bad


@pytest.mark.promise(12)
def test_too_many_bad_lines_leave_the_old_version(run: Callable[..., Summary]) -> None:
    run(items())
    rows = items()
    rows[4] = rows[5] = {"id": "x"}
    with pytest.raises(Failure, match=r"2 of 100 lines.*2 x title is missing \(line 5\).*rejected"):
        run(rows)
    assert run(items()).changed is False


@pytest.mark.promise(13)
def test_an_empty_catalogue_is_refused(run: Callable[..., Summary]) -> None:
    with pytest.raises(Failure, match="no item"):
        run([])


@pytest.mark.promise(13)
def test_a_sudden_loss_of_items_needs_force(run: Callable[..., Summary]) -> None:
    run(items())
    with pytest.raises(Failure, match=r"75 items.*100.*--force"):
        run(items(75))
    assert run(items(75), force=True).removed == 25


@pytest.mark.promise(13)
def test_vectors_that_cannot_be_right_need_force(
    tmp_path: Path, workspace: Home, tiny: EncoderSettings
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny.model, broken)
    path = next(broken.rglob("model.safetensors"))
    weights = load_file(path)
    name = next(name for name in weights if "word_embeddings" in name)
    weights[name][4] = float("nan")  # the first word: red
    save_file(weights, path, {"format": "pt"})
    home = workspace(tmp_path / "home", EncoderSettings(model=str(broken)))
    catalogue = write(tmp_path / "items.jsonl.gz", items(20))
    with pytest.raises(Failure, match=r"2 items have a NaN or zero vector \(i0, i10\).*--force"):
        rebuild(home, catalogue, progress=silent)
    assert VersionStore(tmp_path / "home/index").current() is None
    assert "ranked without their text" in rebuild(home, catalogue, force=True).notes[0]


@pytest.mark.promise(10)
def test_the_second_rebuild_says_who_holds_the_lock(
    tmp_path: Path, run: Callable[..., Summary]
) -> None:
    (tmp_path / "home/index").mkdir(parents=True)
    with (
        exclusive(tmp_path / "home/index/lock", "a test"),
        pytest.raises(Failure, match=str(os.getpid())),
    ):
        run(items(5))
    assert run(items(5)).encoded == 5


@pytest.mark.promise(8)
@pytest.mark.promise(13)
def test_a_damaged_served_version_is_replaced(tmp_path: Path, run: Callable[..., Summary]) -> None:
    first = run(items(20))
    path = tmp_path / "home/index/versions" / first.version / "vectors.faiss"
    path.chmod(0o644)
    whole = bytearray(path.read_bytes())
    whole[100] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(Failure, match=r"5 items.*20.*--force"):  # damage lifts no guard
        run(items(5))
    again = run(items(20))
    assert again.changed and again.encoded == 0
    store = VersionStore(tmp_path / "home/index")
    current = store.current()
    assert current is not None and store.verify(current) == []


_SLOW = """
import sys, time
from pathlib import Path
from indexes.encoders.text_encoder import EncoderSettings, TextEncoder
from indexes.progress import silent
from indexes.build.rebuild import rebuild
from indexes.workspace import Workspace
whole = TextEncoder.encode_batches
def slowly(self, texts):
    for start in range(0, len(texts), 10):
        for positions, vectors in whole(self, texts[start:start + 10]):
            yield positions + start, vectors
        print("batch", flush=True)
        time.sleep(0.05)
TextEncoder.encode_batches = slowly
model = {EncoderSettings: EncoderSettings(model=sys.argv[3])}
rebuild(Workspace(Path(sys.argv[1]), model), Path(sys.argv[2]), progress=silent)
"""


@pytest.mark.promise(9)
def test_what_fails_after_publishing_is_noted_and_no_failure(
    run: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_anything: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run(items(20))
    monkeypatch.setattr(VectorCache, "compact", full)
    summary = run(items(19))
    assert summary.changed and summary.items == 19
    assert "Published" in summary.notes[0] and "No space" in summary.notes[0]


@pytest.mark.promise(11)
def test_without_the_kept_vectors_an_unchanged_catalogue_encodes_nothing_either(
    tmp_path: Path, run: Callable[..., Summary]
) -> None:
    run(items(20))
    shutil.rmtree(tmp_path / "home/index/vectors")
    again = run(items(20))
    assert (again.encoded, again.reused, again.changed) == (0, 20, False)


def test_long_texts_are_held_a_few_at_a_time(tmp_path: Path) -> None:
    spool = TextSpool(tmp_path / "texts")
    texts = ["é" * length for length in (3, WINDOW_BYTES, 1, WINDOW_BYTES // 4, WINDOW_BYTES // 4)]
    for text in texts:
        spool.add(text_digest(text), text)
    windows = list(spool.windows())
    assert [(start, len(found)) for start, found in windows] == [(0, 1), (1, 1), (2, 2), (4, 1)]
    assert [text for _, found in windows for text in found] == texts
    spool.close()


@pytest.mark.promise(6)
@pytest.mark.promise(11)
@pytest.mark.parametrize("batches", [4, *(pytest.param(n, marks=HEAVY) for n in (3, 6, 9))])
def test_a_killed_rebuild_resumes_and_ends_with_the_same_bytes(
    tmp_path: Path,
    run: Callable[..., Summary],
    workspace: Home,
    tiny: EncoderSettings,
    batches: int,
) -> None:
    path = write(tmp_path / "items.jsonl.gz", items())
    slow = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(tmp_path / "home"), str(path), tiny.model],
        stdout=subprocess.PIPE,
    )
    assert slow.stdout is not None
    for _ in range(batches):
        slow.stdout.readline()
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    slow.stdout.close()
    assert VersionStore(tmp_path / "home/index").current() is None

    summary = run(items())
    assert 0 < summary.encoded <= 110 - 10 * batches
    assert summary.encoded + summary.reused == 100
    assert not list((tmp_path / "home/index/work").glob("*.texts"))
    rebuild(workspace(tmp_path / "other"), path, progress=silent)
    assert sums(tmp_path / "home") == sums(tmp_path / "other")


def sums(home: Path) -> dict[str, str]:
    """The hash of every file of the served version."""
    version = VersionStore(home / "index").current()
    assert version is not None and version.manifest is not None
    return {name: found.sha256 for name, found in version.manifest.files.items()}


@pytest.mark.promise(6)
@pytest.mark.parametrize(
    "point",
    [point if point == "link_made" else pytest.param(point, marks=HEAVY) for point in CRASH_POINTS],
)
def test_a_rebuild_that_dies_at_any_step_serves_the_old_or_the_new(
    tmp_path: Path, run: Callable[..., Summary], tiny: EncoderSettings, point: str
) -> None:
    run(items(20), RebuildSettings(keep=1))
    run(items(21), RebuildSettings(keep=1))
    path = write(tmp_path / "more.jsonl.gz", items(25))
    crashed = rebuilding(tmp_path / "home", path, tiny, crash_at=point)
    crashed.join()
    assert crashed.exitcode == (0 if point.startswith("prune") else 137)  # keeps 3
    switched = CRASH_POINTS.index(point) >= CRASH_POINTS.index("link_swapped")
    assert_sound(tmp_path, 25 if switched else 21)
    again = run(items(25), RebuildSettings(keep=1))
    assert again.encoded == 0 and len(served(tmp_path)) == 25
    if again.changed:
        assert len(VersionStore(tmp_path / "home/index").versions()) == 1


def assert_sound(tmp_path: Path, *items: int) -> None:
    store = VersionStore(tmp_path / "home/index")
    current = store.current()
    assert current is not None and store.verify(current) == []
    assert len(served(tmp_path)) in items


@pytest.mark.promise(6)
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=HEAVY)])
def test_a_rebuild_killed_at_random_moments(
    tmp_path: Path,
    run: Callable[..., Summary],
    tiny: EncoderSettings,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(6)
    run(items(20))
    killed = 0
    for round_ in range(kills):
        path = write(tmp_path / "more.jsonl.gz", items(21 + round_ % 2))
        child = rebuilding(tmp_path / "home", path, tiny)
        child.join(chance.uniform(0.05, 0.9))
        killed += child.is_alive()
        child.kill()
        child.join()
        assert_sound(tmp_path, 20, 21, 22)
    record_property("runs", killed)
    assert run(items(30)).items == 30
    assert len(VersionStore(tmp_path / "home/index").versions()) <= 3
    assert sorted(os.listdir(tmp_path / "home/index/work")) == ["publish.lock"]


@pytest.mark.promise(9)
@pytest.mark.parametrize("why", ["a file may not grow", "not ours"])
def test_what_the_disk_refuses_is_said_and_changes_nothing(
    tmp_path: Path, run: Callable[..., Summary], why: str
) -> None:
    first = run(items(20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    root = os.geteuid() == 0
    try:
        if why == "not ours":
            if not root:
                pytest.skip("needs root to become somebody else")
            for folder in (tmp_path, *tmp_path.parents):
                folder.chmod(folder.stat().st_mode | 0o005)
            os.seteuid(65534)
            path, message = tmp_path / "items.jsonl.gz", "Permission denied"
        else:
            path = write(tmp_path / "more.jsonl.gz", items(30))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
            message = "File too large"
        with pytest.raises(Failure, match=message):
            rebuild(Workspace(tmp_path / "home"), path, progress=silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if root:
            os.seteuid(0)
    assert VersionStore(tmp_path / "home/index").current().id == first.version  # type: ignore[union-attr]
    assert_sound(tmp_path, 20)
    assert not list((tmp_path / "home/index/work").glob("staged-*"))


@pytest.mark.promise(9)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_leaves_the_old_version(tmp_path: Path, workspace: Home) -> None:
    home = tmp_path / "home"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(home)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        first = rebuild(workspace(home), write(tmp_path / "a.jsonl.gz", items(10)), progress=silent)
        (home / "filler").write_bytes(b"x" * (20 * 2**20 - used(home) - 2**16))
        with pytest.raises(Failure, match=r"space|full"):
            rebuild(workspace(home), write(tmp_path / "b.jsonl.gz", items(12)), progress=silent)
        store = VersionStore(home / "index")
        current = store.current()
        assert current is not None and current.id == first.version
        assert store.verify(current) == []
        assert not [path for path in (home / "index/work").iterdir() if path.suffix != ".lock"]
        (home / "filler").unlink()
        again = rebuild(workspace(home), tmp_path / "b.jsonl.gz", progress=silent)
        assert again.items == 12
    finally:
        subprocess.run(["umount", str(home)], check=True)


def used(folder: Path) -> int:
    stats = os.statvfs(folder)
    return (stats.f_blocks - stats.f_bfree) * stats.f_frsize


@pytest.mark.promise(10)
@pytest.mark.parametrize("count", [2, pytest.param(20, marks=HEAVY)])
def test_many_at_once_publish_one_consistent_index(
    tmp_path: Path,
    workspace: Home,
    tiny: EncoderSettings,
    count: int,
    record_property: Callable[[str, object], None],
) -> None:
    path = write(tmp_path / "items.jsonl.gz", items(40))
    children = [rebuilding(tmp_path / "home", path, tiny) for _ in range(count)]
    for child in children:
        child.join()
    codes = [child.exitcode for child in children]
    assert set(codes) <= {0, 75} and 0 in codes
    record_property("runs", count)
    assert len(served(tmp_path)) == 40
    assert rebuild(workspace(tmp_path / "home"), path, progress=silent).changed is False


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["sentence_transformers", "indexes.build.rebuild"])  # imported once


def rebuilding(home: Path, path: Path, model: EncoderSettings, crash_at: str = "") -> Any:
    """Another process that rebuilds."""
    child = FORKS.Process(target=_rebuild, args=(home, path, model, crash_at))
    child.start()
    return child


def _rebuild(home: Path, path: Path, model: EncoderSettings, crash_at: str) -> None:
    os.environ["RERANKER_CRASH_AT"] = crash_at
    try:
        rebuild(Workspace(home, {EncoderSettings: model}), path, progress=silent)
    except LockHeld:
        os._exit(75)
