"""API keys: made, kept as hashes, asked for on every route, rotated and revoked while it serves."""

import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.keys import BODY, EVENT, Said, bearing, code, everywhere
from support.service import serving
from support.shop import copy_home
from support.waiting import wait_until
from werkzeug.test import TestResponse

from indexes.errors import Failure
from indexes.workspace import Workspace
from service.access import key_ring
from service.access.key_ring import KeyRing
from service.access.keys import BadKey, BadKeyFile, KeyFile, check_name
from service.app import create_app
from service.http.settings import ServeSettings

WITHOUT_KEY = {"/livez", "/readyz", "/health"}
SCOPE = {
    "/rerank": "rerank",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
    "/jina/v1/rerank": "rerank",
    "/voyage/v1/rerank": "rerank",
    "/rank/<model>": "rerank",
    "/recommend/<model>": "rerank",
    "/next-action": "rerank",
    "/feedback": "events",
    "/users/<user>/churn": "rerank",
    "/events": "events",
    "/items": "items",
    "/metrics": "admin",
    "/info": "",
    "/cart": "rerank",
    "/recommend": "rerank",
    "/items/<path:item>/similar": "rerank",
    "/trending": "rerank",
    "/rerank/batch": "rerank",
    "/rankings/<ranking>": "rerank",
    "/users/<path:user>": "admin",
    "/openapi.json": "",
}
FORM = {
    "/sign-in",
    "/sign-out",
}  # they ask for the key themselves


@pytest.fixture(scope="module")
def locked(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An application with a key for each scope, and the keys."""
    home = copy_home(shop_home, tmp_path_factory.mktemp("locked") / "home")
    file = KeyFile(home)
    keys = {scope: file.create(scope, (scope,))[0] for scope in ("rerank", "events", "tune")}
    keys["admin"] = file.create("admin", ("admin",))[0]
    yield create_app(Workspace(home)), keys


@pytest.mark.promise(24)
def test_every_route_but_health_needs_a_key_of_its_scope(locked: Any) -> None:
    app, keys = locked
    client = app.test_client()
    asked = 0
    for rule, method, address in everywhere(app):
        if rule in FORM:
            continue
        needed = SCOPE.get(rule, "tune")

        def status(key: str | None, method: str = method, address: str = address) -> TestResponse:
            headers = bearing(key) if key is not None else {}
            return client.open(address, method=method, headers=headers, data=b"")

        if rule in WITHOUT_KEY:
            assert status(None).status_code == 200
            continue
        asked += 1
        for key in (None, "", "rrk_" + "x" * 43, keys["rerank"][:-1], "é", "k" * 100_000):
            if key is not None and (len(key) > 10_000 or not key.isascii()):
                continue  # gunicorn refuses such headers
            refused = status(key)
            assert refused.status_code == 401, (rule, method)
            assert code(refused) in ("unauthorized", None), (rule, method)
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        for scope, key in keys.items():
            answer = status(key)
            if scope in (needed, "admin") or not needed:
                assert answer.status_code not in (401, 403, 500), (rule, method, scope)
            else:
                assert answer.status_code == 403, (rule, scope)
                assert code(answer) in ("forbidden", None), (rule, scope)
                assert needed in answer.text
            answer.close()
    assert asked > 10


@pytest.mark.promise(24)
def test_what_does_not_exist_is_not_told_without_a_key(locked: Any) -> None:
    app, keys = locked
    client = app.test_client()
    assert client.get("/nowhere").status_code == 401
    assert client.get("/nowhere", headers=bearing(keys["rerank"])).status_code == 404
    assert client.put("/rerank").status_code == 401


def test_the_other_header_works_too(locked: Any) -> None:
    app, keys = locked
    client = app.test_client()
    assert (
        client.post("/rerank", json=BODY, headers={"X-Api-Key": keys["rerank"]}).status_code == 200
    )
    both = {"Authorization": "Basic eDp5", "X-Api-Key": keys["rerank"]}
    assert client.post("/rerank", json=BODY, headers=both).status_code == 200  # a proxy's own


def test_a_key_does_its_work(locked: Any) -> None:
    app, keys = locked
    client = app.test_client()
    assert client.post("/rerank", json=BODY, headers=bearing(keys["rerank"])).status_code == 200
    done = client.post("/events", json=EVENT, headers=bearing(keys["events"]))
    assert (done.status_code, done.get_json()["accepted"]) == (200, 1)
    page = client.get("/", headers=bearing(keys["tune"]))
    assert page.status_code == 200 and "sign-in" not in page.text
    assert client.get("/metrics", headers=bearing(keys["admin"])).status_code == 200


@pytest.mark.promise(24)
def test_keys_are_in_no_log_metric_error_or_file(
    own_home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    file = KeyFile(own_home)
    keys = [file.create("a", ("admin",))[0], file.rotate("a")[0], file.create("b", ("rerank",))[0]]
    app = create_app(Workspace(own_home))
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    client = app.test_client()
    said = ""
    for key in [*keys, "rrk_wrong-key-of-somebody"]:
        for address in ("/", "/broken", "/nowhere", "/metrics", f"/{key}"):
            said += client.get(address, headers=bearing(key)).text.replace(f"/{key}", "")
        said += client.post("/rerank", json={"key": "x"}, headers=bearing(key)).text
        said += str(client.post("/sign-in", data={"key": key}).headers)
    out, err = capfd.readouterr()
    said += caplog.text + out + err
    for key in [*keys, "wrong-key-of-somebody"]:
        assert key not in said and key[4:20] not in said
    for path in own_home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [key for key in keys if key.encode() in data], path


def test_only_the_owner_reads_the_folder(tmp_path: Path) -> None:
    KeyFile(tmp_path / "home").create("a", ("rerank",))
    folder = tmp_path / "home" / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.fixture
def looking_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks at the file; how often that is has a test with a running service."""
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0.0)


@pytest.mark.promise(24)
def test_keys_are_made_rotated_and_revoked_without_a_restart(
    own_home: Path, looking_always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(Workspace(own_home)).test_client()
    file = KeyFile(own_home)

    def status(key: str) -> int:
        return client.post("/rerank", json=BODY, headers=bearing(key)).status_code

    assert client.post("/rerank", json=BODY).status_code == 200  # open: nobody made a key
    first, _ = file.create("search", ("rerank",))
    assert client.post("/rerank", json=BODY).status_code == 401
    assert status(first) == 200
    second, _ = file.rotate("search", overlap=60)
    assert (status(first), status(second)) == (200, 200)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert (status(first), status(second)) == (401, 200)
    third, _ = file.rotate("search", overlap=0)
    assert (status(second), status(third)) == (401, 200)
    file.revoke("search")
    assert status(third) == 401
    file.path.unlink()  # a file that goes away opens nothing
    assert client.post("/rerank", json=BODY).status_code == 401
    again, _ = file.create("search", ("rerank",))
    assert status(again) == 200


def test_a_broken_file_lets_in_whom_it_let_in(own_home: Path, looking_always: None) -> None:
    file = KeyFile(own_home)
    key, _ = file.create("search", ("rerank",))
    client = create_app(Workspace(own_home)).test_client()
    for content in (
        b"",
        b"{",
        b'{"keys": [{"name": 1}], "format": 1}',
        b'{"keys": [], "format": 2}',
    ):
        file.path.write_bytes(content)
        assert client.post("/rerank", json=BODY, headers=bearing(key)).status_code == 200
        assert client.post("/rerank", json=BODY).status_code == 401
        with pytest.raises(BadKeyFile, match="keys.json"):
            create_app(Workspace(own_home))


@pytest.mark.promise(37)
@pytest.mark.parametrize("jump", [-400 * 86_400, -3600, 3600, 400 * 86_400])
def test_a_clock_that_is_set_neither_ends_nor_lengthens_an_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looking_always: None, jump: float
) -> None:
    file = KeyFile(tmp_path)
    old, _ = file.create("search", ("rerank",))
    file.rotate("search", overlap=600)
    ring = KeyRing(tmp_path)
    real, real_monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    file.create("other", ("rerank",))  # the file is read anew, by the wrong clock
    ring.refresh()
    assert ring.owner(old) is not None
    monkeypatch.setattr(time, "monotonic", lambda: real_monotonic() + 601)
    assert ring.owner(old) is None
    if jump < 0:  # started by a clock that is behind: at most the overlap that was asked for
        monkeypatch.setattr(time, "monotonic", real_monotonic)
        fresh = KeyRing(tmp_path)
        monkeypatch.setattr(time, "monotonic", lambda: real_monotonic() + 601)
        assert fresh.owner(old) is None


def test_the_year_and_the_summer_time_change_nothing(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    old, _ = file.create("search", ("rerank",))
    file.rotate("search", overlap=600)
    for zone in ("Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"):
        code = (
            "import sys; from pathlib import Path; from service.access.key_ring import KeyRing\n"
            "sys.exit(KeyRing(Path(sys.argv[1])).owner(sys.argv[2]) is None)"
        )
        command = [sys.executable, "-c", code, str(tmp_path), old]
        assert subprocess.run(command, env=os.environ | {"TZ": zone}).returncode == 0


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9./\\-]{1,70}", fullmatch=True))
def test_a_name_is_plain_or_refused(name: str) -> None:
    plain = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    try:
        check_name(name)
    except BadKey as refused:
        assert refused.field == "name"
        assert not (name and set(name) <= plain and name[0].isalnum() and len(name) <= 64)
    else:
        assert set(name) <= plain and name[0].isalnum() and len(name) <= 64


# Crashes and full disks

CRASH_POINTS = ("aside_written", "aside_renamed")
CHANGE = """
import sys
from pathlib import Path
from service.access.keys import KeyFile
file = KeyFile(Path(sys.argv[1]))
{"create": lambda: file.create("new", ("rerank",)), "rotate": lambda: file.rotate("old", 0.0),
 "revoke": lambda: file.revoke("old")}[sys.argv[2]]()
"""


@pytest.mark.promise(24)
@pytest.mark.parametrize("point", CRASH_POINTS)
@pytest.mark.parametrize("change", ["create", "rotate", "revoke"])
def test_after_a_crash_the_old_keys_hold_or_the_new(
    tmp_path: Path, change: str, point: str
) -> None:
    file = KeyFile(tmp_path)
    old, _ = file.create("old", ("rerank",))
    before = file.path.read_bytes()
    child = subprocess.run(
        [sys.executable, "-c", CHANGE, str(tmp_path), change],
        env=os.environ | {"RERANKER_CRASH_AT": point},
    )
    assert child.returncode == 137
    changed = file.path.read_bytes() != before
    assert changed == (point == "aside_renamed")
    known = KeyRing(tmp_path).owner(old) is not None
    assert known == (not changed or change == "create")
    file.create("next", ("rerank",))  # nothing keeps the next change from being made
    assert len([key for key in file.read() if key.active]) >= 1


def test_a_full_disk_leaves_the_old_keys(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    old, _ = file.create("old", ("rerank",))
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n{CHANGE}"
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "create"], capture_output=True, text=True
    )
    assert child.returncode and "File too large" in child.stderr
    assert KeyRing(tmp_path).owner(old) is not None
    assert sorted(os.listdir(tmp_path / "keys")) == ["keys.json", "lock"]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    code = CHANGE.replace('"new"', "sys.argv[3]")
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), "create", f"k{n}"])
        for n in range(6)
    ]
    assert [child.wait() for child in children] == [0] * 6
    assert sorted(key.name for key in KeyFile(tmp_path).read()) == [f"k{n}" for n in range(6)]


# The commands


def test_the_commands(reranker: Said, tmp_path: Path) -> None:
    assert "openly" in reranker("keys", "list")[1]
    status, out, err = reranker("keys", "create", "--name", "search", "--scope", "rerank")
    assert status == 0 and out.startswith("rrk_") and out.count("\n") == 1
    assert "not shown again" in err and "first" in err
    made = json.loads(reranker(*"keys create --name b --scope admin --rate 5 --json".split())[1])
    assert made["scopes"] == ["admin"] and made["rate"] == 5 and made["key"].startswith("rrk_")
    rotated = json.loads(reranker(*"keys rotate b --overlap 15m --json".split())[1])
    assert rotated["key"] != made["key"] and rotated["old_until"]
    listed = reranker("keys", "list")[1]
    assert "search" in listed and "5/s" in listed and "old one until" in listed
    assert out.strip() not in listed and made["key"] not in listed
    assert json.loads(reranker("keys", "revoke", "b", "--json")[1])["state"] == "revoked"
    assert "last one" in reranker("keys", "revoke", "search")[2]
    states = [key["state"] for key in json.loads(reranker("keys", "list", "--json")[1])["keys"]]
    assert states == ["revoked", "revoked"]


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        ("create --name ../x --scope rerank", 1, "allowed are"),
        ("create --name a", 2, "--scope"),
        ("create --name a --scope all", 2, "rerank"),
        ("create --name a --scope rerank --rate -1", 2, "rate"),
        ("rotate nobody", 1, "does not exist"),
        ("revoke nobody", 1, "keys list"),
        ("rotate nobody --overlap soon", 2, "15m"),
    ],
)
def test_what_cannot_be_meant_is_refused(reranker: Said, args: str, status: int, says: str) -> None:
    done = reranker("keys", *args.split())
    assert done[0] == status and says in done[2]


def test_a_name_is_taken_until_it_is_revoked(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.create("a", ("rerank",))
    with pytest.raises(BadKey, match="already"):
        file.create("a", ("rerank",))
    file.revoke("a")
    with pytest.raises(BadKey, match="revoked"):
        file.rotate("a")
    file.create("a", ("rerank",))
    assert [key.name for key in file.read()] == ["a"]


# Where it listens


@pytest.mark.promise(24)
def test_elsewhere_than_on_loopback_nobody_comes_in_without_a_key(own_home: Path) -> None:
    workspace = Workspace(own_home, {ServeSettings: ServeSettings(host="0.0.0.0")})
    client = create_app(workspace).test_client()
    assert client.post("/rerank", json=BODY).status_code == 401
    assert client.get("/livez").status_code == 200


def test_a_file_that_cannot_be_read_starts_nothing(own_home: Path) -> None:
    KeyFile(own_home).create("a", ("rerank",))
    (own_home / "keys" / "keys.json").write_bytes(b"\xff")
    with pytest.raises(Failure, match="no file of keys"):
        create_app(Workspace(own_home))


@pytest.mark.promise(24)
def test_a_running_service_on_any_address_takes_up_what_is_changed(own_home: Path) -> None:
    file = KeyFile(own_home)
    key, _ = file.create("search", ("rerank",))
    with serving(own_home, "--host", "0.0.0.0") as running:
        assert "search (rerank)" in running.banner and key not in running.banner
        assert "Authorization: Bearer KEY" in running.banner
        assert running.ask("/rerank", BODY)[0] == 401
        assert running.ask("/rerank", BODY, **bearing(key))[0] == 200
        assert running.ask("/livez")[0] == 200
        made, _ = file.create("other", ("rerank",))
        file.revoke("search")

        def each_knows() -> bool:  # of both workers: every request is a new connection
            return all(
                running.ask("/rerank", BODY, **bearing(key))[0] == 401
                and running.ask("/rerank", BODY, **bearing(made))[0] == 200
                for _ in range(20)
            )

        wait_until(each_knows)
        running.stop()
        assert running.process.stderr is not None
        assert key not in running.process.stderr.read()
