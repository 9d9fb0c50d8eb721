"""The short road answers what Flask's road answers, to the byte but for ids and times."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.service import ALL_LET_IN, PROGRAM, Running, serving
from support.shop import copy_home

LONG = "X-Anything: at all"  # a field that the short road does not know
TIMES = re.compile(
    rb'Date: [^\r]+|X-Request-Id: [0-9a-f]{16}\r|"id":"[0-9a-f]{32}"|"took_ms":[0-9.]+'
)
LENGTH = re.compile(rb"Content-Length: \d+")  # took_ms may have a digit more


@pytest.fixture(scope="module")
def service(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = copy_home(trained_home, tmp_path_factory.mktemp("road") / "home")
    with serving(home, "--workers", "1", **ALL_LET_IN) as running:
        yield running


class Client:
    """One kept connection, on which bytes are sent as they are."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.received = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, body: bytes, *fields: str, line: str = "POST /rerank HTTP/1.1") -> bytes:
        host = () if any(field.startswith("Host") for field in fields) else ("Host: 127.0.0.1",)
        head = "\r\n".join((line, *host, *fields, f"Content-Length: {len(body)}", "", ""))
        self.socket.sendall(head.encode() + body)
        return self.answer()

    def answer(self) -> bytes:
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, rest = self.received.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
        while len(rest) < length:
            self._more()
            rest = self.received.partition(b"\r\n\r\n")[2]
        self.received = rest[length:]
        return head + b"\r\n\r\n" + rest[:length]

    def _more(self) -> None:
        block = self.socket.recv(1 << 16)
        assert block, self.received
        self.received += block


def untimed(answer: bytes) -> bytes:
    return LENGTH.sub(b"Content-Length: n", TIMES.sub(b"*", answer))


def scores_near(one: bytes, other: bytes) -> bool:
    """`repeat` and `fresh` go by the clock, so that a last digit may have moved between the two."""
    first, second = (json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in (one, other))
    for ours, theirs in zip(first.get("results", []), second.get("results", []), strict=True):
        if ours.keys() != theirs.keys() or ours["id"] != theirs["id"]:
            return False
        if abs(ours.pop("score") - theirs.pop("score")) > 1e-6:
            return False
        ours.pop("explanation", None)
        theirs.pop("explanation", None)
    for answer in (first, second):
        for name in ("id", "took_ms"):
            answer.pop(name, None)
    return bool(first == second)


def head_of(answer: bytes) -> bytes:
    return untimed(answer).partition(b"\r\n\r\n")[0]


ids = st.sampled_from([*(str(number) for number in range(60)), "nowhere", " 7 ", ""])
candidate = st.one_of(
    st.fixed_dictionaries({"id": ids}, optional={"score": st.floats(0, 9), "text": st.just("tea")}),
    st.fixed_dictionaries({"id": st.integers(0, 59)}),
)
bodies = st.fixed_dictionaries(
    {"candidates": st.lists(candidate, max_size=20)},
    optional={
        "query": st.sampled_from(["", "rain jacket", "desk lamp", 17]),
        "user": st.sampled_from(["u1", "u2", "stranger", "", None]),
        "session": st.sampled_from(["s1", None]),
        "top_n": st.sampled_from([0, 1, 5, -1, None]),
        "explain": st.booleans(),
        "personalize": st.booleans(),
        "weights": st.sampled_from([{}, {"near": 0}, {"semantic": 2}, {"nothing": 1}]),
        "blend": st.sampled_from(["default", "another", None]),
        "history": st.sampled_from([[], [{"type": "view", "item": "3"}], None]),
        "budget_ms": st.sampled_from([60_000, None, -1]),
        "time": st.sampled_from([None, "2026-01-01T00:00:00Z"]),
        "strange": st.just(1),
    },
)
fields = st.lists(
    st.sampled_from(
        [
            "Content-Type: application/json",
            "Content-Type: text/plain",
            "User-Agent: a shop",
            "Accept: */*",
            "X-Request-Id: abc-1",
            "X-Request-Id: not sane!",
            "X-Request-Timeout-Ms: 60000",
            "X-Request-Timeout-Ms: soon",
            "Origin: http://elsewhere.example",
            "Sec-Fetch-Site: cross-site",
            "Host: elsewhere.example",
            "Host: localhost",
            "Cookie: a=b",
            "Authorization: Bearer nothing",
            "Content-Encoding: gzip",
        ]
    ),
    max_size=3,
    unique_by=lambda field: field.partition(":")[0],
)


@given(bodies, fields)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_both_roads_say_the_same(service: Running, body: dict[str, Any], sent: list[str]) -> None:
    encoded = json.dumps(body).encode()
    with Client(service.port) as client:
        client.ask(encoded, *sent)  # what is asked for the first time is in nobody's memory
        short, long = client.ask(encoded, *sent), client.ask(encoded, *sent, LONG)
    assert head_of(short) == head_of(long)
    assert untimed(short) == untimed(long) or scores_near(short, long)


def count(service: Running, what: str) -> float:
    text = service.ask("/metrics")[1].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(what))


COUNTED = (
    'reranker_requests_total{route="/rerank",status="200"}',
    'reranker_request_seconds_count{route="/rerank"}',
    "reranker_candidates_count",
)


def test_both_roads_are_counted_alike(service: Running) -> None:
    body = json.dumps({"query": "tea kettle", "candidates": [{"id": "1"}], "user": "u1"}).encode()
    with Client(service.port) as client:
        client.ask(body)
        for more in ((), (LONG,)):
            before = [count(service, name) for name in COUNTED]
            for _ in range(3):
                assert client.ask(body, *more).startswith(b"HTTP/1.1 200")
            after = [count(service, name) for name in COUNTED]
            assert [now - then for now, then in zip(after, before, strict=True)] == [3, 3, 3]


def test_requests_that_come_at_once_are_answered_in_their_order(service: Running) -> None:
    body = json.dumps({"query": "desk lamp", "candidates": [{"id": "1"}]}).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    sent = [
        f"{head}X-Request-Id: r{number}\r\n{LONG if number % 3 == 0 else 'Accept: */*'}\r\n\r\n"
        for number in range(9)
    ]
    with Client(service.port) as client:
        client.ask(body)
        client.socket.sendall(b"".join(one.encode() + body for one in sent))
        named = [re.search(rb"X-Request-Id: (r\d)", client.answer()) for _ in sent]
    assert [match and match[1] for match in named] == [b"r%d" % number for number in range(9)]


def test_keys_and_rates_hold_on_both_roads(
    trained_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = copy_home(trained_home, tmp_path_factory.mktemp("keys") / "home")

    def made(name: str, *args: str) -> str:
        command = [str(PROGRAM), "--home", str(home), "keys", "create", "--name", name, *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    able, unable = made("shop", "--scope", "rerank"), made("other", "--scope", "events")
    slow = made("slow", "--scope", "rerank", "--rate", "1")
    body = json.dumps({"query": "desk lamp", "candidates": [{"id": "1"}]}).encode()
    with serving(home, "--workers", "1", **ALL_LET_IN) as running, Client(running.port) as client:

        def status(*fields: str) -> list[bytes]:
            return [client.ask(body, *fields, *more)[9:12] for more in ((), (LONG,))]

        assert status(f"Authorization: Bearer {able}") == [b"200"] * 2
        assert status(f"Authorization: Bearer {able}") == [b"200"] * 2
        assert status(f"X-Api-Key: {able}") == [b"200"] * 2
        assert status() == [b"401"] * 2
        assert status("Authorization: Bearer wrong") == [b"401"] * 2
        assert status(f"Authorization: Bearer {unable}") == [b"403"] * 2
        # Two may come at once, whichever roads they take; nobody pays twice for one.
        assert status(f"Authorization: Bearer {slow}") == [b"200"] * 2
        assert status(f"Authorization: Bearer {slow}") == [b"429"] * 2
