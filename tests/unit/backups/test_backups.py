"""A backup: whole or not there, refused when it was changed, and nothing in it that leads away."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from support.service import environment

from indexes.encoders.adapted import encoder_store
from indexes.errors import Failure
from indexes.progress import silent
from indexes.storage.versions import Damaged, VersionStore
from indexes.workspace import Workspace
from reranker.backups.backup import back_up
from reranker.backups.contents import NOTE, BadBackup, read_backup, sealed
from reranker.backups.restore import restore
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.pseudonyms.keys import KeysFailure
from service.access.keys import KeyFile


def remember(home: Path, user: str, *items: str) -> None:
    histories = open_histories(Workspace(home))
    histories.append(
        [
            HistoryEvent(type="view", item=item, time=1e9 + at, user=user)
            for at, item in enumerate(items)
        ]
    )
    histories.close()


def items_of(home: Path, user: str) -> list[str | None]:
    histories = open_histories(Workspace(home))
    try:
        return [event.item for event in histories.recent(user)]
    finally:
        histories.close()


@pytest.fixture
def home(own_home: Path) -> Path:
    """With the events of one shopper, an API key, and a log whose last line is being written."""
    remember(own_home, "u1", "3", "17")
    KeyFile(own_home).create("search", ("rerank",))
    (own_home / "rankings").mkdir(0o700)
    (own_home / "rankings" / "2026-11-23.jsonl").write_bytes(b'{"id": "a"}\n{"id": "b')
    (own_home / "requests").mkdir()
    (own_home / "requests" / "mine.jsonl").write_bytes(b'{"id": "a"}\n{"id": "b"}')  # by hand
    return own_home


def test_all_comes_back_but_what_a_process_at_work_needs(home: Path, tmp_path: Path) -> None:
    made = back_up(home, tmp_path / "backup", progress=silent)
    there = restore(tmp_path / "backup", tmp_path / "new", progress=silent)
    assert made == msgspec.structs.replace(there, sha256="")
    new = tmp_path / "new"
    assert items_of(new, "u1") == ["3", "17"]
    assert (new / "rankings" / "2026-11-23.jsonl").read_bytes() == b'{"id": "a"}\n'
    assert (new / "requests" / "mine.jsonl").read_bytes() == b'{"id": "a"}\n{"id": "b"}'
    assert os.readlink(new / "index" / "current") == os.readlink(home / "index" / "current")
    lost = {
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and not (new / path.relative_to(home)).exists()
    }
    passing = ("lock", ".lock", "-wal", "-shm")
    assert not {name for name in lost if not name.endswith(passing) and "/verified/" not in name}


def test_the_adapted_encoder_comes_back_as_the_served_one(home: Path, tmp_path: Path) -> None:
    store = encoder_store(home)
    with store.stage() as staged:
        (staged / "model.safetensors").write_bytes(b"weights")
        version = store.publish(staged, {"base": "any"})
    assert not back_up(home, tmp_path / "backup", progress=silent).left_out
    restore(tmp_path / "backup", tmp_path / "new", progress=silent)
    there = encoder_store(tmp_path / "new").current()
    assert there is not None and there.id == version.id
    encoder_store(tmp_path / "new").ensure_verified(there)


def test_rights_are_as_they_were(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup", progress=silent)
    restore(tmp_path / "backup", tmp_path / "new", progress=silent)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    for place in (home, tmp_path / "new"):
        for path in place.rglob("*"):
            relative = path.relative_to(place)
            if path.is_file() and not path.is_symlink() and (home / relative).exists():
                assert path.stat().st_mode == (home / relative).stat().st_mode, relative
    for name in ("events", "pseudonyms", "keys", "rankings"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o700
    for version in VersionStore(tmp_path / "new" / "index").versions():
        assert not version.folder.stat().st_mode & 0o222


def test_without_keys_nobody_is_recognised_until_they_are_back(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup", keys=False, progress=silent)
    secret = (home / "pseudonyms" / "keys").read_text().strip()
    for path in (tmp_path / "backup").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    new = tmp_path / "new"
    assert not restore(tmp_path / "backup", new, progress=silent).keys
    assert not (new / "keys").exists() and not (new / "pseudonyms").exists()
    with pytest.raises(KeysFailure):
        items_of(new, "u1")
    (new / "pseudonyms").mkdir(0o700)
    (new / "pseudonyms" / "keys").write_text(f"{secret}\n")
    assert items_of(new, "u1") == ["3", "17"]


@pytest.mark.parametrize("name", ["events/history.db", "index/served.jsonl", "pseudonyms/keys"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_backup_that_was_changed_is_refused_by_name(
    home: Path, tmp_path: Path, name: str, how: str
) -> None:
    backup, new = tmp_path / "backup", tmp_path / "new"
    back_up(home, backup, progress=silent)
    if how == "changed":
        content = (backup / name).read_bytes()
        (backup / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (backup / name).unlink()
    with pytest.raises(BadBackup, match=name):
        restore(backup, new, progress=silent)
    assert not new.exists()


@pytest.mark.parametrize("name", ["../away", "/etc/away", "index/../../away"])
def test_nothing_in_a_backup_leads_out_of_the_home(home: Path, tmp_path: Path, name: str) -> None:
    backup = tmp_path / "backup"
    made = back_up(home, backup, progress=silent)
    (backup / NOTE).write_bytes(sealed(msgspec.structs.replace(made, links={name: "versions/x"})))
    with pytest.raises(BadBackup, match="outside"):
        restore(backup, tmp_path / "new", progress=silent)
    assert not (tmp_path / "new").exists() and not (tmp_path / "away").exists()


def test_the_note_itself_is_checked(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup", progress=silent)
    note = tmp_path / "backup" / NOTE
    text = note.read_text()
    note.write_text(text.replace('"events": 2', '"events": 3'))
    with pytest.raises(BadBackup, match="changed"):
        read_backup(tmp_path / "backup")
    note.write_text(text.replace('"form": 1', '"form": 2'))
    with pytest.raises(BadBackup, match="has the form 2"):
        read_backup(tmp_path / "backup")
    with pytest.raises(BadBackup, match="is no backup"):
        read_backup(home)


def test_a_backup_has_a_place_of_its_own(home: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is in the home"):
        back_up(home, home / "backup", progress=silent)
    with pytest.raises(Failure, match="neither an index"):
        back_up(tmp_path / "none", tmp_path / "backup", progress=silent)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Failure, match="there already"):
        back_up(home, tmp_path / "full", progress=silent)
    back_up(home, tmp_path / "backup", progress=silent)
    with pytest.raises(Failure, match="not empty"):
        restore(tmp_path / "backup", home, progress=silent)
    assert items_of(home, "u1") == ["3", "17"]


def test_a_restore_into_an_empty_volume(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup", progress=silent)
    (tmp_path / "volume").mkdir()
    inode = (tmp_path / "volume").stat().st_ino
    restore(tmp_path / "backup", tmp_path / "volume", progress=silent)
    assert (tmp_path / "volume").stat().st_ino == inode
    assert items_of(tmp_path / "volume", "u1") == ["3", "17"]


def test_a_damaged_version_is_refused_where_it_is_served_else_left_out(
    home: Path, tmp_path: Path
) -> None:
    store = VersionStore(home / "index")
    (version,) = store.versions()
    (home / "index" / "versions" / "0002-20261123T000000Z").mkdir()
    made = back_up(home, tmp_path / "one", progress=silent)
    assert [one.split(":")[0] for one in made.left_out] == ["index/versions/0002-20261123T000000Z"]
    path = version.folder / "records.bin"
    content = path.read_bytes()
    path.unlink()  # it is linked to another home's
    path.write_bytes(content[:-1] + b"\0")
    with pytest.raises(Damaged, match=r"records\.bin"):
        back_up(home, tmp_path / "two", progress=silent)
    assert not (tmp_path / "two").exists() and not (tmp_path / "two.part").exists()


def test_links_are_named_and_not_followed(home: Path, tmp_path: Path) -> None:
    (home / "requests" / "linked.jsonl").symlink_to("/etc/hostname")
    (home / "more").symlink_to("/etc")
    made = back_up(home, tmp_path / "backup", progress=silent)
    assert made.left_out == ["more: a link", "requests/linked.jsonl: a link"]


def test_a_killed_backup_is_none_and_says_what_to_delete(home: Path, tmp_path: Path) -> None:
    code = "from service.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "--home", str(home), "backup", str(tmp_path / "b")]
    env = environment(RERANKER_CRASH_AT="backup_written")
    assert subprocess.run(command, env=env).returncode == 137
    assert not (tmp_path / "b").exists()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and f"{tmp_path / 'b.part'} is there" in done.stderr


def test_a_killed_restore_serves_nothing_and_the_next_one_says_so(
    home: Path, tmp_path: Path
) -> None:
    back_up(home, tmp_path / "backup", progress=silent)
    code = "from service.commands.cli import main; main()"
    new = tmp_path / "new"
    command = [sys.executable, "-c", code, "--home", str(new), "restore", str(tmp_path / "backup")]
    env = environment(RERANKER_CRASH_AT="restored_part")
    assert subprocess.run(command, env=env).returncode == 137
    assert not (new / "index").exists()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "is not empty" in done.stderr


def test_the_keys_of_a_rotation_meanwhile_read_the_events_of_before(
    home: Path, tmp_path: Path
) -> None:
    """Keys are copied last: one more than the events need is no harm, one fewer loses everybody."""
    from reranker.backups import backup as module

    before = module.copy_histories

    def then_rotate(source: Path, target: Path) -> int:
        events = before(source, target)
        code = "from service.commands.cli import main; main()"
        command = [sys.executable, "-c", code, "--home", str(home), "pseudonyms", "rotate"]
        subprocess.run(command, env=environment(), check=True, capture_output=True)
        return events

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "copy_histories", then_rotate)
        back_up(home, tmp_path / "backup", progress=silent)
    restore(tmp_path / "backup", tmp_path / "new", progress=silent)
    assert len((tmp_path / "new" / "pseudonyms" / "keys").read_text().split()) == 2
    assert items_of(tmp_path / "new", "u1") == ["3", "17"]


def test_what_it_says_for_programs(home: Path, tmp_path: Path) -> None:
    code = "from service.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "--home", str(home), "backup", str(tmp_path / "b")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment())
    said = json.loads(done.stdout)
    assert said["events"] == 2 and said["versions"].keys() >= {"index"} and said["left_out"] == []
    assert said["bytes"] == sum(
        path.stat().st_size
        for path in (tmp_path / "b").rglob("*")
        if path.is_file() and not path.is_symlink() and path.name != NOTE
    )
