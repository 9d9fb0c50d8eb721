"""What the service refuses: each with a status, one JSON shape and the field; never a traceback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.shop import patient

from indexes.workspace import Workspace
from service.app import create_app
from service.http.settings import LimitSettings

ONE = '{"candidates": [{"id": "1"}]'  # open: more keys can follow
VIEW = '{"type": "view"}'


def with_key(key: str) -> str:
    return f"{ONE}, {key}}}"


def candidates(entries: str) -> str:
    return f'{{"candidates": [{{"id": "a"}}, {entries}]}}'


MALFORMED = {
    "nothing": b"",
    "half": b'{"candidates": [',
    "not JSON": b"query=shoes",
    "trailing": b'{"candidates": []} x',
    "NaN": candidates('{"id": "b", "score": NaN}').encode(),
    "Infinity": candidates('{"id": "b", "score": -Infinity}').encode(),
    "broken UTF-8": b'{"candidates": [{"id": "\xff"}]}',
    "UTF-16": '{"candidates": []}'.encode("utf-16"),
    "lone surrogate": candidates(r'{"id": "\ud800"}').encode(),
    "surrogate in query": with_key(r'"query": "red \udfff shoes"').encode(),
    "deep": b"[" * 100_000,
    "deep inside": b'{"candidates": ' + b'[{"a":' * 50_000,
    "raw control character": b'{"candidates": [], "query": "\x00"}',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_json_is_400(client: FlaskClient, name: str) -> None:
    answer = client.post("/rerank", data=MALFORMED[name])
    assert (answer.status_code, error(answer)["code"]) == (400, "malformed_json"), answer.text


INVALID = {
    # body: field
    "[]": None,
    "null": None,
    "{}": "candidates",
    '{"candidates": null}': "candidates",
    '{"candidates": {"id": "1"}}': "candidates",
    with_key('"canditates": []'): "canditates",
    with_key('"query": true'): "query",
    with_key('"user": true'): "user",
    with_key('"user": " \u00a0"'): "user",
    with_key('"session": ["s"]'): "session",
    with_key('"time": 0'): "time",
    with_key('"top_n": -1'): "top_n",
    with_key('"top_n": 1.5'): "top_n",
    with_key('"explain": "yes"'): "explain",
    with_key('"budget_ms": 0'): "budget_ms",
    with_key('"budget_ms": 1e999'): "budget_ms",
    with_key('"blend": "nope"'): "blend",
    with_key('"blend": "../../etc/passwd"'): "blend",
    with_key('"weights": {"semantic": "much"}'): "weights.semantic",
    with_key('"weights": {"semantic": true}'): "weights.semantic",
    with_key('"weights": {"semantic": 1e999}'): "weights",
    with_key('"weights": {"semantic": 1e6}'): "weights.semantic",
    with_key('"weights": {"magic": 1}'): "weights.magic",
    with_key('"time": "yesterday"'): "time",
    with_key('"time": true'): "time",
    with_key('"history": [{"type": "view", "item": 1}, {"item": "1"}]'): "history[1].type",
    with_key('"history": [{"type": "view"}]'): "history[0].item",
    with_key('"history": [{"type": "view", "item": "1", "time": "soon"}]'): "history[0].time",
    with_key('"history": [{"type": "view", "item": " "}]'): "history[0].item",
    with_key('"history": [{"type": "view", "price": 1e999}]'): "history[0].price",
    with_key('"history": [{"type": "view", "colour": "red"}]'): "history[0].colour",
    with_key(f'"user": "{"u" * 513}"'): "user",
    with_key(f'"history": [{", ".join([VIEW] * 1001)}]'): "history",
    candidates('{"id": true}'): "candidates[1].id",
    candidates('{"id": null}'): "candidates[1].id",
    candidates('{"id": " \u00a0"}'): "candidates[1].id",
    candidates('{"id": " a"}'): "candidates[1].id",  # once more, in its one form
    candidates('{"id": ""}'): "candidates[1].id",
    candidates("{}"): "candidates[1].id",
    candidates('"b"'): "candidates[1]",
    candidates('{"id": "b", "scroe": 1}'): "candidates[1].scroe",
    candidates('{"id": "b", "score": "high"}'): "candidates[1].score",
    candidates('{"id": "b", "score": 1e999}'): "candidates[1].score",
    candidates(f'{{"id": "b", "score": {"9" * 400}}}'): "candidates[1].score",
    candidates('{"id": "b"}, {"id": "a"}'): "candidates[2].id",
    candidates(f'{{"id": "{"i" * 513}"}}'): "candidates[1].id",
}


@pytest.mark.parametrize("body", INVALID, ids=lambda body: body[:60])
def test_what_cannot_be_meant_is_422_and_names_the_field(client: FlaskClient, body: str) -> None:
    answer = client.post("/rerank", data=body)
    assert answer.status_code == 422, answer.text
    assert error(answer).get("field") == INVALID[body]
    assert len(error(answer)["message"]) < 500


def test_messages_name_what_is_known(client: FlaskClient) -> None:
    blend = client.post("/rerank", data=with_key('"blend": "nope"'))
    assert "default" in error(blend)["message"] and error(blend)["code"] == "unknown_blend"
    weights = client.post("/rerank", data=with_key('"weights": {"magic": 1}'))
    assert "semantic" in error(weights)["message"]
    twice = client.post("/rerank", data=candidates('{"id": "b"}, {"id": "a"}'))
    assert "candidates[0]" in error(twice)["message"]


def test_a_hundred_thousand_candidates_are_refused(client: FlaskClient) -> None:
    body = msgspec.json.encode({"candidates": [{"id": f"{number}"} for number in range(100_000)]})
    answer = client.post("/rerank", data=body)
    assert (answer.status_code, error(answer)["field"]) == (422, "candidates")
    assert "at most 5,000" in error(answer)["message"]


def test_a_body_over_the_limit_is_413_and_not_read(client: FlaskClient) -> None:
    answer = client.post("/rerank", data=b" " * (9 * 1024 * 1024))
    assert (answer.status_code, error(answer)["code"]) == (413, "body_too_large")


def test_every_status_of_every_route_has_the_one_shape(app: Flask, client: FlaskClient) -> None:
    seen = set()
    for rule in [*app.url_map.iter_rules(), None]:
        path = rule.rule if rule else "/nowhere"
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            answer = client.open(path, method=method, data=b"{")
            seen.add(answer.status_code)
            if answer.status_code >= 400:
                assert answer.content_type == "application/json", (method, path)
                if rule and rule.endpoint.startswith("formats.") and answer.status_code == 400:
                    continue  # a format of another system has a shape of its own
                assert set(answer.get_json()) == {"error"}
                assert error(answer)["code"] and error(answer)["message"]
            if answer.status_code == 405:
                assert answer.headers["Allow"]
    assert seen == {200, 303, 400, 404, 405, 415, 501}


def test_a_failure_nobody_foresaw_is_500_in_the_same_shape(
    shop_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(patient(shop_home))

    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError("a secret of the inside")

    answer = app.test_client().get("/broken")
    assert (answer.status_code, error(answer)["code"]) == (500, "internal_error")
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "a secret of the inside" in caplog.text  # the log has it


@pytest.fixture
def narrow(shop_home: Path) -> Iterator[FlaskClient]:
    """The application with every limit at almost nothing."""
    limits = LimitSettings(body_bytes=300, candidates=2, query_chars=3, text_chars=4, history=1)
    yield create_app(Workspace(shop_home, {LimitSettings: limits})).test_client()


def narrowly(client: FlaskClient, **body: Any) -> tuple[int, str | None]:
    answer = client.post("/rerank", json={"candidates": [], **body})
    return answer.status_code, error(answer).get("field") if answer.status_code != 200 else None


def test_limits_candidates(narrow: FlaskClient) -> None:
    assert narrowly(narrow, candidates=[{"id": "1"}, {"id": "2"}]) == (200, None)
    sent = [{"id": "1"}, {"id": "2"}, {"id": "3"}]
    assert narrowly(narrow, candidates=sent) == (422, "candidates")


def test_limits_query_chars(narrow: FlaskClient) -> None:
    assert narrowly(narrow, query="red") == (200, None)
    cut = narrow.post("/rerank", json={"candidates": [{"id": "1"}], "query": "reds"}).get_json()
    assert {"signal": "semantic", "reason": "query_truncated"} in cut["degraded"]
    history = [{"type": "search", "query": "reds"}]
    cut = narrow.post("/rerank", json={"candidates": [{"id": "1"}], "history": history}).get_json()
    assert {"signal": "history", "reason": "query_truncated", "count": 1} in cut["degraded"]


def test_limits_text_chars(narrow: FlaskClient) -> None:
    assert narrowly(narrow, candidates=[{"id": "1", "text": "four"}]) == (200, None)
    sent = [{"id": "1"}, {"id": "x", "text": "fiver"}]
    cut = narrow.post("/rerank", json={"candidates": sent}).get_json()
    named = {"signal": "semantic", "reason": "text_truncated", "count": 1, "candidates": [1]}
    assert named in cut["degraded"]


def test_limits_history(narrow: FlaskClient) -> None:
    assert narrowly(narrow, history=[{"type": "view", "item": "1"}]) == (200, None)
    assert narrowly(narrow, history=[{"type": "view"}, {"type": "view"}]) == (422, "history")


def test_limits_body_bytes(narrow: FlaskClient) -> None:
    assert narrow.post("/rerank", data=b'{"candidates": []}'.ljust(300)).status_code == 200
    assert narrow.post("/rerank", data=b'{"candidates": []}'.ljust(301)).status_code == 413


def error(answer: Any) -> dict[str, Any]:
    body = answer.get_json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) <= {"code", "message", "field"}
    found: dict[str, Any] = body["error"]
    return found


def test_a_wrong_weight_before_deep_nonsense_is_refused_like_any_other(client: FlaskClient) -> None:
    body = '{"candidates": [], "weights": {"x": "bad", "y": "' + "z" * 70_000 + '"}, "user": '
    answer = client.post("/rerank", data=body + "[" * 200_000)
    assert answer.status_code in (400, 422)
    assert answer.get_json()["error"]["code"]
