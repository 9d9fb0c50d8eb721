"""What other sites can make a browser send: nothing, but for those that serve.origins names."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.keys import BODY, EVENT, bearing, code, everywhere
from support.shop import copy_home

from indexes.workspace import Workspace
from service.access.keys import KeyFile
from service.app import create_app
from service.http.settings import ServeSettings
from service.settings import BadSetting, load_workspace

FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"X-Api-Key": "made-up", "Origin": "https://evil.example"},
    {"Referer": "https://evil.example/page?of=http://localhost/"},
    {"Referer": "https://localhost@evil.example"},
    {"Referer": "http://localhost/", "Origin": "null"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {"Referer": "http://localhost/?tab=compare"},
    {"Referer": "about:blank"},
    {"Referer": "https://elsewhere.example/", "Sec-Fetch-Site": "none"},
]
SHOP = "https://shop.example"


def origins_client(home: Path, *origins: str) -> FlaskClient:
    settings = ServeSettings(origins=list(origins))
    return create_app(Workspace(home, {ServeSettings: settings})).test_client()


@pytest.mark.promise(25)
@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_can_change_and_ask_nothing(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    asked = 0
    for _, method, address in everywhere(client.application):
        if method in ("GET", "HEAD"):
            continue
        asked += 1
        for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
            answer = client.open(
                address, method=method, headers=headers, data=b"{}", content_type=kind
            )
            assert answer.status_code == 403, (address, kind)
            assert code(answer) in ("foreign_origin", None)
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert asked >= 5
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.open("/events", method=method, headers=headers).status_code == 403
    assert client.get("/openapi.json", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN)
def test_programs_and_the_own_page_pass(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/rerank", json=BODY, headers=headers).status_code == 200
    assert client.post("/next-action", json={}, headers=headers).status_code == 200


def test_a_foreign_event_leaves_no_history(own_home: Path) -> None:
    client = create_app(Workspace(own_home)).test_client()
    sent = client.post("/events", json=EVENT, headers={"Sec-Fetch-Site": "cross-site"})
    assert sent.status_code == 403
    assert client.post("/events", json=EVENT | {"id": "1"}).get_json()["duplicates"] == 0
    histories = client.application.extensions["served"].histories
    assert len(list(histories.users())) == 1


def preflight(client: FlaskClient, path: str, origin: str) -> Any:
    asked = {"Access-Control-Request-Method": "POST", "Origin": origin}
    return client.options(path, headers=asked)


def test_serve_origins(own_home: Path) -> None:
    client = origins_client(own_home, "https://Shop.example:443/", "http://localhost:3000")
    crossed = {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"}
    for path, body in (("/events", EVENT), ("/rerank", BODY)):
        asked = preflight(client, path, SHOP)
        assert (asked.status_code, asked.data) == (204, b"")
        assert asked.headers["Access-Control-Allow-Origin"] == SHOP
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in asked.headers["Access-Control-Allow-Headers"]
        answer = client.post(path, json=body, headers=crossed)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    wrong = client.post("/rerank", json={}, headers=crossed)
    assert wrong.status_code == 422 and wrong.headers["Access-Control-Allow-Origin"] == SHOP
    for other in ("https://evil.example", "http://shop.example", f"{SHOP}.evil.example", "null"):
        refused = client.post("/rerank", json=BODY, headers={"Origin": other})
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert "Origin" in refused.headers["Vary"]
        asked = preflight(client, "/rerank", other)
        assert asked.status_code == 405
        assert "Access-Control-Allow-Origin" not in asked.headers


def test_the_page_is_for_no_other_site_even_if_it_is_named(own_home: Path) -> None:
    client = origins_client(own_home, SHOP)
    answer = client.post("/_dash-update-component", json={}, headers={"Origin": SHOP})
    assert answer.status_code == 403
    for path in ("/", "/_dash-layout"):
        page = client.get(path, headers={"Origin": SHOP})
        assert "Access-Control-Allow-Origin" not in page.headers


def test_a_key_in_a_header_says_who_asks(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    key, _ = KeyFile(home).create("search", ("rerank",))
    client = origins_client(home, SHOP)
    foreign = {"Origin": "https://proxy.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/rerank", json=BODY, headers=foreign).status_code == 401
    assert client.post("/rerank", json=BODY, headers=foreign | bearing(key)).status_code == 200
    # A browser asks first, without the key, and is told no, or yes.
    assert preflight(client, "/rerank", foreign["Origin"]).status_code == 401
    asked = preflight(client, "/rerank", SHOP)
    assert asked.status_code == 204
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    refused = client.post("/rerank", json=BODY, headers={"Origin": SHOP})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == SHOP


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://", "https://a/b", "https://*.a"])
def test_an_origin_that_cannot_be_meant_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(BadSetting, match=r"serve\.origins"):
        load_workspace(tmp_path, None, {"RERANKER_SERVE_ORIGINS": origin})


@given(st.text(alphabet="htps:/.@[]0189abcEVILlocalhost\\%# ", max_size=40))
def test_no_origin_is_taken_for_the_service_that_is_none(origin: str) -> None:
    from flask import Flask

    from service.access.sites import foreign

    with Flask("any").test_request_context("/", base_url="http://localhost"):
        if not foreign(None, origin):
            assert origin.partition("//")[2].startswith("localhost")
