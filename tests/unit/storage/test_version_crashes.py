"""Versions when things go wrong: crashes at every step, full disks, no permission, many at once."""

import os
import random
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.paths import TESTS
from support.versions import FILES, assert_whole, fill, publish, text_of

from indexes.errors import Failure
from indexes.storage.versions import CRASH_POINTS, VersionStore

PUBLISH = """
import sys
from itertools import count
from pathlib import Path
from indexes.storage.versions import VersionStore, exclusive
from support.versions import publish
root, text, times, lock = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
store = VersionStore(root)
print("ready", flush=True)
for n in range(times):
    if lock == "locked":
        with exclusive(root / "lock", "publishing"):
            publish(store, f"{text}{n}")
            store.prune(2)
    else:
        publish(store, f"{text}{n}")
"""
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount or change its user")


def publisher(
    root: Path, text: str, times: int = 1, lock: str = "locked", crash_at: str = ""
) -> subprocess.Popen[str]:
    """Another process that publishes `times` versions."""
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISH, str(root), text, str(times), lock],
        env={**os.environ, "PYTHONPATH": str(TESTS), "RERANKER_CRASH_AT": crash_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.promise(6)
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_after_a_crash_exactly_the_old_or_the_new_is_served(tmp_path: Path, point: str) -> None:
    store = VersionStore(tmp_path / "index")
    publish(store, "older")
    publish(store, "old")
    child = publisher(store.root, "new", crash_at=point)
    _, errors = child.communicate()
    assert child.returncode == 137, errors

    switched = CRASH_POINTS.index(point) >= CRASH_POINTS.index("link_swapped")
    current = store.current()
    assert text_of(current) == ("new0" if switched else "old")
    assert current is not None
    store.ensure_verified(current)
    assert [problem for version in store.versions() for problem in store.verify(version)] == []

    newest = publish(store, "newest")
    assert text_of(store.rollback()) == ("new0" if switched else "old")
    store.switch_to(newest.id)
    store.prune(2)
    assert len(store.versions()) == 2
    assert text_of(store.current()) == "newest"
    assert_whole(store)


@pytest.mark.promise(6)
def test_killed_at_random_moments(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "index")
    chance = random.Random(6)
    for round_ in range(20):
        child = publisher(store.root, f"round{round_}-", times=1000)
        assert child.stdout
        assert child.stdout.readline() == "ready\n", child.communicate()
        time.sleep(chance.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        current = store.current()
        if current:
            text_of(current)
            store.ensure_verified(current)
    publish(store, "last")
    store.prune(2)
    assert len(store.versions()) == 2
    assert_whole(store)


@pytest.mark.promise(10)
@pytest.mark.parametrize("lock", ["locked", "free"])
def test_ten_publishers_at_once(tmp_path: Path, lock: str) -> None:
    """`locked`: the second finds the lock taken. `free`: all publish, none mixes with another."""
    store = VersionStore(tmp_path / "index")
    children = [publisher(store.root, f"p{n}-", lock=lock) for n in range(10)]
    errors = [child.communicate()[1] for child in children]
    failed = [error for child, error in zip(children, errors, strict=True) if child.returncode]
    assert all("LockHeld" in error for error in failed)
    assert len(failed) < 10
    assert_whole_but_lock(store)
    if lock == "free":
        assert not failed
        versions = store.versions()
        assert [version.id[:5] for version in versions] == [f"{n:04}-" for n in range(1, 11)]
        assert sorted(map(text_of, versions)) == sorted(f"p{n}-0" for n in range(10))
        assert store.current() == versions[-1]


def assert_whole_but_lock(store: VersionStore) -> None:
    (store.root / "lock").unlink(missing_ok=True)
    assert_whole(store)


def test_what_others_stage_is_left_alone(tmp_path: Path) -> None:
    store, other = VersionStore(tmp_path / "index"), VersionStore(tmp_path / "index")
    with store.stage() as staged:
        fill(staged, "mine")
        publish(other, "other")
        assert (staged / FILES[0]).exists()
        store.publish(staged, {"text": "mine"})
    assert text_of(store.current()) == "mine"
    assert_whole(store)


@pytest.mark.promise(6)
def test_what_the_dead_staged_is_cleared(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "index")
    publish(store, "first")
    work = store.root / "work"
    for name in ("staged-1-dead", "deleted-0001-20261123T200102Z"):
        (work / name / "encoder").mkdir(parents=True)
        (work / name / "encoder" / "x").write_text("half")
        (work / name / "encoder").chmod(0o555)
        (work / name).chmod(0o555)
    (work / "staged-2-dead.lock").touch()
    (work / "current-17").symlink_to("versions/none")
    (work / "notes.texts").touch()  # somebody else's file stays
    with store.stage() as staged:
        assert sorted(os.listdir(work)) == sorted(
            ["notes.texts", "publish.lock", staged.name, f"{staged.name}.lock"]
        )


def test_a_forked_child_does_not_tidy_up_for_its_parent(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "index")
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from indexes.storage.versions import VersionStore\n"
        "store = VersionStore(Path(sys.argv[1]))\n"
        "with store.stage() as staged:\n"
        "    (staged / 'x').write_text('x')\n"
        "    if os.fork() == 0:\n        sys.exit(0)\n"
        "    os.wait()\n    store.publish(staged, {})\n"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=True)
    current = store.current()
    assert current is not None
    assert (current.folder / "x").read_text() == "x"


# Disks that do not take it


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.promise(9)
@ROOT_ONLY
def test_a_full_disk_leaves_the_old_version(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        store = VersionStore(disk / "index")
        publish(store, "old")
        ballast = disk / "ballast"
        with store.stage() as staged:
            fill(staged, "new")
            with pytest.raises(OSError, match="No space left"):
                ballast.write_bytes(b"x" * 2_000_000)
            with pytest.raises(Failure, match="No space left.*Nothing was published.*Make room"):
                store.publish(staged, {"text": "new", "padding": "x" * 50_000})
            assert text_of(store.current()) == "old"
        assert len(store.versions()) == 1
        ballast.unlink()
        assert text_of(publish(store, "new")) == "new"
        assert_whole(store)


@pytest.mark.promise(9)
@ROOT_ONLY
def test_a_disk_without_room_for_one_more_file_leaves_the_old_version(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m,nr_inodes=60") as disk:
        store = VersionStore(disk / "index")
        publish(store, "old")
        with store.stage() as staged:
            fill(staged, "new")
            (staged / "links").mkdir()
            with pytest.raises(OSError, match="No space left"):
                for n in range(100):
                    (staged / "links" / str(n)).touch()
            (staged / "links" / "0").unlink()  # room for the manifest, none for the link
            with pytest.raises(Failure, match="No space left.*Nothing was published"):
                store.publish(staged, {"text": "new"})
        assert len(store.versions()) == 1
        assert text_of(store.current()) == "old"
        publish(store, "new")
        assert_whole(store)


@pytest.mark.promise(9)
@ROOT_ONLY
def test_a_read_only_disk_is_served_and_not_published_to(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        store = VersionStore(disk / "index")
        first, _ = publish(store, "first"), publish(store, "old")
        (store.root / "verified" / f"{first.id}.json").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        message = "Read-only file system.*What was served before still is.*read-only: name a home"
        for change in (lambda: publish(store, "new"), store.rollback):
            with pytest.raises(Failure, match=message):
                change()
        with pytest.raises(Failure, match="Read-only file system.*could not be deleted"):
            store.prune(1)
        store.ensure_verified(first)  # without a note
        assert text_of(store.current()) == "old"


@pytest.mark.promise(9)
def test_a_file_size_limit_is_a_failure(tmp_path: Path) -> None:
    """Any errno, also where no disk can be mounted."""
    store = VersionStore(tmp_path / "index")
    publish(store, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with store.stage() as staged:
        fill(staged, "new")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            with pytest.raises(Failure, match="File too large.*Nothing was published"):
                store.publish(staged, {"text": "new"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert text_of(store.current()) == "old"
    assert_whole(store)


@contextmanager
def nobody() -> Iterator[Path]:
    """An unprivileged user with a folder of their own: root may write where others may not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


@ROOT_ONLY
def test_everything_works_without_privileges() -> None:
    with nobody() as folder:
        store = VersionStore(folder / "index")
        first = publish(store, "first")
        assert not stat.S_IMODE(first.folder.stat().st_mode) & 0o222
        publish(store, "second")
        publish(store, "third")
        assert text_of(store.rollback()) == "second"
        assert store.prune(1) == [first.id]
        with pytest.raises(ZeroDivisionError), store.stage() as staged:
            fill(staged, "half")
            (staged / "encoder").chmod(0o555)
            raise ZeroDivisionError
        assert_whole(store)


@pytest.mark.promise(9)
@ROOT_ONLY
def test_a_folder_that_may_not_be_written_is_a_failure() -> None:
    with nobody() as folder:
        os.seteuid(0)
        store = VersionStore(folder / "index")
        publish(store, "first")
        publish(store, "old")
        os.seteuid(65534)
        message = "Permission denied: .*What was served before still is.*Mend the permissions"
        with pytest.raises(Failure, match=message):
            publish(store, "new")
        with pytest.raises(Failure, match=message):
            store.rollback()
        assert text_of(store.current()) == "old"
        current = store.current()
        assert current is not None
        store.ensure_verified(current)
