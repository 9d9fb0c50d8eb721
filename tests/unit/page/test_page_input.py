"""Whatever is sent to the page: an answer of the one shape, never a failure, never a lost job."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.page import CALLBACK, call, sent, wait_for
from support.shop import copy_home

from indexes.workspace import Workspace
from service.app import create_app
from service.live.jobs import Jobs


@pytest.fixture(scope="module")
def page(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A page whose home holds two blends and a job that failed, and no request set: nothing can be
    started."""
    home = copy_home(shop_home, tmp_path_factory.mktemp("fuzzed") / "home")
    jobs = Jobs(Workspace(home))
    wait_for(jobs, jobs.start("evaluate", "none", {}, ["evaluate", "--requests", "no.jsonl"]))
    wait_for(jobs, jobs.start("tune", "none", {}, ["blends", "list", "--json"]))
    yield create_app(Workspace(home)).test_client()


@pytest.fixture(scope="module")
def callbacks(page: FlaskClient) -> list[dict[str, Any]]:
    """Those that the server answers, as a browser reads them."""
    found = page.get("/_dash-dependencies").get_json()
    return [one for one in found if not one["clientside_function"]]


WORDS = (
    *("", "search", "shoppers", "base", "compare", "blends", "system", "set"),
    *("default", "default@1", "engine", "x"),
    *("data/requests.jsonl.gz", "../x.jsonl", "x.jsonl", "a\0b", "\n", "é", "a" * 600, "NaN"),
    *("blends/default", "default@99999999999999999999", "@", "lamp", "1", "u\u2028"),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([10**30, -(2**63), 1e308, 0.5])
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
KEYS = st.sampled_from(
    ["a", "ids", "label", "query", "user", "history", "request", "candidates", "set", "blend", "id"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
CASES = st.fixed_dictionaries(
    {"query": st.sampled_from(WORDS)},
    optional={
        "user": st.sampled_from(WORDS),
        "set": st.sampled_from(WORDS) | st.none(),
        "request": st.sampled_from(WORDS) | st.none(),
        "blend": st.sampled_from(WORDS) | st.none(),
        "history": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["view", "cart", "x", ""])},
                optional={
                    "item": st.sampled_from(["1", "none", "\0"]),
                    "query": st.sampled_from(WORDS),
                    "time": st.sampled_from(["2026-11-01T00:00:00Z", "x", 0, 1e18, -1, None]),
                },
            ),
            max_size=3,
        ),
    },
)
MATRICES = st.fixed_dictionaries(
    {
        "history": st.just([1]),
        "request": st.fixed_dictionaries(
            {"candidates": st.just([{"id": "1"}, {"id": "2"}])},
            optional={"history": CASES.map(lambda case: case.get("history", []))},
        ),
    }
)
SHOPPERS = st.fixed_dictionaries(
    {"user": st.sampled_from(WORDS)},
    optional={
        "edits": st.fixed_dictionaries(
            {"added": CASES.map(lambda case: case.get("history", []))},
            optional={
                "emptied": st.booleans(),
                "without": st.lists(st.sampled_from(WORDS), max_size=2),
            },
        )
    },
)
NEAR = (
    VALUES
    | CASES
    | SHOPPERS
    | MATRICES
    | st.sampled_from(
        [
            {"a": "1"},
            {"ids": ["default@1"]},
            {"ids": ["default@1", 1]},
            [{"label": "default@1"}],
            [{"label": "a\0"}],
            [[0.0, 1.0, 2.0]],
            [[1e308, -1e308, 1e308]] * 3,
            [[1]],
            "data:x;base64,e30=",
            "data:x;base64,H4sIAA==",
        ]
    )
)
LENIENT = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_every_callback_takes_what_the_browser_sends_first(
    page: FlaskClient, callbacks: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(callbacks) > 12
    for callback in callbacks:
        inputs, state = [None] * len(callback["inputs"]), [None] * len(callback["state"])
        assert sent(page, json.dumps(call(callback, inputs, state)), caplog) in (200, 204), callback
        for tab in ("search", "shoppers", "base", "compare", "blends", "system"):
            shown = [tab if one["id"] == "tabs" else None for one in callback["inputs"]]
            status = sent(page, json.dumps(call(callback, shown, state)), caplog)
            assert status in (200, 204), (callback, tab)


@LENIENT
@given(data=st.data())
def test_no_value_makes_a_callback_fail(
    page: FlaskClient,
    callbacks: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    data: st.DataObject,
) -> None:
    callback = data.draw(st.sampled_from(callbacks))
    many = [len(callback["inputs"]), len(callback["state"])]
    inputs, state = (data.draw(st.lists(NEAR, min_size=n, max_size=n)) for n in many)
    body = call(callback, inputs, state, data.draw(st.integers(0, 3)))
    status = sent(page, json.dumps(body), caplog)
    assert status in (200, 204, 400, 409, 422)


@LENIENT
@given(data=st.data())
def test_no_body_makes_the_page_fail(
    page: FlaskClient,
    callbacks: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    data: st.DataObject,
) -> None:
    """A call one of whose parts is another, or any JSON at all."""
    if data.draw(st.booleans()):
        callback = data.draw(st.sampled_from(callbacks))
        count = len(callback["inputs"]), len(callback["state"])
        body: Any = call(callback, [None] * count[0], [None] * count[1])
        key = data.draw(st.sampled_from([*body, "other"]))
        if data.draw(st.booleans()):
            body.pop(key, None)
        else:
            body[key] = data.draw(VALUES | st.lists(VALUES, max_size=8))
    else:
        body = data.draw(VALUES)
    sent(page, json.dumps(body), caplog)


@pytest.mark.promise(22)
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"null", b"1", b'"x"', b"{", b"\xff", b'"\\ud800"', b"NaN"),
        *(b"[" * 100_000, b"[" * 40 + b"]" * 40, b'{"output":' * 500 + b"1" + b"}" * 500),
        *(b"1e999", b'{"output":[]}', b'{"output":"matrix.data","inputs":5}'),
        b'{"output":"no.such","outputs":[],"inputs":[]}',
        b'{"output":"address.data","outputs":{"id":"address","property":"data"},"inputs":[]}',
    ],
)
def test_what_is_no_call_is_refused(
    page: FlaskClient, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    assert sent(page, body, caplog) in (400, 422)


class Broken:
    """A body whose sender hangs up, or sends broken chunks."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def read(self, *_: int) -> bytes:
        raise self._error("invalid chunk")

    readline = read


@pytest.mark.parametrize("kind", [OSError, ValueError])
@pytest.mark.parametrize("size", [None, 10])
def test_a_body_that_does_not_arrive_whole_is_no_failure(
    page: FlaskClient, caplog: pytest.LogCaptureFixture, size: int | None, kind: type[Exception]
) -> None:
    environ: dict[str, Any] = {"wsgi.input": Broken(kind), "wsgi.input_terminated": size is None}
    environ |= {"CONTENT_LENGTH": str(size)} if size else {"HTTP_TRANSFER_ENCODING": "chunked"}
    answer = page.post(CALLBACK, environ_overrides=environ, content_type="application/json")
    assert answer.status_code == 400 and answer.get_json()["error"]["message"]
    assert caplog.records == []


def test_a_body_that_is_too_long_is_refused(page: FlaskClient) -> None:
    body = b'"' + b"x" * (8 * 1024 * 1024) + b'"'
    assert page.post(CALLBACK, data=body, content_type="application/json").status_code == 413


def test_another_content_type_is_refused(page: FlaskClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert page.post(CALLBACK, data=b"{}", content_type=kind).status_code == 415


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "x", "dash/../../x", "dash/x.js", "nope/x.js", "dash/%00", "%00/x", "dash/"),
        *("dash/dcc/", "dash/" + "a" * 5000, "dash/dcc/..%2f..%2fdash.py", "plotly/x/"),
    ],
)
def test_no_other_file_is_handed_out(
    page: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    for folder in ("/_dash-component-suites/", "/assets/"):
        answer = page.get(folder + path)
        assert answer.status_code == 404, path
        assert answer.get_json()["error"]["code"] == "not_found"
    assert caplog.records == []


def test_what_was_not_foreseen_is_logged_once_with_its_request(
    own_home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(Workspace(own_home)).test_client()
    client.get("/")
    histories = type(client.application.extensions["served"].histories)
    monkeypatch.setattr(histories, "users", lambda _self: 1 / 0)
    body = {
        "output": "user.data",
        "outputs": {"id": "user", "property": "data"},
        "inputs": [{"id": "url", "property": "pathname", "value": "/"}],
        "changedPropIds": ["url.pathname"],
    }
    answer = client.post(CALLBACK, json=body)
    assert answer.status_code == 500
    assert answer.get_json()["error"]["code"] == "internal_error"
    assert "division" not in answer.text and answer.headers["X-Request-Id"]
    [line] = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert line.exc_info and line.name == "reranker"
