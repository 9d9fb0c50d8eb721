"""Liveness, readiness that really re-ranks, and metrics whose labels stay few."""

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.shop import broken_index

from indexes.workspace import Workspace
from service.app import create_app, served


@pytest.mark.promise(33)
def test_ready_names_versions_and_items(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    found = answer.get_json()
    assert found["status"] == "ready" and found["items"] == 60
    assert found["versions"]["index"].startswith("0001-")


@pytest.mark.promise(33)
def test_not_ready_when_the_index_cannot_be_read(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["served"], "state", broken_index(served(app).state))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "not_ready"
    assert client.get("/livez").status_code == 200


def test_metrics_have_no_user_query_or_item_and_few_series(shop_home: Path) -> None:
    app = create_app(Workspace(shop_home))
    client = app.test_client()
    for number in range(50):
        body = {
            "query": "secretquery" + "x" * number,  # digits would be a model number
            "user": f"secretuser{number}",
            "candidates": [{"id": f"secretitem{number}"}, {"id": "1"}],
        }
        assert client.post("/rerank", json=body).status_code == 200
        client.get(f"/secretpath{number}")
        client.post("/rerank", json={"candidates": [], "blend": f"secretblend{number}"})
    text = client.get("/metrics").text
    assert "secret" not in text
    assert 'reranker_requests_total{route="unmatched",status="404"} 50.0' in text
    assert 'reranker_requests_total{route="/rerank",status="422"} 50.0' in text
    assert re.search(
        r'reranker_degraded_total\{reason="not_in_index",signal="semantic"\} 50\.0', text
    )
    assert "reranker_candidates_count 50.0" in text
    for stage in ("read", "signals", "query_vector", "blend", "results", "write"):
        assert f'reranker_stage_seconds_count{{stage="{stage}"}}' in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < 220
