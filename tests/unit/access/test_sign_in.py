"""The page with keys: the form, the cookie, what another site cannot do, and the way out."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.shop import copy_home

from indexes.workspace import Workspace
from service.access.ended_sessions import EndedSessions
from service.access.key_ring import Caller, KeyRing
from service.access.keys import KeyFile
from service.access.sessions import COOKIE, SECONDS, Sessions
from service.app import create_app
from service.observability.prometheus import Metrics

HTML = {"Accept": "text/html,*/*"}
OWN = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
CALLBACK = "/_dash-update-component"
ASKED = {
    "output": "user.data",
    "outputs": {"id": "user", "property": "data"},
    "inputs": [{"id": "url", "property": "pathname", "value": "/"}],
    "changedPropIds": ["url.pathname"],
}


@pytest.fixture(scope="module")
def locked(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = copy_home(shop_home, tmp_path_factory.mktemp("signed") / "home")
    file = KeyFile(home)
    keys = {scope: file.create(scope, (scope,))[0] for scope in ("rerank", "tune", "admin")}
    yield create_app(Workspace(home)), keys, file


@pytest.fixture
def browser(locked: Any) -> FlaskClient:
    client: FlaskClient = locked[0].test_client()
    return client


def sign_in(browser: FlaskClient, key: str, query: str = "", **headers: str) -> Any:
    return browser.post(f"/sign-in{query}", data={"key": key}, headers=OWN | headers)


def test_the_form_comes_first_and_leads_to_what_was_asked_for(
    browser: FlaskClient, locked: Any
) -> None:
    form = browser.get("/?q=red+lamp&w=match:2", headers=HTML)
    assert form.status_code == 401 and 'type="password"' in form.text
    action = re.search(r'action="([^"]+)"', form.text)
    assert action and action[1] == "/sign-in?q=red+lamp&amp;w=match:2"
    done = sign_in(browser, locked[1]["tune"], "?q=red+lamp&w=match:2")
    assert (done.status_code, done.headers["Location"]) == (303, "/?q=red+lamp&w=match:2")
    page = browser.get("/", headers=HTML)
    assert page.status_code == 200 and 'type="password"' not in page.text
    assert "key " in str(browser.get("/_dash-layout").get_json())
    assert browser.post(CALLBACK, json=ASKED, headers=OWN).status_code == 200


def test_the_cookie_is_for_this_page_alone(browser: FlaskClient, locked: Any) -> None:
    cookie = sign_in(browser, locked[1]["tune"]).headers["Set-Cookie"]
    for part in (COOKIE, "HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={SECONDS}"):
        assert part in cookie
    assert "Secure" not in cookie and locked[1]["tune"] not in cookie
    over_tls = browser.post(
        "/sign-in", base_url="https://localhost", data={"key": locked[1]["tune"]}
    )
    assert "Secure" in over_tls.headers["Set-Cookie"]
    # It opens the page, not the routes of programs.
    assert browser.post("/rerank", json={"candidates": []}).status_code == 401
    assert browser.get("/metrics").status_code == 401


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 401), ("rerank", 403)])
def test_other_keys_are_refused_in_the_form(
    browser: FlaskClient, locked: Any, key: str, status: int
) -> None:
    refused = sign_in(browser, locked[1].get(key, key))
    assert refused.status_code == status and 'role="alert"' in refused.text
    assert "Set-Cookie" not in refused.headers
    assert browser.get("/", headers=HTML).status_code == 401


@pytest.mark.parametrize(
    "query",
    ["?next=//evil.example", "?//evil.example", '?"><script>alert(1)</script>', "?%0d%0aX: y"],
)
def test_the_query_leads_nowhere_else_and_is_text(
    browser: FlaskClient, locked: Any, query: str
) -> None:
    form = browser.get(f"/{query}", headers=HTML)
    assert "<script" not in form.text and 'action="/sign-in?' in form.text
    to = sign_in(browser, locked[1]["tune"], query).headers["Location"]
    assert to.startswith("/?") and "\n" not in to


def test_the_form_runs_no_script_and_asks_nobody(browser: FlaskClient) -> None:
    form = browser.get("/", headers=HTML)
    policy = form.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and form.headers["X-Frame-Options"] == "DENY"
    assert not re.search(r"(src|href)=.(?!data:)", form.text)
    assert form.headers["Cache-Control"] == "no-store"


@pytest.mark.promise(25)
@pytest.mark.parametrize(
    "headers",
    [
        {},  # no browser of today: a stolen or guessed cookie is not enough
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
def test_another_site_can_do_nothing_with_a_session(
    browser: FlaskClient, locked: Any, headers: dict[str, str]
) -> None:
    assert sign_in(browser, locked[1]["tune"]).status_code == 303
    refused = browser.post(CALLBACK, json=ASKED, headers=headers)
    assert refused.status_code == 403
    assert refused.get_json()["error"]["code"] == "foreign_origin"
    if headers:
        assert browser.post("/sign-out", headers=headers).status_code == 403
        assert browser.post("/sign-in", data={"key": "x"}, headers=headers).status_code == 403


def test_a_link_from_elsewhere_is_tried_once_more_with_the_cookie(browser: FlaskClient) -> None:
    crossed = browser.get("/?q=a", headers=HTML | {"Sec-Fetch-Site": "cross-site"})
    assert 'http-equiv="refresh"' in crossed.text
    assert "http-equiv" not in browser.get("/?q=a", headers=HTML).text


def test_signing_out_and_programs(browser: FlaskClient, locked: Any) -> None:
    sign_in(browser, locked[1]["admin"])
    assert browser.get("/", headers=HTML).status_code == 200
    assert browser.post("/sign-out", headers=OWN).status_code == 303
    assert browser.get("/", headers=HTML).status_code == 401
    # A program gets JSON, and needs no session.
    assert browser.get("/").get_json()["error"]["code"] == "unauthorized"
    bearing = {"Authorization": f"Bearer {locked[1]['tune']}"}
    assert browser.post(CALLBACK, json=ASKED, headers=bearing).status_code == 200


@pytest.mark.promise(24)
def test_a_session_ends_with_its_key(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.key_ring.LOOK_SECONDS", 0.0)
    home = copy_home(shop_home, tmp_path / "home")
    file = KeyFile(home)
    key = file.create("ann", ("tune",))[0]
    file.create("other", ("tune",))
    browser = create_app(Workspace(home)).test_client()
    sign_in(browser, key)
    assert browser.get("/", headers=HTML).status_code == 200
    file.rotate("ann", overlap=0)
    assert browser.get("/", headers=HTML).status_code == 401


def test_a_session_ends_in_time_and_belongs_to_one_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KeyFile(tmp_path / "home").create("ann", ("tune",))[0]
    ring = KeyRing(tmp_path / "home")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    here, worker, elsewhere = (Sessions(ring, tmp_path / name) for name in ("one", "one", "two"))
    caller = ring.owner(key)
    assert caller is not None
    cookie = here.begin(caller)
    assert here.caller(cookie) == worker.caller(cookie) == caller
    assert elsewhere.caller(cookie) is None
    assert (tmp_path / "one" / "session.secret").stat().st_mode & 0o777 == 0o600
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 1e8)
    later = time.monotonic() + SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert here.caller(cookie) is None


@pytest.mark.promise(24)
def test_signing_out_ends_the_session_in_every_worker(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(run))
    monkeypatch.setattr("service.app.Metrics", lambda home: Metrics())
    home = copy_home(shop_home, tmp_path / "home")
    key = KeyFile(home).create("ann", ("tune",))[0]
    here, there = (create_app(Workspace(home)).test_client() for _ in range(2))
    cookie = sign_in(here, key).headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    for client in (here, there):
        client.set_cookie(COOKIE, cookie)
        assert client.get("/", headers=HTML).status_code == 200
    other = there.application.test_client()
    sign_in(other, key)
    assert here.post("/sign-out", headers=OWN).status_code == 303
    later = create_app(Workspace(home)).test_client()  # a worker that comes after
    for client in (here, there, later):
        client.set_cookie(COOKIE, cookie)  # whoever kept it
        assert client.get("/", headers=HTML).status_code == 401
        assert client.post(CALLBACK, json=ASKED, headers=OWN).status_code == 401
    assert other.get("/", headers=HTML).status_code == 200  # another session of the same key
    assert key not in (run / "sessions.ended").read_text()
    for wrong in ("", "x", cookie[:-1], "a.b.c.d"):
        here.set_cookie(COOKIE, wrong)
        assert here.post("/sign-out", headers=OWN).status_code == 303


def test_sign_out_says_when_others_cannot_be_told(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    key = KeyFile(home).create("ann", ("tune",))[0]
    app = create_app(Workspace(home))
    (tmp_path / "run").mkdir()
    app.extensions["guard"].sessions._ended = EndedSessions(tmp_path / "run")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("indexes.storage.durable.replace_synced", full)
    browser = app.test_client()
    sign_in(browser, key)
    said = browser.post("/sign-out", headers=OWN)
    assert said.status_code == 503 and said.get_json()["error"]["code"] == "not_signed_out"
    assert browser.get("/", headers=HTML).status_code == 401  # here it has ended


def test_sessions_that_ended_are_remembered_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.ended_sessions.MOST", 20)
    here, there = EndedSessions(tmp_path), EndedSessions(tmp_path)
    now = time.monotonic()
    here.add("old", now - 1)
    for number in range(20):
        here.add(f"s{number}", now + 1000)
    assert all(there.has(f"s{number}", now) for number in range(20))
    assert not there.has("fresh", now) and "old" not in (tmp_path / "sessions.ended").read_text()
    there.add("one too many", now + 1000)  # then all that have begun end, rather than one come back
    for ended in (here, there, EndedSessions(tmp_path)):
        assert ended.has("s0", now) and ended.has("fresh", now)
        assert not ended.has("later", time.monotonic())
    (tmp_path / "sessions.ended").unlink()
    assert here.has("s0", now)


@given(st.text(max_size=200), st.integers(0, 200))
def test_no_other_cookie_opens_anything(text: str, place: int) -> None:
    # A ring that is none: asking it would fail, and nothing is asked that is not signed.
    sessions = Sessions(None, None)  # type: ignore[arg-type]
    assert sessions.caller(text) is None
    signed = sessions.begin(Caller("ann", frozenset({"tune"}), None, "a" * 32))
    at = place % (len(signed) - 1)  # the last letter of base64 has bits that say nothing
    changed = signed[:at] + "z" + signed[at + 1 :]
    assert changed == signed or sessions.caller(changed) is None
