"""More connections than there is room for, and refusals that say when a connection ends."""

import json
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.service import BODY, Running, serving, workers
from support.sockets import (
    HEAD,
    HEALTH,
    RANKED,
    answers,
    connected,
    everything,
    metric,
    whole,
)
from support.waiting import wait_until

MOST = 1000  # connections of one worker


@pytest.fixture(scope="module")
def service(shop_home: Path) -> Iterator[Running]:
    with serving(shop_home, "--workers", "1", RERANKER_LIMITS_ARRIVAL_SECONDS="600") as running:
        yield running


# Too many


def many(stack: ExitStack, service: Running, count: int) -> list[socket.socket]:
    return [stack.enter_context(connected(service)) for _ in range(count)]


def hung_up(connection: socket.socket) -> bool:
    """Whether the server has closed this connection; nothing is expected on it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.promise(23)
def test_a_thousand_idle_connections_are_kept_and_go_on(service: Running) -> None:
    with ExitStack() as stack:
        idle = many(stack, service, MOST - 20)
        for _ in range(2):
            for connection in idle:
                connection.sendall(HEALTH + b"\r\n")
            for connection in idle:
                assert answers(connection, 1)[0][0] == 200
        assert service.ask("/rerank", BODY)[0] == 200


@pytest.mark.promise(23)
def test_who_never_asked_makes_room_and_the_oldest_first(service: Running) -> None:
    with ExitStack() as stack:
        kept = many(stack, service, 10)
        for connection in kept:
            connection.sendall(HEALTH + b"\r\n")
            assert answers(connection, 1)[0][0] == 200
        silent = many(stack, service, MOST)
        for connection in silent[::2]:
            connection.sendall(b"POST /rerank HT")  # half of them have begun
        for _ in range(5):
            assert service.ask("/rerank", BODY)[0] == 200
        wait_until(lambda: hung_up(silent[0]))
        assert not hung_up(silent[-1])
        for connection in kept:  # who has asked before is spared
            connection.sendall(HEALTH + b"\r\n")
            assert answers(connection, 1)[0][0] == 200


@pytest.mark.promise(23)
def test_who_asked_once_and_idles_makes_room_when_nobody_else_can(service: Running) -> None:
    with ExitStack() as stack:
        for _ in range(MOST + 50):
            (connection,) = many(stack, service, 1)
            connection.sendall(HEALTH + b"\r\n")
            assert answers(connection, 1)[0][0] == 200
        assert service.ask("/rerank", BODY)[0] == 200


@pytest.mark.promise(23)
def test_without_file_descriptors_it_waits_and_logs_one_line(shop_home: Path) -> None:
    with serving(shop_home, "--workers", "1") as service, ExitStack() as stack:
        assert service.ask("/rerank", BODY)[0] == 200
        (pid,) = workers(service)
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        there = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (there // 2, hard))
        waiting = many(stack, service, 5)
        for connection in waiting:
            connection.sendall(HEALTH + b"\r\n")
        assert select.select(waiting, [], [], 1.5)[0] == []  # it tries again every second
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        for connection in waiting:
            assert answers(connection, 1)[0][0] == 200
        assert service.ask("/rerank", BODY)[0] == 200
        service.process.terminate()
        _, log = service.process.communicate(timeout=60)
        assert log.count("no more connections can be opened") == 1, log


@pytest.mark.promise(23)
def test_with_the_last_descriptor_taken_the_idle_make_room(shop_home: Path) -> None:
    with serving(shop_home, "--workers", "1") as service, ExitStack() as stack:
        assert service.ask("/rerank", BODY)[0] == 200
        (pid,) = workers(service)
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        there = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (there + 5, hard))
        silent = many(stack, service, 50)
        assert service.ask("/livez")[0] == 200
        wait_until(lambda: sum(hung_up(connection) for connection in silent) >= 40)


# Refusals


@pytest.mark.promise(16)
@pytest.mark.parametrize("how", ["close", "1.0", "1.0 keep-alive"])
def test_a_client_that_reads_to_the_end_sees_one_when_refused(service: Running, how: str) -> None:
    large = {**BODY, "candidates": [{"id": f"{number}", "score": 1.0} for number in range(2000)]}
    version = how.split()[0]
    line = "Connection: close" if how == "close" else f"X-Version: {version}"
    if "keep-alive" in how:
        line = "Connection: keep-alive"
    in_a_hurry = "X-Request-Timeout-Ms: 1"  # who has to wait is refused
    sent = whole(large, "/rerank", f"{line}\r\n{in_a_hurry}")
    if version == "1.0":
        sent = sent.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with ExitStack() as stack:
        connections = many(stack, service, 60)
        for connection in connections:
            connection.sendall(sent)
        refused = 0
        for connection in connections:
            status, head, body = first_answer(connection)
            assert status in (200, 503)
            if status == 503:
                refused += 1
                assert b"\r\nconnection: close" in head.lower()
                assert json.loads(body)["error"]["code"] == "overloaded"
            if status == 503 or "keep-alive" not in how:
                assert everything(connection) == b"", "the connection has ended"
        assert refused


def first_answer(connection: socket.socket) -> tuple[int, bytes, bytes]:
    file = connection.makefile("rb", buffering=0)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += file.readline()
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += file.read(length - len(body)) or b""
    return int(head.split()[1]), head, body


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEVER_READ = {
    "bad size": (CHUNKED + b"2\r\n{}\r\nzz\r\n", 400),
    "negative size": (CHUNKED + b"-1\r\n", 400),
    "no end of chunk": (CHUNKED + b"2\r\n{}xx5\r\n", 400),
    "bad extension": (CHUNKED + b"2 x\r\n{}\r\n0\r\n\r\n", 400),
    "bad trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nHost: evil\r\n\r\n", 400),
    "endless size": (CHUNKED + b"0" * 9000, 400),  # more than gunicorn's 8190
    "large chunk": (CHUNKED + b"fffffff\r\n", 413),
    "tiny chunks": (CHUNKED + b"1\r\n \r\n" * 300_000, 413),
    "large body": (HEAD + b"Content-Length: 99999999\r\n\r\n", 413),
    "fields": (HEAD + b"a: b\r\n" * 150, 431),
    "long head": (HEAD + b"a: " + b"b" * 70_000, 431),
    "long line": (b"GET /" + b"a" * 5000, 414),
    "no request": (b"hello\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "coding": (HEAD + b"Transfer-Encoding: br\r\n\r\n", 501),
}


@pytest.mark.promise(23)
@pytest.mark.parametrize("name", NEVER_READ)
def test_what_cannot_be_read_gets_one_answer_and_an_end(service: Running, name: str) -> None:
    sent, expected = NEVER_READ[name]
    with connected(service) as connection:
        connection.sendall(sent)
        status, head, body = first_answer(connection)
        assert status == expected and b"\r\nConnection: close\r\n" in head
        assert json.loads(body)["error"]["message"]
        connection.sendall(HEALTH + b"\r\n")
        assert everything(connection) == b"", "one answer, and nothing behind it"


# Which requests the gate counts


SPELLINGS = [
    "/rerank", "//rerank", "///rerank", "/%72erank", "/rerank?x=1", "/rerank#x", "/%2Frerank",
    "http://localhost/rerank", "http://localhost//rerank", "/rerank/", "/rerank;x", "/./rerank",
    "/rerank%20", "/livez/../rerank", "/rerank/batch2", "/Rerank", "//events", "//next-action",
]  # fmt: skip


@pytest.mark.promise(16)
def test_every_spelling_of_the_searches_passes_the_gate_and_no_other_does(shop_home: Path) -> None:
    found = 0
    with serving(shop_home, "--workers", "1") as service, connected(service) as connection:

        def admitted() -> float:
            return metric(service, 'reranker_admission_total{outcome="admitted"}')

        for spelling in SPELLINGS:
            connection.sendall(whole(BODY, spelling))
            status, _, _ = first_answer(connection)
            found += status == 200 and spelling not in ("//events", "//next-action")
        for length in (b"Content-Length: 00000000000002\r\n", b"Content-Length: 2\r\n"):
            connection.sendall(b"\r\n" + HEAD + length + b"\r\n{}")  # a blank line before it, too
            assert first_answer(connection)[0] == 422
        connection.sendall(whole(BODY, "/x/rerank", "SCRIPT_NAME: /x"))
        assert first_answer(connection)[0] == 404
        assert found == 9
        assert metric(service, RANKED) == found
        wait_until(lambda: admitted() >= found + 2)  # published every second
        assert admitted() == found + 2
