"""A rebuild in parts: the same bytes as in one piece, whoever encodes them and is killed when."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import msgspec
import numpy as np
import pytest
from support.large_rebuilds import measured_rebuild
from support.shop import small_shop, write_items
from support.tiny_models import tiny_bert
from support.waiting import wait_until

from indexes.build.known_keys import NEW, KnownKeys
from indexes.build.part_processes import _PROGRAM, encode_in_processes, part_jobs
from indexes.build.rebuild import Summary, rebuild
from indexes.build.settings import RebuildSettings
from indexes.build.vector_parts import Share, encode_part, parsed_share
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.faiss_files.faiss_file import faiss_file
from indexes.items import columns
from indexes.items.index import ItemIndex, build_faiss
from indexes.items.text import text_digest
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from service.commands.cli import run


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    words = sorted({word for item in small_shop() for word in item["title"].lower().split()})
    model = tiny_bert(tmp_path_factory.mktemp("tiny"), words=words)
    return EncoderSettings(model=str(model), threads=1)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """The small shop five times over, each text twice."""
    rows = [
        {**item, "id": f"{copy}-{item['id']}", "title": f"{item['title']} {copy // 2}"}
        for copy in range(6)
        for item in small_shop()
    ]
    return write_items(tmp_path / "items.jsonl", rows)


def home(folder: Path, encoder: EncoderSettings, **settings: Any) -> Workspace:
    sections = (encoder, RebuildSettings(**settings))
    return Workspace(folder, {type(section): section for section in sections})


def hashes(workspace: Workspace) -> dict[str, str]:
    """The bytes of everything that is published."""
    version = VersionStore(workspace.index_root).current()
    assert version is not None and version.manifest is not None
    return {name: found.sha256 for name, found in version.manifest.files.items()}


@pytest.fixture
def plain(tmp_path: Path, encoder: EncoderSettings, items: Path) -> dict[str, str]:
    workspace = home(tmp_path / "plain", encoder)
    rebuild(workspace, items, progress=silent)
    return hashes(workspace)


def encode_all(workspace: Workspace, items: Path, folder: Path, parts: int) -> list[int]:
    return [
        encode_part(workspace, items, Share(part, parts), folder, silent).encoded
        for part in range(1, parts + 1)
    ]


def taken(workspace: Workspace, items: Path, folder: Path) -> Summary:
    return rebuild(workspace, items, vectors=folder, progress=silent)


def test_parts_give_the_bytes_of_a_plain_rebuild(
    tmp_path: Path, encoder: EncoderSettings, items: Path, plain: dict[str, str]
) -> None:
    parts = tmp_path / "parts"
    counts = encode_all(home(tmp_path / "elsewhere", encoder), items, parts, 4)
    assert sum(counts) == 180 and min(counts) > 20  # each text once, about as many in each
    workspace = home(tmp_path / "home", encoder)
    summary = taken(workspace, items, parts)
    assert (summary.encoded, summary.reused) == (0, 360)
    assert hashes(workspace) == plain
    assert encode_all(home(tmp_path / "elsewhere", encoder), items, parts, 4) == [0, 0, 0, 0]


@pytest.mark.heavy
def test_processes_give_the_same_bytes(
    tmp_path: Path, encoder: EncoderSettings, items: Path, plain: dict[str, str]
) -> None:
    workspace = home(tmp_path / "home", encoder)
    folders: list[Path] = []

    def drive(folder: Path, cache: Path) -> None:
        folders.append(folder)
        encode_in_processes(workspace, items, folder, 2, silent, besides=cache)

    assert rebuild(workspace, items, drive=drive, progress=silent).encoded == 0
    assert hashes(workspace) == plain
    assert not folders[0].exists()


def test_parts_leave_out_what_a_cache_has(
    tmp_path: Path, encoder: EncoderSettings, items: Path
) -> None:
    workspace, counts = home(tmp_path / "home", encoder), list[int]()

    def drive(folder: Path, cache: Path) -> None:
        for part in (1, 2):
            share = Share(part, 2)
            done = encode_part(workspace, items, share, folder, silent, besides=cache)
            counts.append(done.encoded)

    rebuild(workspace, items, progress=silent)
    with items.open("a") as file:
        file.write('{"id": "new", "title": "red espresso lamp"}\n')
    assert rebuild(workspace, items, drive=drive, progress=silent).encoded == 0
    assert sum(counts) == 1


def test_a_part_that_fails_says_why_and_nothing_is_published(
    tmp_path: Path, encoder: EncoderSettings, items: Path
) -> None:
    workspace = home(tmp_path / "home", encoder)

    def drive(folder: Path, cache: Path) -> None:
        encode_in_processes(workspace, tmp_path / "gone.jsonl", folder, 1, silent, besides=cache)

    with pytest.raises(Failure, match=r"gone\.jsonl"):
        rebuild(workspace, items, drive=drive, progress=silent)
    assert VersionStore(workspace.index_root).current() is None


@pytest.mark.heavy
def test_a_killed_part_goes_on_where_it_was(
    tmp_path: Path, encoder: EncoderSettings, items: Path, plain: dict[str, str]
) -> None:
    workspace, parts = home(tmp_path / "home", encoder), tmp_path / "parts"
    slow = msgspec.structs.replace(encoder, batch_tokens=8)
    (job,) = part_jobs(home(tmp_path / "home", slow), items, parts, 1, 1, None, None)
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(job)
    process.stdin.close()

    def begun() -> bool:
        return any(path.stat().st_size > 0 for path in parts.glob("*.partial"))

    wait_until(lambda: begun() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.returncode == -signal.SIGKILL and not (parts / "part-1-of-1.json").exists():
        with pytest.raises(Failure, match="no finished part"):
            taken(workspace, items, parts)
    assert encode_part(workspace, items, Share(1, 1), parts, silent).encoded < 180
    assert taken(workspace, items, parts).encoded == 0
    assert hashes(workspace) == plain


def damage(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda parts: damage(parts / "part-2-of-3.bin"), "part-2-of-3.bin is damaged"),
        (lambda parts: damage(parts / "part-1-of-3.json"), "part-1-of-3"),
        (lambda parts: (parts / "part-3-of-3.json").unlink(), "lacks 3/3"),
        (lambda parts: (parts / "part-3-of-3.bin").unlink(), "part-3-of-3.bin cannot be read"),
        (lambda parts: shutil.copy(parts / "part-1-of-3.json", parts / "part-1-of-4.json"), "of 4"),
        (
            lambda parts: shutil.copy(parts / "part-1-of-3.json", parts / "part-2-of-3.json"),
            "another part",
        ),
    ],
)
def test_what_is_no_whole_set_of_parts_is_refused(
    tmp_path: Path, encoder: EncoderSettings, items: Path, spoil: Any, problem: str
) -> None:
    workspace, parts = home(tmp_path / "home", encoder), tmp_path / "parts"
    encode_all(workspace, items, parts, 3)
    spoil(parts)
    with pytest.raises(Failure, match=problem):
        taken(workspace, items, parts)
    assert VersionStore(workspace.index_root).current() is None


def test_parts_of_another_template_or_encoder_are_refused(
    tmp_path: Path, encoder: EncoderSettings, items: Path
) -> None:
    parts = tmp_path / "parts"
    encode_all(home(tmp_path / "other", encoder, template="{title}"), items, parts, 2)
    with pytest.raises(Failure, match="template '{title}'"):
        taken(home(tmp_path / "home", encoder), items, parts)
    prompted = msgspec.structs.replace(encoder, document_prompt="passage: ")
    with pytest.raises(Failure, match="was made by the encoder"):
        taken(home(tmp_path / "home", prompted, template="{title}"), items, parts)
    # Encoded again with these settings they are replaced, not added to.
    encode_all(home(tmp_path / "home", encoder), items, parts, 2)
    assert taken(home(tmp_path / "home", encoder), items, parts).encoded == 0


def test_the_command_encodes_a_share_and_names_what_is_none(
    tmp_path: Path,
    encoder: EncoderSettings,
    items: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RERANKER_ENCODER_MODEL", encoder.model)
    asked = ["--home", str(tmp_path / "home"), "encode", "--items", str(items)]
    assert run([*asked, "--part", "5/4", "--out", str(tmp_path / "parts")]) == 2
    assert "'5/4' is no part" in capsys.readouterr().err
    for part in ("1/2", "2/2"):
        assert run([*asked, "--part", part, "--out", str(tmp_path / "parts"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["part"], answer["parts"], answer["skipped"]) == (2, 2, 0)
    vectors = ["rebuild", "--items", str(items), "--vectors", str(tmp_path / "parts"), "--json"]
    assert run(["--home", str(tmp_path / "home"), *vectors]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["encoded"] == 0


def test_shares_are_told_apart() -> None:
    shares = [Share(part, 7) for part in range(1, 8)]
    for number in range(200):
        assert sum(share.holds(text_digest(f"text {number}")) for share in shares) == 1
    assert parsed_share("3/16") == Share(3, 16)
    for wrong in ("0/1", "2/1", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(ValueError, match="no part"):
            parsed_share(wrong)


def test_keys_that_came_before_are_known() -> None:
    rng = np.random.default_rng(4)
    known: KnownKeys[np.uint64] = KnownKeys(np.uint64)
    expected: dict[int, int] = {}
    for _ in range(60):
        keys = np.unique(rng.integers(0, 400_000, 5000).astype(np.uint64))
        found = known.find(keys)
        assert found.tolist() == [expected.get(key, NEW) for key in keys.tolist()]
        new = keys[found == NEW]
        numbers = np.arange(len(new)) + len(expected)
        known.add(new, numbers)
        expected |= dict(zip(new.tolist(), numbers.tolist(), strict=True))
    assert len(known) == len(expected)


@pytest.fixture
def few_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ids have one of four hashes, as two of 10^10 ids may have the same of 2^64."""
    whole = columns.bytes_hash
    monkeypatch.setattr(columns, "bytes_hash", lambda encoded: whole(encoded) % 4)
    yield


@pytest.mark.usefixtures("few_hashes")
def test_ids_of_one_hash_are_told_apart(
    tmp_path: Path, encoder: EncoderSettings, items: Path
) -> None:
    with items.open("a") as file:
        for item_id in ("3-7", "0-0", "5-59"):
            file.write(json.dumps({"id": item_id, "title": "came before"}) + "\n")
    workspace = home(tmp_path / "home", encoder)
    summary = rebuild(workspace, items, progress=silent)
    assert (summary.items, summary.skipped) == (360, 3)
    assert all("came before" in bad["reason"] for bad in summary.bad)
    version = VersionStore(workspace.index_root).current()
    assert version is not None
    index = ItemIndex(version)
    ids = [json.loads(line)["id"] for line in items.read_bytes().splitlines()[:360]]
    assert index.ids.rows(ids).tolist() == list(range(360))
    assert index.ids.rows(["nobody", "6-1"]).tolist() == [-1, -1]


@pytest.mark.heavy
@pytest.mark.parametrize("factory", ["SQbf16", "IVF1024,SQ8"])
def test_a_million_items_are_rebuilt_in_bounded_memory(tmp_path: Path, factory: str) -> None:
    """Vectors given. Memory of its own, as the kernel counts it, without mapped files."""
    summary = measured_rebuild(tmp_path, 1_000_000, factory)
    print(f"{factory}: {summary['own_mib']:,.0f} MiB, {summary['seconds']:.0f} s")  # noqa: T201
    assert (summary["items"], summary["encoded"]) == (1_000_000, 0)
    assert summary["own_mib"] < 1.5 * 1024


@pytest.mark.parametrize(
    ("factory", "kind"),
    [
        *[(name, "_CodesFile") for name in ("Flat", "SQbf16", "SQ8")],
        *[(name, "ListsFile") for name in ("IVF64,SQ8", "IVF64,Flat", "IVF16,SQbf16", "IVF16,PQ4")],
        *[(name, "ListsFile") for name in ("IVF64_HNSW8,SQ8", "IVF1024,SQ8")],
        *[(name, "_WholeFile") for name in ("IVF16,PQ4x4fs", "OPQ4,IVF16,PQ4")],
    ],
)
def test_what_is_written_as_it_comes_has_the_bytes_of_faiss(
    tmp_path: Path, factory: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexes.faiss_files.faiss_lists._SCRATCH_BYTES", 5000)
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((3000, 16), np.float32)
    index = build_faiss(factory, 16, vectors)
    with closing(faiss_file(tmp_path / "a.faiss", index, vectors, len(vectors))) as file:
        assert type(file).__name__ == kind
        for start in range(0, 3000, 700):
            file.add(vectors[start : start + 700])
        file.finish()
    whole = build_faiss(factory, 16, vectors)
    whole.add(vectors)
    faiss.write_index(whole, str(tmp_path / "b.faiss"))
    assert (tmp_path / "a.faiss").read_bytes() == (tmp_path / "b.faiss").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.faiss", "b.faiss"]


@pytest.mark.heavy
def test_ray_schedules_the_parts(
    tmp_path: Path, encoder: EncoderSettings, items: Path, plain: dict[str, str]
) -> None:
    pytest.importorskip("ray")
    from indexes.build.part_ray import encode_on_ray

    workspace = home(tmp_path / "home", encoder)

    def drive(folder: Path, cache: Path) -> None:
        encode_on_ray(workspace, items, folder, "local", 3, silent, besides=cache)

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    assert rebuild(workspace, items, drive=drive, progress=silent).encoded == 0
    assert hashes(workspace) == plain
