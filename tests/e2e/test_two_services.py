"""Two services on one home, a home that cannot be written, a clock that is set: keys and rates."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.keys import BODY, bearing
from support.service import serving
from support.shop import copy_home
from support.waiting import wait_until

from indexes.workspace import Workspace
from service.access import key_ring
from service.access.key_ring import KeyRing
from service.access.keys import KeyFile
from service.access.rate_limits import Rates
from service.access.sessions import SECONDS, Sessions
from service.app import create_app
from service.live.jobs import BadJob, Jobs

AS_NOBODY = """
import os, sys
from pathlib import Path
from indexes.workspace import Workspace
from service.access.key_ring import KeyRing
from service.access.keys import BadKeyFile, KeyFile
from service.live.jobs import BadJob, Jobs
os.setgroups([]); os.setgid(65534); os.setuid(65534)
home = Path(sys.argv[1])
"""


@pytest.mark.promise(24)
def test_two_services_take_up_the_same_keys(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    file = KeyFile(home)
    with (
        serving(home, "--workers", "1") as one,
        serving(home, "--workers", "1") as two,
    ):
        assert {run.ask("/rerank", BODY)[0] for run in (one, two)} == {200}
        key, _ = file.create("search", ("rerank",))
        for run in (one, two):
            wait_until(lambda run=run: run.ask("/rerank", BODY)[0] == 401)  # type: ignore[misc]
            assert run.ask("/rerank", BODY, **bearing(key))[0] == 200
        file.revoke("search")
        for run in (one, two):
            wait_until(  # type: ignore[misc]
                lambda run=run: run.ask("/rerank", BODY, **bearing(key))[0] == 401
            )
        file.path.unlink()
        time.sleep(key_ring.LOOK_SECONDS)
        for run in (one, two):
            assert run.ask("/rerank", BODY)[0] == 401


def test_a_session_of_one_service_opens_no_other(tmp_path: Path) -> None:
    key, _ = KeyFile(tmp_path).create("ann", ("tune",))
    ring = KeyRing(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (Sessions(ring, tmp_path / name) for name in ("one", "two"))
    caller = ring.owner(key)
    assert caller is not None
    cookie = one.begin(caller)
    assert one.caller(cookie) == caller and two.caller(cookie) is None
    two.end(cookie)  # nobody else's to end
    assert one.caller(cookie) == caller


@pytest.mark.promise(37)
@pytest.mark.parametrize("jump", [-400 * 86_400, 400 * 86_400])
def test_a_clock_that_is_set_neither_opens_nor_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """Sessions end, and rates are paid, by the clock that nobody sets."""
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0.0)
    file = KeyFile(tmp_path)
    key, _ = file.create("ann", ("tune",))
    ring = KeyRing(tmp_path)
    sessions, rates = Sessions(ring, None), Rates(None)
    caller = ring.owner(key)
    assert caller is not None
    cookie, ended = sessions.begin(caller), sessions.begin(caller)
    sessions.end(ended)
    assert rates.wait("ann", 0.5) == 0 and rates.wait("ann", 0.5) > 0
    real, monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    file.create("other", ("rerank",))
    ring.refresh()
    assert ring.owner(key) is not None
    assert sessions.caller(cookie) is not None and sessions.caller(ended) is None
    assert 0 < rates.wait("ann", 0.5) < 3
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + SECONDS)
    assert sessions.caller(cookie) is None and rates.wait("ann", 0.5) == 0


def nobody(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY + code, str(home)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def closed_home() -> Iterator[Path]:
    """A home that somebody else owns: readable, not writable."""
    if os.geteuid():
        pytest.skip("not permitted here: only root can become nobody")
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        KeyFile(Path(home)).create("search", ("rerank",))
        yield Path(home)


def test_keys_that_this_account_may_not_read_start_nothing(closed_home: Path) -> None:
    done = nobody(
        "try:\n    KeyRing(home)\nexcept BadKeyFile as error:\n    print('refused', error)\n",
        closed_home,
    )
    assert "refused" in done.stdout and "Permission denied" in done.stdout, done.stderr


def test_a_home_that_cannot_be_written_locks_all_the_same(closed_home: Path) -> None:
    (closed_home / "keys").chmod(0o755)
    (closed_home / "keys" / "keys.json").chmod(0o644)
    (closed_home / "keys_required").unlink()
    done = nobody(
        "print(KeyRing(home).configured)\n"
        "try:\n    KeyFile(home).create('other', ('rerank',))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n",
        closed_home,
    )
    assert done.stdout.startswith("True\n"), done.stderr
    assert "BadKeyFile" in done.stdout and "cannot be written" in done.stdout
    assert not (closed_home / "keys_required").exists()


def test_a_home_that_cannot_be_written_takes_no_jobs(closed_home: Path) -> None:
    done = nobody(
        "jobs = Jobs(Workspace(home))\n"
        "print(jobs.jobs())\n"
        "try:\n    jobs.start('evaluate', 'none', {}, ['evaluate'])\n"
        "except BadJob as error:\n    print('refused', error)\n",
        closed_home,
    )
    assert done.stdout.startswith("[]\nrefused"), done.stderr


def test_jobs_of_a_home_without_the_folder_are_none(own_home: Path) -> None:
    jobs = Jobs(Workspace(own_home))
    assert jobs.jobs() == []
    with pytest.raises(BadJob):
        jobs.job("0" * 12 + "-" + "0" * 6)
    assert create_app(Workspace(own_home)).test_client().get("/").status_code == 200
