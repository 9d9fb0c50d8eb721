"""POST /rerank as a search backend meets it: the order, the arithmetic, and what never changes."""

import math
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.shop import Rerank, broken_index

from service.app import served

KNOWN = [str(number) for number in range(60)]


def test_results_come_back_in_a_better_order_with_versions(rerank: Rerank) -> None:
    body = {"query": "shoes for running", "candidates": [{"id": i} for i in ("40", "15", "1", "0")]}
    answer = rerank(body)
    assert {result["id"] for result in answer["results"][:2]} == {"0", "1"}  # the shoes
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4]
    assert all(body["candidates"][r["index"]]["id"] == r["id"] for r in answer["results"])
    assert answer["blend"]["name"] == "default"
    assert answer["versions"]["index"].startswith("0001-")
    assert answer["degraded"] == []
    assert answer["took_ms"] > 0


@pytest.mark.parametrize(
    "who",
    [
        {"user": "u42"},
        {"session": "s1"},
        {"history": [{"type": "view", "item": "17", "time": "2026-11-23T10:00:00Z"}]},
    ],
)
def test_who_is_named_is_told_that_there_is_no_model(rerank: Rerank, who: dict[str, Any]) -> None:
    body = {"query": "lamp", "candidates": [{"id": i} for i in KNOWN[:20]]}
    nobody, named = rerank(body), rerank(body | who)
    assert named["degraded"] == [{"signal": "behaviour", "reason": "no_model"}]
    assert named["results"] == nobody["results"] and nobody["degraded"] == []
    assert rerank(body | who | {"personalize": False})["degraded"] == []
    assert rerank(body | who | {"candidates": []})["degraded"] == []


def test_every_answer_has_its_own_id_and_ids_grow_with_time(rerank: Rerank) -> None:
    ids = [rerank({"candidates": []})["id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert [i[:12] for i in ids] == sorted(i[:12] for i in ids)


def test_no_candidates_are_a_normal_search_without_results(rerank: Rerank) -> None:
    assert rerank({"query": "nothing like it", "candidates": []})["results"] == []


@pytest.mark.promise(4)
def test_explain_is_the_arithmetic_of_the_score(rerank: Rerank) -> None:
    answer = rerank(
        {"query": "red lamp", "candidates": [{"id": i} for i in KNOWN[:30]], "explain": True}
    )
    for result in answer["results"]:
        parts = result["explanation"]["contributions"]
        assert math.isclose(sum(parts.values()), result["score"], abs_tol=1e-9)
        for name, signal in result["explanation"]["signals"].items():
            product = signal["weight"] * signal["normalised"]
            assert math.isclose(product, parts[name], abs_tol=1e-9)
    assert "explanation" not in rerank({"query": "lamp", "candidates": [{"id": "1"}]})["results"][0]


def test_weights_multiply_contributions(rerank: Rerank) -> None:
    body = {"query": "coffee", "candidates": [{"id": i} for i in KNOWN[:20]], "explain": True}
    plain, halved = rerank(body), rerank({**body, "weights": {"semantic": 0.5}})
    of = {r["id"]: r["explanation"]["contributions"]["semantic"] for r in plain["results"]}
    for result in halved["results"]:
        found = result["explanation"]["contributions"]["semantic"]
        assert math.isclose(found, 0.5 * of[result["id"]], abs_tol=1e-9)


def test_the_body_may_have_any_content_type_and_none(client: FlaskClient) -> None:
    body = b'{"candidates": [{"id": "1"}]}'
    for content_type in (
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        None,
    ):
        answer = client.post("/rerank", data=body, content_type=content_type)
        assert answer.status_code == 200, content_type


def test_a_sane_request_id_is_echoed_and_no_other(client: FlaskClient) -> None:
    assert client.get("/livez", headers={"X-Request-Id": "a-1"}).headers["X-Request-Id"] == "a-1"
    made = client.get("/livez", headers={"X-Request-Id": "a b<c>"}).headers["X-Request-Id"]
    assert len(made) == 16 and int(made, 16) >= 0


@pytest.mark.promise(1)
@pytest.mark.promise(5)
def test_when_the_core_breaks_the_engines_order_is_answered(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_anything: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("reranker.ranking.deadlines.rerank", fail)
    sent = [{"id": "5"}, {"id": "0"}, {"id": "9"}]
    answer = client.post(
        "/rerank", json={"query": "shoes", "candidates": sent, "explain": True, "top_n": 2}
    )
    assert answer.status_code == 200
    found = answer.get_json()
    assert [result["id"] for result in found["results"]] == ["5", "0"]
    assert found["degraded"] == [{"signal": "all", "reason": "internal_error"}]
    for result in found["results"]:
        assert sum(result["explanation"]["contributions"].values()) == result["score"]
    metrics = client.get("/metrics").text
    assert 'reranker_degraded_total{reason="internal_error",signal="all"}' in metrics


@pytest.mark.promise(1)
@pytest.mark.promise(5)
def test_signals_that_fail_are_named_and_the_engine_stays(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["served"], "state", broken_index(served(app).state))
    sent = [{"id": "5", "score": 3.0}, {"id": "0", "score": 2.0}, {"id": "9", "score": 1.0}]
    found = client.post("/rerank", json={"query": "shoes", "candidates": sent}).get_json()
    assert [result["id"] for result in found["results"]] == ["5", "0", "9"]
    assert [result["score"] for result in found["results"]] == [
        1.0,
        0.5,
        0.0,
    ]  # what is left still ranks
    lost = {part["signal"] for part in found["degraded"]}
    assert lost == {"semantic", "match", "available", "coverage", "guards"}
    assert {part["reason"] for part in found["degraded"]} == {"internal_error"}


@pytest.mark.promise(2)
def test_the_same_request_gives_the_same_results(rerank: Rerank) -> None:
    body = {"query": "blue kettle", "candidates": [{"id": i} for i in KNOWN], "explain": True}
    assert rerank(body)["results"] == rerank(body)["results"]


@pytest.mark.parametrize(
    "time", [0, 2026, 45000.41, "2099-01-01T00:00:00Z", "yesterday", "2026-W48"]
)
def test_a_time_that_is_none_is_refused(client: FlaskClient, time: object) -> None:
    answer = client.post("/rerank", json={"candidates": [{"id": "1"}], "time": time})
    assert answer.status_code == 422
    assert answer.get_json()["error"]["field"] == "time"
    assert answer.get_json()["error"]["message"].startswith("time is ")


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_a_time_is_read_in_every_unit(client: FlaskClient, unit: float) -> None:
    answer = client.post("/rerank", json={"candidates": [{"id": "1"}], "time": 1.7e9 * unit})
    assert answer.status_code == 200


def test_the_type_of_an_event_is_at_most_as_long_as_a_name(client: FlaskClient) -> None:
    """One that the shop does not have is left out and counted; an endless one is refused."""
    for kind, status in (("k" * 512, 200), ("k" * 513, 422)):
        sent = {"candidates": [], "history": [{"type": kind, "item": "1"}]}
        answer = client.post("/rerank", json=sent)
        assert answer.status_code == status
    assert answer.get_json()["error"]["field"] == "history[0].type"
