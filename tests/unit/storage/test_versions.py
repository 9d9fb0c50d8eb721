"""Versions: what is published, what is served, how it is rolled back, and what is refused."""

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.versions import FILES, assert_whole, fill, publish, text_of

from indexes.errors import Failure
from indexes.storage.manifests import MANIFEST
from indexes.storage.versions import Damaged, VersionStore


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "index")


def served(store: VersionStore) -> str:
    return text_of(store.current())


# Publishing


def test_an_empty_store_has_nothing(store: VersionStore) -> None:
    assert store.current() is None
    assert store.versions() == []
    with pytest.raises(Failure, match="there is none yet"):
        store.get("0001-20261123T200102Z")
    with pytest.raises(Failure, match="No version is there"):
        store.rollback()


def test_a_published_version_is_read_only_whole_and_served(store: VersionStore) -> None:
    version = publish(store, "first")
    assert re.fullmatch(r"0001-\d{8}T\d{6}Z", version.id)
    assert os.readlink(store.root / "current") == f"versions/{version.id}"
    assert store.current() == version
    assert store.versions() == [version] == [store.get(version.id)]
    assert version.about == {"text": "first"}
    for path in (version.folder, *version.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o555 if path.is_dir() else 0o444)
    assert_whole(store)


def test_the_manifest_holds_the_hash_of_every_file_and_of_itself(store: VersionStore) -> None:
    version = publish(store, "first")
    manifest = json.loads((version.folder / MANIFEST).read_bytes())
    own = manifest.pop("sha256")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert own == hashlib.sha256(canonical.encode()).hexdigest()
    assert set(manifest["files"]) == set(FILES)
    for name, wanted in manifest["files"].items():
        content = (version.folder / name).read_bytes()
        assert wanted == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert manifest["id"] == version.id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", manifest["created"])


def test_the_newest_is_served_unless_told_otherwise(store: VersionStore) -> None:
    first, second = publish(store, "first"), publish(store, "second", switch=False)
    assert served(store) == "first"
    assert store.switch_to(second.id) == second == store.current()
    assert [version.id for version in store.versions()] == [first.id, second.id]


@pytest.mark.parametrize("leave", ["exception", "nothing", "publish"])
def test_a_staged_folder_never_stays(store: VersionStore, leave: str) -> None:
    publish(store, "first")
    try:
        with store.stage() as staged:
            fill(staged, "second")
            (staged / "encoder").chmod(0o555)
            if leave == "exception":
                raise ZeroDivisionError
            if leave == "publish":
                store.publish(staged, {"text": "second"})
    except ZeroDivisionError:
        pass
    assert_whole(store)
    assert served(store) == ("second" if leave == "publish" else "first")


def test_numbers_are_never_given_twice(store: VersionStore) -> None:
    publish(store, "first")
    second = publish(store, "second")
    store.rollback()
    second.folder.chmod(0o755)
    second.folder.rename(store.root / "gone")  # deleted by hand
    assert publish(store, "third").id.startswith("0003-")
    (store.root / "versions" / "9999-20261123T200102Z").mkdir()
    last = publish(store, "last")
    assert last.id.startswith("10000-")
    assert store.versions()[-1] == last


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda staged: (staged / "folder").mkdir(), "holds no file"),
        (lambda staged: (staged / "x").symlink_to("/etc/passwd"), "x is not a plain file"),
        (lambda staged: os.mkfifo(staged / "pipe"), "pipe is not a plain file"),
        (lambda staged: (staged / MANIFEST).write_text("{}"), "holds no file"),
        (lambda staged: (fill(staged, "a"), (staged / MANIFEST).touch()), "a manifest already"),
        (lambda staged: (staged / os.fsdecode(b"\xff")).touch(), "is not a name in UTF-8"),
    ],
)
def test_what_no_version_can_hold_is_not_published(
    store: VersionStore, make: Any, message: str
) -> None:
    publish(store, "first")
    with store.stage() as staged:
        make(staged)
        with pytest.raises(Failure, match=f"{message}.*Nothing was published"):
            store.publish(staged, {})
    assert_whole(store)
    assert served(store) == "first"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(about=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values))
def test_whatever_is_said_about_a_version_keeps_its_hash(
    store: VersionStore, about: dict[str, Any]
) -> None:
    with store.stage() as staged:
        fill(staged, "any")
        version = store.publish(staged, about)
    assert version.manifest is not None
    assert set(version.about) == set(about)
    assert store.verify(version) == []


# Serving


def test_rolling_back_goes_to_what_was_served_before(store: VersionStore) -> None:
    for text in ("first", "second", "third"):
        publish(store, text)
    publish(store, "never", switch=False)
    publish(store, "fifth")
    for expected in ("third", "second", "first"):
        assert text_of(store.rollback()) == expected == served(store)
    with pytest.raises(Failure, match=r"No version was served before 0001-.*name one with --to"):
        store.rollback()
    never = store.versions()[3].id
    assert text_of(store.rollback(never)) == "never" == served(store)
    assert publish(store, "sixth").id.startswith("0006-")
    assert text_of(store.rollback()) == "fifth"


def test_rolling_back_without_the_log_of_what_was_served(store: VersionStore) -> None:
    publish(store, "first")
    publish(store, "second")
    (store.root / "served.jsonl").unlink()
    assert text_of(store.rollback()) == "first"


@pytest.mark.promise(8)
def test_rolling_back_never_serves_damage(store: VersionStore) -> None:
    first = publish(store, "first")
    publish(store, "second")
    damage(first.folder / FILES[0], "flip")
    with pytest.raises(Damaged, match=rf"{first.id} is damaged: {FILES[0]} was changed.*--to"):
        store.rollback()
    assert served(store) == "second"


@pytest.mark.promise(28)
@pytest.mark.parametrize("name", ["", "0002", "../versions/x", "/etc", "0001-20261123T200102Z/x"])
def test_only_versions_that_are_there_can_be_named(store: VersionStore, name: str) -> None:
    version = publish(store, "first")
    for use in (store.get, store.switch_to):
        with pytest.raises(Failure, match=f"is not in .*there are {version.id}"):
            use(name)


@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_pruning_keeps_the_newest_and_the_served(store: VersionStore, keep: int) -> None:
    ids = [publish(store, str(n)).id for n in range(5)]
    store.rollback(ids[1])
    kept = sorted({ids[1], *ids[-keep:]})
    assert store.prune(keep) == [name for name in ids if name not in kept]
    assert [version.id for version in store.versions()] == kept
    assert {path.stem for path in (store.root / "verified").iterdir()} == set(kept)
    assert_whole(store)
    assert store.prune(keep) == []


def test_pruning_always_keeps_one(store: VersionStore) -> None:
    with pytest.raises(ValueError, match="keep is 0"):
        store.prune(0)


@pytest.mark.parametrize(
    ("break_link", "message"),
    [
        (lambda link: link.symlink_to("versions/0009-20261123T200102Z"), "which is not there"),
        (lambda link: link.symlink_to("/etc"), "points to /etc, which is no version"),
        (lambda link: link.mkdir(), "is no symlink"),
        (lambda link: link.write_text("0001"), "is no symlink"),
    ],
)
def test_a_link_that_leads_nowhere_is_named_with_the_way_out(
    store: VersionStore, break_link: Any, message: str
) -> None:
    first = publish(store, "first")
    link = store.root / "current"
    link.unlink()
    break_link(link)
    with pytest.raises(Damaged, match=rf"{message}.*reranker index rollback.*Delete {link}"):
        store.current()
    if not link.is_symlink():
        link.rmdir() if link.is_dir() else link.unlink()
    assert store.rollback().id == first.id
    assert served(store) == "first"


# Checking


def damage(path: Path, how: str, other: Path | None = None) -> None:
    """What disks, copies and people do to files."""
    content = path.read_bytes()
    path.parent.chmod(0o755)
    path.chmod(0o644)
    if how == "flip":
        path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    elif how == "truncate":
        path.write_bytes(content[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "delete":
        path.unlink()
    elif how == "swap" and other:
        path.write_bytes(other.read_bytes())
    elif how == "link" and other:
        path.unlink()
        path.symlink_to(other)
    else:
        raise AssertionError(how)


@pytest.mark.promise(8)
@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete", "swap", "link"])
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_damage_to_any_file_is_found_and_named(store: VersionStore, name: str, how: str) -> None:
    other = publish(store, "other")
    version = publish(store, "serve")
    store.ensure_verified(version)
    damage(version.folder / name, how, other.folder / name)
    problems = store.verify(version)
    assert len(problems) == 1
    assert name in problems[0]
    with pytest.raises(Damaged) as raised:
        store.ensure_verified(version)
    message = str(raised.value)
    assert name in message
    assert version.id in message
    assert "Run `reranker index rollback`" in message
    assert raised.value.code == "version_damaged"
    assert [found.id for found in store.versions()] == [other.id, version.id]
    assert store.rollback().id == other.id
    store.ensure_verified(other)


@pytest.mark.promise(8)
def test_a_file_that_does_not_belong_is_found(store: VersionStore) -> None:
    version = publish(store, "first")
    store.ensure_verified(version)
    (version.folder / "encoder").chmod(0o755)
    (version.folder / "encoder" / "extra.json").write_text("{}")
    with pytest.raises(Damaged, match=r"encoder/extra.json does not belong here"):
        store.ensure_verified(version)


def test_a_folder_that_is_gone_is_damage(store: VersionStore) -> None:
    version = publish(store, "first")
    version.folder.chmod(0o755)
    version.folder.rename(store.root / "gone")
    with pytest.raises(Damaged, match=r"manifest.json cannot be read: No such file"):
        store.ensure_verified(version)


def test_a_renamed_version_is_not_taken_for_another(store: VersionStore) -> None:
    version = publish(store, "first")
    version.folder.chmod(0o755)
    renamed = version.folder.with_name("0005-20261123T200102Z")
    version.folder.rename(renamed)
    assert store.verify(store.get(renamed.name)) == [
        f"manifest.json belongs to version {version.id}"
    ]


@pytest.fixture
def manifest(store: VersionStore) -> Path:
    """The manifest of a sound version, which each example overwrites."""
    path = publish(store, "first").folder / MANIFEST
    path.parent.chmod(0o755)
    path.chmod(0o644)
    return path


MANY = settings(FEW, max_examples=60)


@pytest.mark.promise(8)
@MANY
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_manifest_is_found(
    store: VersionStore, manifest: Path, position: int, bit: int
) -> None:
    sound = manifest.read_bytes()
    content = bytearray(sound)
    content[position % len(content)] ^= 1 << bit
    manifest.write_bytes(content)
    assert_manifest_refused(store)
    manifest.write_bytes(sound)


@pytest.mark.promise(8)
@MANY
@given(content=st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_manifest_raises_anything_but_damage(
    store: VersionStore, manifest: Path, content: bytes
) -> None:
    manifest.write_bytes(content)
    assert_manifest_refused(store)


@pytest.mark.promise(8)
def test_a_manifest_nested_too_deeply_is_damage(store: VersionStore, manifest: Path) -> None:
    manifest.write_bytes(b'{"about":' * 100_000)
    assert_manifest_refused(store)


def assert_manifest_refused(store: VersionStore) -> None:
    version = store.versions()[-1]
    assert version.manifest is None
    assert version.about == {}
    assert MANIFEST in version.problem
    assert store.verify(version) == [version.problem]
    with pytest.raises(Damaged, match=MANIFEST):
        store.ensure_verified(version)


# Hashing once


def test_files_are_hashed_once(store: VersionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish(store, "first")
    hashed: list[str] = []
    real = hashlib.file_digest

    def noted(file: Any, kind: str) -> Any:
        hashed.append(file.name)
        return real(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    store.ensure_verified(version)
    assert not hashed  # publishing did it
    (store.root / "verified" / f"{version.id}.json").unlink()
    store.ensure_verified(version)
    assert len(hashed) == len(FILES)
    store.ensure_verified(version)
    assert len(hashed) == len(FILES)
    assert store.verify(version) == []
    assert len(hashed) == 2 * len(FILES)  # asked for, it looks again


@pytest.mark.promise(8)
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_change_that_hides_its_time_is_found(store: VersionStore, name: str) -> None:
    version = publish(store, "first")
    store.ensure_verified(version)
    path = version.folder / name
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[7] ^= 4
    with open_writable(path) as file:  # in place: same inode, same size
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino,
    )  # fmt: skip
    with pytest.raises(Damaged, match=name):
        store.ensure_verified(version)


def open_writable(path: Path) -> Any:
    path.chmod(0o644)
    return path.open("r+b")


@pytest.mark.promise(8)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"manifest": 1}', b"\xff"])
def test_a_damaged_note_is_no_proof(store: VersionStore, content: bytes) -> None:
    version = publish(store, "first")
    (store.root / "verified" / f"{version.id}.json").write_bytes(content)
    store.ensure_verified(version)
    damage(version.folder / FILES[1], "flip")
    with pytest.raises(Damaged):
        store.ensure_verified(version)


def test_a_copied_store_is_hashed_anew_and_then_trusted(
    store: VersionStore, tmp_path: Path
) -> None:
    version = publish(store, "first")
    copy = tmp_path / "copy"
    os.system(f"cp -a {store.root} {copy}")
    copied = VersionStore(copy).current()
    assert copied is not None
    assert copied.folder == copy / "versions" / version.id
    damage(copied.folder / FILES[0], "flip")
    with pytest.raises(Damaged):
        VersionStore(copy).ensure_verified(copied)
    store.ensure_verified(version)
