"""POST /rerank/batch: every request has its own answer or error, in order."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask.testing import FlaskClient
from support.keys import bearing
from support.shop import copy_home, patient

from indexes.workspace import Workspace
from service.access.keys import KeyFile
from service.app import create_app
from service.http.settings import LimitSettings
from service.server.lanes import Lane, lane_of

ONE = {"query": "desk lamp", "candidates": [{"id": "3"}, {"id": "25"}, {"id": "7"}]}


def ask(client: FlaskClient, *requests: Any, **headers: str) -> list[dict[str, Any]]:
    answer = client.post("/rerank/batch", json={"requests": requests}, headers=headers)
    assert answer.status_code == 200, answer.text
    answers: list[dict[str, Any]] = answer.get_json()["answers"]
    return answers


def without_its_own(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("id", "took_ms")}


def test_each_request_is_answered_as_by_itself(shop_home: Path, tmp_path: Path) -> None:
    client = create_app(patient(copy_home(shop_home, tmp_path / "home"))).test_client()
    other = ONE | {"query": "rain jacket", "top_n": 1, "explain": True}
    empty: dict[str, Any] = {"candidates": []}
    answers = ask(client, ONE, other, empty)
    alone = [client.post("/rerank", json=request).get_json() for request in (ONE, other, empty)]
    assert list(map(without_its_own, answers)) == list(map(without_its_own, alone))
    assert len({answer["id"] for answer in answers}) == 3
    assert ask(client) == []


def test_one_bad_request_costs_itself(client: FlaskClient) -> None:
    bad = [
        ONE | {"candidates": [{"id": "1"}, {"id": "1"}]},
        ONE | {"blend": "nobody"},
        ONE | {"colour": 1},
        7,
        {"candidates": [{"id": "1", "score": "high"}]},
    ]
    answers = ask(client, ONE, *bad, ONE)
    assert [set(answer) == {"error"} for answer in answers] == [False, *[True] * 5, False]
    assert answers[1]["error"]["field"] == "candidates[1].id"
    assert answers[2]["error"]["code"] == "unknown_blend"
    assert answers[5]["error"]["field"] == "candidates[0].score"
    for request, answer in zip(bad, answers[1:-1], strict=True):  # the same error as alone
        assert client.post("/rerank", json=request).get_json() == answer


def test_what_is_no_batch_is_refused_whole(client: FlaskClient) -> None:
    for body in (b"[]", b"{}", b"{", b'{"requests": 7}', b'{"requests": [], "x": 1}'):
        assert client.post("/rerank/batch", data=body).status_code in (400, 422), body


def test_limits_batch(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    limits = LimitSettings(batch=2, candidates=2)
    client = create_app(Workspace(home, {LimitSettings: limits})).test_client()
    answer = client.post("/rerank/batch", json={"requests": [ONE] * 3})
    assert answer.status_code == 422
    error = answer.get_json()["error"]
    assert error["field"] == "requests" and "limits.batch" in error["message"]
    assert ask(client, ONE)[0]["error"]["field"] == "candidates"  # its own limit


def test_every_request_counts_against_the_rate_of_its_key(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    key, _ = KeyFile(home).create("search", ("rerank",), rate=0.001)
    client = create_app(Workspace(home)).test_client()
    body = {"requests": [ONE] * 2}  # one may come at once
    refused = client.post("/rerank/batch", json=body, headers=bearing(key))
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (429, "too_many_requests")


def test_it_passes_the_gate_of_searches() -> None:
    assert lane_of(SimpleNamespace(path="/rerank/batch", method="POST")) is Lane.SEARCH
