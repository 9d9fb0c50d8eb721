"""Logs: one line each, with the request's id, and nothing of a shopper unless it is asked for."""

import io
import json
import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.service import command, environment, serving

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore
from service.app import create_app
from service.observability.logs import MOST, JsonLines, TextLines, writes_json
from service.observability.request_ids import answering, trace_id
from service.observability.settings import LogSettings

log = logging.getLogger("reranker")
BODY = {
    "query": "secretquery shoes",
    "user": "secretuser",
    "session": "secretsession",
    "history": [{"type": "view", "item": "secretitem"}, {"type": "search", "query": "secretpast"}],
    "candidates": [{"id": "secretitem"}, {"id": "1"}, {"id": "2"}],
}
KEY = {"Authorization": "Bearer secretkey"}


@contextmanager
def lines_of(chosen: LogSettings) -> Iterator[Callable[[], list[str]]]:
    """What our logger writes meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    kind = JsonLines if writes_json(chosen, terminal=True) else TextLines
    handler.setFormatter(kind(chosen))
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield lambda: stream.getvalue().splitlines()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def app_with(home: Path, chosen: LogSettings) -> Flask:
    return create_app(Workspace(home, {LogSettings: chosen}))


def access(home: Path, **chosen: Any) -> tuple[FlaskClient, LogSettings]:
    logs = LogSettings(format="json", access=True, **chosen)
    return app_with(home, logs).test_client(), logs


def test_an_access_line_says_how_and_not_who_or_what(shop_home: Path) -> None:
    client, chosen = access(shop_home)
    with lines_of(chosen) as written:
        answer = client.post("/rerank", json=BODY, headers={"X-Request-Id": "r-1", **KEY})
        (line,) = written()
    row = json.loads(line)
    assert row["message"] == "request" and row["level"] == "info"
    assert (row["request_id"], row["route"], row["method"]) == ("r-1", "/rerank", "POST")
    assert (row["status"], row["candidates"]) == (200, 3)
    assert row["blend"] == "default@1" and row["versions"] == answer.get_json()["versions"]
    assert "semantic:not_in_index" in row["degraded"]
    assert row["ms"] > 0 and row["time"].endswith("Z")
    assert "secret" not in line


def test_setting_access(shop_home: Path) -> None:
    chosen = LogSettings(format="json")
    client = app_with(shop_home, chosen).test_client()
    with lines_of(chosen) as written:
        client.post("/rerank", json=BODY)
        client.get("/secretpath")
        assert written() == []


def test_setting_queries(shop_home: Path) -> None:
    client, chosen = access(shop_home, queries=True)
    with lines_of(chosen) as written:
        client.post("/rerank", json=BODY, headers=KEY)
        (line,) = written()
    assert json.loads(line)["query"] == BODY["query"]
    assert set(re.findall(r"secret\w+", line)) == {"secretquery"}  # and nothing else


def broken(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-ranking fails with an exception that quotes what was sent."""

    def fail(asked: Any, _state: Any, *_more: Any) -> None:
        raise KeyError(f"{asked.user} looked for {asked.query}\n" + "level=" + "fatal")

    monkeypatch.setattr("reranker.ranking.deadlines.rerank", fail)


@pytest.mark.promise(29)
@pytest.mark.parametrize("kind", ["json", "text"])
def test_an_exception_is_logged_without_what_a_shopper_sent(
    kind: Any, shop_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = LogSettings(format=kind)
    app = app_with(shop_home, chosen)
    broken(app, monkeypatch)
    with lines_of(chosen) as written:
        answer = app.test_client().post("/rerank", json=BODY)
        assert answer.status_code == 200
        lines = written()
    whole = "\n".join(lines)
    assert "secret" not in whole and "level=fatal" not in whole
    assert "KeyError" in whole and "in fail" in whole  # its type and its place are
    assert answer.headers["X-Request-Id"] in lines[0]
    if kind == "json":
        (line,) = lines
        assert json.loads(line)["exception"]["type"] == "KeyError"
        assert "Traceback" in line or 'File \\"' in line


def test_setting_exception_texts(shop_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = LogSettings(format="json", exception_texts=True)
    app = app_with(shop_home, chosen)
    broken(app, monkeypatch)
    with lines_of(chosen) as written:
        app.test_client().post("/rerank", json=BODY)
        (line,) = written()
    assert "secretuser looked for" in json.loads(line)["exception"]["traceback"]


def test_every_answer_has_a_request_id(shop_home: Path) -> None:
    client = app_with(shop_home, LogSettings()).test_client()
    for method, path, body, status in (
        ("GET", "/livez", None, 200),
        ("GET", "/nowhere", None, 404),
        ("GET", "/rerank", None, 405),
        ("POST", "/rerank", "{", 400),
        ("POST", "/rerank", '{"candidates": 1}', 422),
        ("POST", "/rerank", " " * (8 << 20) + "{}", 413),
    ):
        answer = client.open(path, method=method, data=body)
        assert answer.status_code == status
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
    assert answering.get() is None


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736", False),
        ("", False),
    ],
)
def test_a_traceparent_is_named_in_the_lines(sent: str, found: bool, shop_home: Path) -> None:
    assert trace_id(sent) == ("4bf92f3577b34da6a3ce929d0e0e4736" if found else None)
    client, chosen = access(shop_home)
    with lines_of(chosen) as written:
        client.get("/livez", headers={"traceparent": sent})
        assert ("trace_id" in json.loads(written()[0])) == found


def test_requests_beside_each_other_keep_their_own_ids(shop_home: Path) -> None:
    client, chosen = access(shop_home)
    app = client.application

    def ask(name: str) -> None:
        own = app.test_client()
        for _ in range(20):
            own.post("/rerank", json={"candidates": [{"id": name}]}, headers={"X-Request-Id": name})

    with lines_of(chosen) as written:
        threads = [threading.Thread(target=ask, args=(f"t{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = [json.loads(line)["request_id"] for line in written()]
    assert {name: ids.count(name) for name in set(ids)} == {f"t{number}": 20 for number in range(4)}


def record(message: str, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    one = logging.LogRecord("reranker", logging.ERROR, "f.py", 1, "%s", (message,), info)
    one.fields = fields
    return one


ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\x1b\x00"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters() | st.sampled_from(ENDS)), st.text(max_size=20))
def test_nobody_can_begin_a_line_of_the_log(sent: str, other: str) -> None:
    error = OSError(sent)  # of these the text is shown
    for one in (record(sent, degraded=[other]), record(other, error, blend=sent)):
        line = JsonLines(LogSettings()).format(one)
        assert len(line.splitlines()) == 1 and json.loads(line)["level"] == "error"
        assert len(line.encode()) <= MOST
        text = TextLines(LogSettings()).format(one)
        first, *rest = text.split("\n")
        assert not set(text) & (set(ENDS) - {"\n"})
        assert re.match(r"\d\d:\d\d:\d\d error", first)
        assert all(part.startswith("    ") for part in rest)


def test_a_long_traceback_keeps_its_newest_end_and_fits_a_pipe() -> None:
    def deeper(left: int) -> None:
        if left:
            deeper_by_another_name(left - 1)
        raise OSError("the end")

    def deeper_by_another_name(left: int) -> None:
        deeper(left)

    try:
        deeper(60)
    except OSError as error:
        one = record("m" * 5000, error, text="x" * 9000)
        one.exc_info = (type(error), error, error.__traceback__)
        line = JsonLines(LogSettings()).format(one)
    assert len(line.encode()) <= MOST
    assert "OSError: the end" in json.loads(line)["exception"]["traceback"]


def test_outside_of_requests_exceptions_say_all(shop_home: Path) -> None:
    try:
        raise ValueError("no such number")
    except ValueError as error:
        line = JsonLines(LogSettings()).format(record("m", error))
    assert "no such number" in line


def test_auto_is_json_unless_a_person_looks() -> None:
    assert writes_json(LogSettings(), terminal=False)
    assert not writes_json(LogSettings(), terminal=True)
    assert writes_json(LogSettings(format="json"), terminal=True)
    assert not writes_json(LogSettings(format="text"), terminal=False)


def test_every_line_of_a_running_service_is_json(own_home: Path) -> None:
    chosen = {"RERANKER_LOGS_ACCESS": "true", "RERANKER_LOGS_LEVEL": "debug"}
    with serving(own_home, "--workers", "1", **chosen) as service:
        for path, body in (("/livez", None), ("/rerank", BODY), ("/nowhere", None)):
            service.ask(path, body)
        service.stop()
        assert service.process.stderr is not None
        lines = service.process.stderr.read().splitlines()
    rows = [json.loads(line) for line in lines]
    asked = [row for row in rows if row["message"] == "request"]
    assert [row["route"] for row in asked] == ["/livez", "/rerank", "unmatched"]
    assert not [line for line in lines if "secret" in line]


def test_setting_format(tmp_path: Path) -> None:
    """With json a service that cannot start says so in JSON, too."""
    done = subprocess.run(
        command(tmp_path / "none"),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(RERANKER_LOGS_FORMAT="json"),
    )
    assert done.returncode == 1 and done.stdout == ""
    (row,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert row["level"] == "error" and "reranker rebuild" in row["message"]


def test_setting_level(own_home: Path) -> None:
    """A newly published blend is news, and no warning."""
    for level, said in (("info", True), ("warning", False)):
        chosen = {"RERANKER_LOGS_LEVEL": level, "RERANKER_RELOAD_SECONDS": "0.05"}
        with serving(own_home, "--workers", "1", **chosen) as service:
            before = json.loads(service.ask("/readyz")[1])["blend"]
            BlendStore(own_home / "blends").save(DEFAULT, publish=True)
            while json.loads(service.ask("/readyz")[1])["blend"] == before:
                pass
            time.sleep(0.1)
            service.stop()
            assert service.process.stderr is not None
            assert ("now serving" in service.process.stderr.read()) == said
