"""page.py: the page's jobs and callbacks, as tests ask for them."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import patient

from service.api.requests import RequestReader
from service.http.settings import LimitSettings
from service.live.jobs import Jobs
from service.live.reload import Served
from service.observability.prometheus import Metrics
from service.page.parts.context import Applications, Page

CALLBACK = "/_dash-update-component"
NUL = "ndcg@10\0"

LINE = '{"id": "a", "query": "lamp", "candidates": [{"id": "1"}], "ratings": {"1": 1}}\n'


def page_of(home: Path) -> Page:
    """What the page's callbacks read, without the routes."""
    workspace, metrics, limits = patient(home), Metrics(), LimitSettings()
    served = Served(workspace, metrics)
    applications = Applications.of(served, RequestReader.of(workspace), limits)
    return Page(workspace, served, limits, metrics, applications)


def wait_for(jobs: Jobs, job_id: str) -> Any:
    until = time.monotonic() + 300
    while jobs.job(job_id).state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    return jobs.job(job_id)


def parts_of(declared: list[dict[str, Any]], values: list[Any]) -> list[Any]:
    """The inputs or states of a call; those of a pattern are a list."""
    return [
        [{"id": _matched(one["id"]), "property": one["property"], "value": value}]
        if one["id"].startswith("{")
        else {"id": one["id"], "property": one["property"], "value": value}
        for one, value in zip(declared, values, strict=True)
    ]


def _matched(pattern: str) -> dict[str, Any]:
    """The id of a component that a pattern means: a name wherever it takes any."""
    parts: dict[str, Any] = json.loads(pattern)
    return {key: "x" if isinstance(value, list) else value for key, value in parts.items()}


def outputs_of(output: str) -> Any:
    names = output.strip(".").split("...")
    parts = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
    return parts if output.startswith("..") else parts[0]


def call(callback: dict[str, Any], inputs: list[Any], state: list[Any], changed: int = 0) -> Any:
    sent = parts_of(callback["inputs"], inputs)
    one = sent[changed % len(sent)]
    first = one[0] if isinstance(one, list) else one
    name = first["id"]
    if isinstance(name, dict):
        name = json.dumps(name, sort_keys=True, separators=(",", ":"))
    return {
        "output": callback["output"],
        "outputs": outputs_of(callback["output"]),
        "inputs": sent,
        "state": parts_of(callback["state"], state),
        "changedPropIds": [f"{name}.{first['property']}"],
    }


def sent(page: FlaskClient, body: bytes | str, caplog: pytest.LogCaptureFixture) -> int:
    """The status; every refusal has the one shape, and nothing is logged as a failure."""
    caplog.clear()
    answer = page.post(CALLBACK, data=body, content_type="application/json")
    assert answer.status_code < 500, (body, answer.text)
    if answer.status_code >= 400:
        error = answer.get_json()["error"]
        assert error["code"] and error["message"] and "Traceback" not in answer.text
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []
    return answer.status_code
