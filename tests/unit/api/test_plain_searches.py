"""Which requests the short road takes, and that Flask gets all others as if nothing had been."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import copy_home, patient

from service.api.short_road import LATER, ShortAnswer, ShortRoad, short_road
from service.app import create_app

BODY: dict[str, Any] = {
    "query": "rain jacket",
    "candidates": [{"id": f"{number}"} for number in range(30)],
    "user": "u3",
}


class Roads:
    """Both roads to one application."""

    def __init__(self, home: Path) -> None:
        app = create_app(patient(home))
        road = short_road(app)
        assert road is not None
        self.short: ShortRoad = road
        self.long: FlaskClient = app.test_client()

    def ask(self, body: Any = BODY, **fields: str) -> ShortAnswer | None:
        """By the short road."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"HOST": "127.0.0.1", "CONTENT_LENGTH": str(len(sent)), **fields}
        listed = [(name.replace("_", "-"), value) for name, value in named.items() if value]
        answer = self.short.answer(listed, sent, time.perf_counter())
        assert answer is None or isinstance(answer, ShortAnswer)
        return answer

    def ask_or_wait(self, body: Any, again: Callable[[], object]) -> object:
        """The same of whoever can ask again."""
        fields = [("HOST", "127.0.0.1"), ("CONTENT-TYPE", "application/json")]
        return self.short.answer(fields, json.dumps(body).encode(), time.perf_counter(), again)


@pytest.fixture(scope="module")
def roads(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Roads:
    made = Roads(copy_home(trained_home, tmp_path_factory.mktemp("roads") / "home"))
    assert made.long.post("/rerank", json=BODY).status_code == 200
    return made


def test_a_plain_search_of_which_all_is_at_hand_takes_it(roads: Roads) -> None:
    answer = roads.ask()
    assert answer is not None and answer.caller is None
    head, _, body = answer.content.partition(b"\r\n\r\n")
    flask = roads.long.post("/rerank", json=BODY)
    ours = json.loads(body)
    assert [one["id"] for one in ours["results"]] == [
        one["id"] for one in flask.get_json()["results"]
    ]
    assert ours.keys() == flask.get_json().keys()
    assert f"Content-Length: {len(body)}".encode() in head
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n")]
    assert names == [name for name, _ in flask.headers]


@pytest.mark.parametrize(
    "fields",
    [
        {"ORIGIN": "http://elsewhere.example"},
        {"SEC_FETCH_SITE": "cross-site"},
        {"REFERER": "http://elsewhere.example/"},
        {"COOKIE": "a=b"},
        {"CONTENT_ENCODING": "gzip"},
        {"CONTENT_TYPE": "text/plain"},
        {"EXPECT": "100-continue"},
        {"TRANSFER_ENCODING": "chunked"},
        {"HOST": "elsewhere.example"},
        {"HOST": ""},
        {"X_ANYTHING": "1"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_unusual_goes_to_flask(roads: Roads, fields: dict[str, str]) -> None:
    assert roads.ask(**fields) is None


def test_a_field_that_comes_twice_goes_to_flask(roads: Roads) -> None:
    sent = json.dumps(BODY).encode()
    twice = [("HOST", "127.0.0.1"), ("X-API-KEY", "a"), ("X-API-KEY", "b")]
    assert roads.short.answer(twice, sent, time.perf_counter()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"candidates": [], "strange": 1}',
        b'{"candidates": [{"id": "1"}, {"id": "1"}]}',
        b'{"inputs": "TEI", "texts": ["a"]}',
        {**BODY, "query": "not asked for before"},
        {**BODY, "weights": {"nothing": 1}},
    ],
)
def test_what_is_wrong_or_new_goes_to_flask(roads: Roads, body: Any) -> None:
    assert roads.ask(body) is None


def test_what_goes_to_flask_is_not_counted_before(roads: Roads) -> None:
    def answered() -> str:
        lines = roads.long.get("/metrics").text.splitlines()
        return "".join(
            line for line in lines if line.startswith("reranker_requests") and 'rerank"' in line
        )

    before = answered()
    for body in (b"no JSON", {**BODY, "query": "never"}):
        assert roads.ask(body) is None
    assert answered() == before
    assert roads.ask() is not None
    assert answered() != before


def test_a_new_query_is_encoded_while_nobody_waits(roads: Roads) -> None:
    new = {**BODY, "query": "a query that nobody asked before"}
    encoded = threading.Event()
    assert roads.ask(new) is None, "who cannot ask again gets Flask's answer"
    assert roads.ask_or_wait(new, encoded.set) is LATER
    assert encoded.wait(60)
    answer = roads.ask_or_wait(new, encoded.set)
    assert isinstance(answer, ShortAnswer)
    flask = roads.long.post("/rerank", json=new).get_json()
    ours = json.loads(answer.content.partition(b"\r\n\r\n")[2])
    assert ours["results"] == flask["results"]


def test_only_a_query_is_waited_for(roads: Roads) -> None:
    new = {**BODY, "query": "another that nobody asked before"}
    for more in ({"history": [{"type": "view", "item": "3"}]}, {"blend": "none of this name"}):
        assert roads.ask_or_wait({**new, **more}, lambda: None) is None
    assert roads.ask_or_wait({**new, "user": 3.5, "candidates": [1]}, lambda: None) is None
