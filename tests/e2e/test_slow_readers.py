"""Clients that do not read what they asked for: nobody else waits, and nothing stays behind."""

import http.client
import json
import signal
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.service import ALL_LET_IN, BODY, Running, serving, workers
from support.sockets import (
    HEALTH,
    RANKED,
    answers,
    connected,
    everything,
    metric,
    whole,
)
from support.waiting import wait_until

from service.access.keys import KeyFile

# About 7 MB of answer, more than twice what the kernel keeps for a client that does not read.
LARGE = {
    "explain": True,
    "candidates": [{"id": f"{number:0500}", "score": 1.0} for number in range(10_000)],
}
PATIENT = {
    **ALL_LET_IN,
    "RERANKER_LIMITS_CANDIDATES": "10000",
    "RERANKER_LIMITS_UNREAD_BYTES": str(64 << 20),
    "RERANKER_LIMITS_UNREAD_BYTES_CALLER": str(512 << 20),
    "RERANKER_LIMITS_ANSWER_SECONDS": "600",
}


@pytest.fixture(scope="module")
def service(shop_home: Path) -> Iterator[Running]:
    with serving(shop_home, "--workers", "1", "--threads", "2", **PATIENT) as running:
        yield running


def slow_reader(service: Running, sent: bytes, key: str | None = None) -> socket.socket:
    """A connection on which this was asked, once the answer is computed; nothing is read."""
    before = metric(service, RANKED, key)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(300)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(sent)
    wait_until(lambda: metric(service, RANKED, key) > before)
    return connection


def sockets(service: Running) -> int:
    """How many the workers have open."""
    count = 0
    for pid in workers(service):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += fd.readlink().name.startswith("socket:")
            except OSError:
                pass
    return count


def cut_off(connection: socket.socket) -> bool:
    """Whether the server ends the connection before the client could have read the answer."""
    return len(everything(connection)) < 5_000_000


@pytest.mark.promise(16)
def test_who_does_not_read_takes_no_thread_from_anybody(service: Running) -> None:
    slow = [slow_reader(service, whole(LARGE)) for _ in range(6)]  # three times the threads
    for _ in range(5):
        assert service.ask("/rerank", BODY)[0] == 200
        assert service.ask("/livez")[0] == 200
    wait_until(lambda: metric(service, "reranker_waiting_candidates") == 0)
    for connection in slow:  # and each gets its own when it reads at last
        ((status, body),) = answers(connection, 1)
        assert status == 200 and len(json.loads(body)["results"]) == 10_000
        connection.sendall(whole(BODY))  # the connection goes on
        assert answers(connection, 1)[0][0] == 200
        connection.close()


@pytest.mark.promise(16)
def test_requests_behind_an_answer_that_nobody_reads_wait_their_turn(service: Running) -> None:
    small = {"candidates": [{"id": "7"}]}
    sent = whole(LARGE) + whole(small) + HEALTH + b"\r\n"
    with slow_reader(service, sent) as connection:
        large, ranked, health = answers(connection, 3)
    assert len(json.loads(large[1])["results"]) == 10_000
    assert json.loads(ranked[1])["results"][0]["id"] == "7" and health[0] == 200


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_who_half_closes_still_gets_the_answer(service: Running, body: dict[str, Any]) -> None:
    with connected(service) as connection:
        connection.settimeout(300)
        connection.sendall(whole(body))
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert len(json.loads(answer.read())["results"]) == len(body["candidates"])


def test_who_resets_in_the_middle_of_an_answer_leaves_nothing(service: Running) -> None:
    before = sockets(service)
    for read in (0, 100_000):
        for _ in range(3):
            connection = slow_reader(service, whole(LARGE))
            if read:
                assert connection.recv(read)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()  # RST
    wait_until(lambda: sockets(service) <= before)
    wait_until(lambda: metric(service, "reranker_waiting_candidates") == 0)
    assert service.ask("/rerank", BODY)[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
def test_every_route_leaves_this_way(service: Running, path: str) -> None:
    """Asked for over and over on one connection, which is read only when the kernel is full."""
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with connected(service) as connection:
        connection.settimeout(300)
        connection.sendall(asked * 200)
        assert service.ask("/rerank", BODY)[0] == 200
        assert [status for status, _ in answers(connection, 200)] == [200] * 200


@pytest.mark.promise(16)
def test_limits_unread_bytes(shop_home: Path) -> None:
    chosen = {**PATIENT, "RERANKER_LIMITS_UNREAD_BYTES": "1000000"}
    with serving(shop_home, "--workers", "1", **chosen) as service:
        before = sockets(service)
        with slow_reader(service, whole(LARGE)) as connection:
            wait_until(lambda: sockets(service) <= before)
            assert cut_off(connection)
        assert service.ask("/rerank", BODY)[0] == 200


@pytest.mark.promise(16)
def test_limits_answer_seconds(shop_home: Path) -> None:
    chosen = {**PATIENT, "RERANKER_LIMITS_ANSWER_SECONDS": "0.5"}
    with serving(shop_home, "--workers", "1", **chosen) as service:
        before = sockets(service)
        with slow_reader(service, whole(LARGE)) as connection:
            wait_until(lambda: sockets(service) <= before)
            assert cut_off(connection)
        assert service.ask("/rerank", BODY)[0] == 200


@pytest.mark.promise(16)
def test_limits_unread_bytes_caller(own_home: Path) -> None:
    """The one that has read nothing for longest makes room, and only among those of its key."""
    file = KeyFile(own_home)
    greedy = file.create("greedy", ("rerank", "admin"))[0]
    other = file.create("other", ("rerank", "admin"))[0]
    chosen = {**PATIENT, "RERANKER_LIMITS_UNREAD_BYTES_CALLER": "10000000"}
    with serving(own_home, "--workers", "1", **chosen) as service:

        def slow(key: str) -> socket.socket:
            return slow_reader(
                service, whole(LARGE, "/rerank", f"Authorization: Bearer {key}"), key
            )

        first, theirs = slow(greedy), slow(other)
        later = [slow(greedy) for _ in range(3)]
        last = answers(later[-1], 1)
        assert len(json.loads(last[0][1])["results"]) == 10_000
        assert len(json.loads(answers(theirs, 1)[0][1])["results"]) == 10_000
        assert cut_off(first) and cut_off(later[0])
        for connection in (first, theirs, *later):
            connection.close()


@pytest.mark.promise(15)
def test_a_slow_reader_does_not_hold_up_stopping(shop_home: Path) -> None:
    chosen = {**PATIENT, "RERANKER_SERVE_GRACE_SECONDS": "1"}
    with serving(shop_home, "--workers", "1", **chosen) as service:
        with slow_reader(service, whole(LARGE)):
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(60) == 0


def others_than(service: Running, before: list[int]) -> bool:
    return bool(set(workers(service)) - set(before))


@pytest.mark.promise(15)
def test_what_is_being_read_is_read_to_its_end(own_home: Path) -> None:
    """While new workers take over, and while the service stops."""
    chosen = {**PATIENT, "RERANKER_SERVE_GRACE_SECONDS": "60"}
    with serving(own_home, "--workers", "1", **chosen) as service:
        for how in (signal.SIGHUP, signal.SIGTERM):
            before = workers(service)
            connection = slow_reader(service, whole(LARGE))
            service.process.send_signal(how)
            if how is signal.SIGHUP:
                wait_until(partial(others_than, service, before))
            ((_, body),) = answers(connection, 1)
            assert len(json.loads(body)["results"]) == 10_000
            connection.close()
        assert service.process.wait(60) == 0
