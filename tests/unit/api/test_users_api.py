"""GET and DELETE /users/<id>: what is kept, and the proof that it is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from flask.testing import FlaskClient
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.privacy.forget import ForgetProof, receipt_of
from service.app import create_app, ranking_log

NAME = "jürgen/müller 77"
RERANK = {"query": "lamp", "candidates": [{"id": "3"}, {"id": "25"}]}


@pytest.fixture
def home(shop_home: Path, tmp_path: Path) -> Path:
    return copy_home(shop_home, tmp_path / "home")


@pytest.fixture
def shop(home: Path) -> Iterator[FlaskClient]:
    """A service that knows two shoppers, one with a ranking and a session that became theirs."""
    app = create_app(Workspace(home))
    client = app.test_client()
    view = {"type": "view", "time": "2026-11-01T00:00:00Z"}
    sent: list[dict[str, Any]] = [
        view | {"session": "before-login", "item": "3"},
        view | {"user": NAME, "session": "before-login", "item": "25"},
        view | {"user": "somebody else", "item": "7"},
        view | {"session": "anon-7f3c91", "item": "8"},
    ]
    assert client.post("/events", json=sent).get_json()["accepted"] == 4
    assert client.post("/rerank", json=RERANK | {"user": NAME}).status_code == 200
    ranking_log(app).flush()
    yield client


def address(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def test_everything_that_is_kept_is_exported(shop: FlaskClient) -> None:
    kept = shop.get(address(NAME)).get_json()
    assert (kept["user"], kept["session"]) == (NAME, None)
    assert [event["item"] for event in kept["events"]] == ["3", "25"]
    assert {event["user"] for event in kept["events"]} == {NAME}
    assert [ranking["query"] for ranking in kept["rankings"]] == ["lamp"]
    kept = shop.get("/users/anon-7f3c91?session=true").get_json()
    assert [(event["item"], event["session"]) for event in kept["events"]] == [("8", "anon-7f3c91")]


def test_a_shopper_is_erased_with_proof(shop: FlaskClient) -> None:
    answer = shop.delete(address(NAME))
    assert answer.status_code == 200, answer.text
    proof = answer.get_json()
    assert proof["verified"] and proof["known"]
    assert (proof["events"], proof["rankings"]) == (2, 1)
    assert proof["searched"]["files"] > 0 and not proof["searched"]["found"]
    assert receipt_of(msgspec.convert(proof, ForgetProof)) == proof["receipt"]
    assert shop.get(address(NAME)).status_code == 404
    assert shop.delete(address(NAME)).status_code == 404
    assert shop.get(address("somebody else")).get_json()["events"]


def test_the_service_goes_on_keeping_events_afterwards(shop: FlaskClient) -> None:
    assert shop.delete("/users/anon-7f3c91?session=true").get_json()["verified"]
    event = {"user": NAME, "type": "view", "item": "9", "time": "2026-11-02T00:00:00Z"}
    assert shop.post("/events", json=event).get_json()["accepted"] == 1
    assert [e["item"] for e in shop.get(address(NAME)).get_json()["events"]] == ["3", "25", "9"]


def test_what_cannot_be_verified_is_said_with_an_error_status(
    shop: FlaskClient, home: Path
) -> None:
    (home / "notes.txt").write_text(f"call {NAME} back")
    answer = shop.delete(address(NAME))
    assert answer.status_code == 409
    found = answer.get_json()
    assert found["error"]["code"] == "not_verified" and "notes.txt" in found["error"]["message"]
    assert not found["proof"]["verified"] and found["proof"]["events"] == 2
    (home / "notes.txt").unlink()
    assert shop.delete(address(NAME)).status_code == 404  # nothing is left


def test_what_is_no_id_is_refused(shop: FlaskClient) -> None:
    assert shop.get("/users/" + "x" * 600).status_code == 422
    assert shop.delete("/users/%00").status_code == 422
    assert shop.get("/users/anon-7f3c91?session=perhaps").status_code == 422
    assert shop.delete("/users/").status_code == 404
