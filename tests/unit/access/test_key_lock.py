"""Once a home has keys it stays locked: whatever becomes of the file of keys, and of any worker."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.keys import BODY, Said, bearing
from support.service import Running, refused, serving
from support.shop import copy_home
from support.waiting import wait_until

from indexes.errors import Failure
from indexes.workspace import Workspace
from service.access import key_ring
from service.access.key_ring import KeyRing
from service.access.keys import BadKey, KeyFile
from service.app import create_app


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)  # as good as no rights to it, for root, too


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


GONE = (remove, dangle)  # nobody's keys are known to hold
DAMAGE: tuple[Callable[[Path], None], ...] = (
    empty,
    truncate,
    make_folder,
    make_unreadable,
    *GONE,
)


def workers(running: Running) -> set[int]:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def replace_workers(running: Running) -> None:
    """One is killed, and HUP replaces what there is then."""
    old = workers(running)
    os.kill(min(old), signal.SIGKILL)
    wait_until(lambda: len(workers(running) - old) == 1 and answers(running))
    before = workers(running)
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not workers(running) & before and answers(running))


def answers(running: Running) -> bool:
    try:
        return running.ask("/readyz")[0] == 200
    except OSError:
        return False


@pytest.mark.promise(24)
def test_no_worker_that_comes_later_opens_what_was_locked(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    file = KeyFile(home)
    key, _ = file.create("search", ("rerank",))
    sound = file.path.read_bytes()
    with serving(home) as running:
        for damage in (truncate, remove):
            damage(file.path)
            replace_workers(running)
            for _ in range(10):
                assert running.ask("/rerank", BODY)[0] == 401
                known = running.ask("/rerank", BODY, **bearing(key))[0]
                assert known == (401 if damage in GONE else 200)
            if file.path.exists():
                file.path.unlink()
            file.path.write_bytes(sound)
            wait_until(lambda: running.ask("/rerank", BODY, **bearing(key))[0] == 200)
        shutil.rmtree(home / "keys")
        (home / "keys_required").unlink()  # and nothing in the home says it any more
        replace_workers(running)
        assert {running.ask("/rerank", BODY)[0] for _ in range(10)} == {401}


@pytest.mark.promise(24)
def test_a_restart_opens_nothing_either(own_home: Path) -> None:
    file = KeyFile(own_home)
    file.create("search", ("rerank",))
    shutil.rmtree(own_home / "keys")
    with serving(own_home) as running:
        assert "none valid" in running.banner and "keys create" in running.banner
        assert running.ask("/rerank", BODY)[0] == 401
        made, _ = file.create("again", ("rerank",))
        wait_until(lambda: running.ask("/rerank", BODY, **bearing(made))[0] == 200)
    truncate(file.path)
    assert "keys.json" in refused(own_home)


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_worker_of_a_start_knows_what_the_first_one_knew(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0.0)
    run = tmp_path / "run"
    run.mkdir()
    file = KeyFile(own_home)
    key, _ = file.create("search", ("rerank",))
    first = KeyRing(own_home, run)
    damage(file.path)
    first.refresh()
    later = KeyRing(own_home, run)
    for ring in (first, later):
        assert ring.configured
        assert (ring.owner(key) is None) == (damage in GONE)
    if damage in GONE:
        assert KeyRing(own_home).configured  # the next start
    else:
        with pytest.raises(Failure, match="keys.json"):
            KeyRing(own_home)


def test_a_key_that_was_revoked_does_not_come_back_with_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0.0)
    run = tmp_path / "run"
    run.mkdir()
    file = KeyFile(tmp_path)
    key, _ = file.create("search", ("rerank",))
    ring = KeyRing(tmp_path, run)
    file.revoke("search")
    ring.refresh()
    empty(file.path)
    assert KeyRing(tmp_path, run).owner(key) is None
    assert (run / "keys.known").stat().st_mode & 0o777 == 0o600
    assert key not in (run / "keys.known").read_text()


def test_keys_of_before_are_noted_when_they_are_first_served(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.create("search", ("rerank",))
    (tmp_path / "keys_required").unlink()  # made by a version that wrote none
    assert KeyRing(tmp_path).configured
    file.path.unlink()
    assert KeyRing(tmp_path).configured


def test_a_folder_of_keys_that_cannot_be_written_locks_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home without rights to it: no note is made, the keys themselves lock."""
    file = KeyFile(tmp_path)
    key, _ = file.create("search", ("rerank",))
    (tmp_path / "keys_required").unlink()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("indexes.storage.durable.write_synced", refuse)
    ring = KeyRing(tmp_path, tmp_path / "none")
    assert ring.configured and ring.owner(key) is not None


def test_only_the_command_opens_a_home_again(
    reranker: Said, own_home: Path, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path)
    assert not file.required
    reranker("keys", "create", "--name", "a", "--scope", "rerank")
    status, _, err = reranker("keys", "open", "--yes")
    assert status == 1 and "active: a" in err and "revoke" in err
    assert "keys open" in reranker("keys", "revoke", "a")[2]
    assert file.required and KeyRing(tmp_path).configured
    file.path.unlink()
    assert "nothing gets in" in reranker("keys", "list")[1]
    assert reranker("keys", "open", "--yes", "--json")[1].strip() == '{"required":false}'
    assert not file.required and not KeyRing(tmp_path).configured
    assert "openly" in reranker("keys", "list")[1]


def test_what_runs_stays_locked_when_the_home_is_opened(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0.0)
    file = KeyFile(own_home)
    file.create("a", ("rerank",))
    client = create_app(Workspace(own_home)).test_client()
    file.revoke("a")
    file.open()
    assert client.post("/rerank", json=BODY).status_code == 401
    restarted = create_app(Workspace(own_home)).test_client()
    assert restarted.post("/rerank", json=BODY).status_code == 200


@pytest.mark.parametrize(
    "rate", ["nan", "inf", "-inf", "-1", "1e400", "1e-9", "1e-400", "1e7", "", "many"]
)
def test_a_rate_is_a_number_that_can_be_kept(reranker: Said, tmp_path: Path, rate: str) -> None:
    status, _, err = reranker(*"keys create --name a --scope rerank --rate".split(), rate)
    assert status == 2 and "--rate" in err and ("1,000,000" in err or "no number" in err)
    assert KeyFile(tmp_path).read() == ()


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0])
def test_the_file_takes_no_such_rate_from_anybody(tmp_path: Path, rate: float) -> None:
    with pytest.raises(BadKey, match="rate"):
        KeyFile(tmp_path).create("a", ("rerank",), rate)


@pytest.mark.parametrize("rate", ["1e999", "-1", "2000000", '"5"'])
def test_a_file_with_such_a_rate_is_refused(tmp_path: Path, rate: str) -> None:
    file = KeyFile(tmp_path)
    file.create("a", ("rerank",), 5.0)
    text = file.path.read_text()
    file.path.write_text(text.replace('"rate": 5.0', f'"rate": {rate}'))
    assert file.path.read_text() != text
    with pytest.raises(Failure, match="keys.json"):
        file.read()
