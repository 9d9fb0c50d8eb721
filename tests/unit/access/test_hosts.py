"""Which names the service answers to, and what every answer forbids the browser."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from indexes.workspace import Workspace
from service.access.sites import Hosts
from service.app import create_app
from service.http.addresses import is_loopback
from service.http.answers import SECURITY_HEADERS
from service.http.settings import ServeSettings
from service.observability.prometheus import Metrics

OURS = ("localhost", "LOCALHOST:8000", "127.0.0.1", "127.9.9.9:80", "[::1]:8000", "shop.localhost")
FOREIGN = (
    *("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example"),
    *("10.0.0.1", "[fd00::1]", "0.0.0.0", "localhost@evil.example", "x", "127.0.0.1 evil"),
)


@pytest.mark.parametrize("host", OURS)
def test_loopback_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/openapi.json", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_pointed_at_loopback_is_not(client: FlaskClient, host: str) -> None:
    for path in ("/", "/rerank", "/openapi.json", "/nowhere"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert answer.get_json()["error"]["code"] == "wrong_host"
        assert "serve.hosts" in answer.get_json()["error"]["message"]
    assert client.get("/livez", headers={"Host": host}).status_code == 200  # a probe's


def app_with(home: Path, **chosen: Any) -> FlaskClient:
    settings = ServeSettings(**chosen)
    return create_app(Workspace(home, {ServeSettings: settings})).test_client()


def test_serve_hosts(shop_home: Path) -> None:
    client = app_with(shop_home, hosts=["Shop.example"])
    for host, status in (("shop.example:443", 200), ("shop.example.", 200), ("other.example", 421)):
        assert client.get("/openapi.json", headers={"Host": host}).status_code == status, host
    elsewhere = app_with(shop_home, host="0.0.0.0", hosts=["shop.example"])
    for host, status in (("shop.example", 401), ("localhost", 421), ("10.0.0.7:8000", 421)):
        assert elsewhere.get("/openapi.json", headers={"Host": host}).status_code == status, host
    anything = app_with(shop_home, host="0.0.0.0")
    assert anything.get("/openapi.json", headers={"Host": "10.0.0.7:8000"}).status_code == 401


METRICS = Metrics()


@given(st.text(max_size=60))
def test_no_text_is_taken_for_loopback_that_is_none(header: str) -> None:
    if Hosts((), METRICS, loopback=True).allowed(header):
        name = header.removeprefix("[").partition("]")[0] if header[:1] == "[" else header
        name = name if header[:1] == "[" else name.partition(":")[0].lower().rstrip(".")
        assert "localhost" in name or is_loopback(name)


def test_where_it_listens() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "::", "10.1.2.3", "nowhere.invalid"):
        assert not is_loopback(host), host


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/openapi.json", "/nowhere", "/rerank", "/metrics"]
)
def test_every_answer_has_the_headers(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    for name, value in SECURITY_HEADERS:
        there = answer.headers.getlist(name)
        assert len(there) == 1, (path, name, there)
        if path != "/":  # the page brings its own policy, as strict as it can be
            assert there == [value]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
