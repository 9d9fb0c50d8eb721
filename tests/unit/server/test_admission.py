"""The gate before the threads: who waits, who hears 503, and how slow senders are kept apart."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import Running, serving
from support.shop import copy_home
from support.waiting import wait_until

from service.server.admission import Admission
from service.server.settings import AdmissionSettings

BODY = {"query": "coffee maker", "candidates": [{"id": f"{number}"} for number in range(60)]}


def test_what_waits_is_counted_in_candidates_and_seconds() -> None:
    now = 0.0
    chosen = AdmissionSettings(wait_ms=30, requests=4, candidates=4000)
    gate = Admission(chosen, lambda: now)
    assert gate.admit(20_000), "whoever comes to an empty service is let in"
    assert not gate.admit(1), "more than 4000 candidates are inside, and the speed is not known"
    now = 1.0
    gate.done(20_000)
    assert all(gate.admit(1000) for _ in range(4)), "four with a thousand each are normal"
    assert not gate.admit(1000)
    assert (gate.requests, gate.candidates, gate.admitted, gate.refused) == (4, 4000, 5, 2)
    for _ in range(4):
        now += 0.001
        gate.done(1000)
    # 24,000 candidates and five requests took 1.004 s: at that speed 30 ms are about 730.
    few = [gate.admit(10) for _ in range(40)]
    assert 4 <= sum(few) <= 8
    assert gate.wait() > 0.03
    now += 0.3  # they come faster than they go: this is no burst any more
    while gate.requests > 2:
        gate.done(10)
    gate._speed = 1.0  # a hundred seconds a request
    assert not gate.admit(10), "half of 4 are inside"
    gate.done(10)
    assert gate.admit(10)


def test_admission_wait_ms_requests_and_candidates() -> None:
    for chosen, expected in (
        ({"requests": 2}, 2),
        ({"requests": 100, "candidates": 500}, 5),
    ):
        gate = Admission(AdmissionSettings(**{"wait_ms": 1e-9, **chosen}))
        assert sum(gate.admit(100) for _ in range(50)) == expected
    waits = []
    for wait_ms in (20, 200):
        now = [0.0]
        gate = Admission(AdmissionSettings(wait_ms=wait_ms, requests=1), lambda now=now: now[0])
        gate.admit(100)
        now[0] = 0.2  # a request of 100 candidates takes 200 ms
        gate.done(100)
        waits.append(sum(gate.admit(100) for _ in range(5)))
    assert waits == [1, 2]


@pytest.fixture(scope="module")
def service(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = copy_home(trained_home, tmp_path_factory.mktemp("admission") / "home")
    with serving(home, "--workers", "1", RERANKER_LIMITS_ARRIVAL_SECONDS="600") as running:
        yield running


def at_once(service: Running, bodies: list[bytes]) -> list[tuple[int, bytes, dict[str, str]]]:
    """All requests at the same moment, each on its own connection."""
    connections = [socket.create_connection(("127.0.0.1", service.port), 30) for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
    found = []
    for connection in connections:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        found.append((answer.status, answer.read(), dict(answer.getheaders())))
        connection.close()
    return found


@pytest.mark.promise(16)
def test_sixteen_requests_of_a_thousand_candidates_pass(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(1000)]}
    answers = at_once(service, [json.dumps(many).encode()] * 16)
    assert [status for status, _, _ in answers] == [200] * 16


@pytest.mark.promise(16)
def test_beyond_that_the_rest_hears_503_at_once_and_the_connection_lives(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(2000)]}
    answers = at_once(service, [json.dumps(many).encode()] * 60)
    refused = [(body, headers) for status, body, headers in answers if status == 503]
    assert {status for status, _, _ in answers} == {200, 503} and len(refused) < 60
    for body, headers in refused:
        assert json.loads(body)["error"]["code"] == "overloaded"
        assert int(headers["Retry-After"]) >= 1
    assert service.ask("/rerank", BODY)[0] == 200
    counted = f'reranker_admission_total{{outcome="refused"}} {len(refused)}.0'
    wait_until(lambda: counted in service.ask("/metrics")[1].decode())
    assert "reranker_waiting_candidates" in service.ask("/metrics")[1].decode()


@pytest.mark.promise(33)
def test_health_is_answered_while_searches_are_refused(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(2000)]}
    load = threading.Thread(target=at_once, args=(service, [json.dumps(many).encode()] * 120))
    load.start()
    asked = 0
    while load.is_alive() or asked < 5:
        assert service.ask("/livez")[0] == 200
        assert service.ask("/readyz")[0] == 200
        asked += 1
    load.join()


def test_slow_senders_hold_up_nobody(service: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", service.port), 30) for _ in range(20)]
    for number, connection in enumerate(slow):
        connection.sendall(
            b"POST /rerank HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"[: 10 + 4 * number]
        )
    assert service.ask("/rerank", BODY)[0] == 200  # while they are all still sending
    for connection in slow:
        connection.close()


def test_two_requests_in_one_packet_get_two_answers(service: Running) -> None:
    body = json.dumps(BODY).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    one = head.encode() + body
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.sendall(one + one[:40])
        time.sleep(0.05)
        connection.sendall(one[40:])
        received = b""
        while received.count(b'"took_ms"') < 2:
            received += connection.recv(1 << 16)
        answers = re.findall(rb'"results":(.*?),"blend":', received)
        assert len(answers) == 2 and answers[0] == answers[1]
