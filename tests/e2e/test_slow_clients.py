"""A real service under slow, rude and broken clients; it answers the others all the while."""

import http.client
import json
import random
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from support.service import BODY, Running, serving, workers
from support.sockets import HEAD, HEALTH, connected, everything, whole

from service.server.incoming import Heads, Incoming
from service.server.lanes import Lane, lane_of

SECONDS = 2


@pytest.fixture(scope="module")
def service(shop_home: Path) -> Iterator[Running]:
    with serving(shop_home, RERANKER_LIMITS_ARRIVAL_SECONDS=str(SECONDS)) as running:
        yield running


@pytest.fixture(scope="module")
def unhurried(shop_home: Path) -> Iterator[Running]:
    with serving(shop_home, RERANKER_LIMITS_ARRIVAL_SECONDS="600") as running:
        yield running


SLOW = {
    "silent": b"",
    "head": b"GET /livez HT",
    "headers": HEAD + b"X-A: ",
    "body": HEAD + b"Content-Length: 100\r\n\r\n{",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
    "last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    "refused body": HEAD + b"Content-Length: 99999999\r\n\r\n{",
}


@pytest.fixture(scope="module")
def answers_to_the_slow(service: Running) -> dict[str, list[bytes]]:
    """What each kind hears, all kinds at once: they wait for the same seconds."""
    slow = {name: [connected(service) for _ in range(40)] for name in SLOW}
    for name, connections in slow.items():
        for connection in connections:
            connection.sendall(SLOW[name])
    for _ in range(10):
        assert service.ask("/rerank", BODY)[0] == 200
    heard = {name: [everything(one) for one in connections] for name, connections in slow.items()}
    for connections in slow.values():
        for connection in connections:
            connection.close()
    return heard


@pytest.mark.promise(23)
@pytest.mark.parametrize("name", SLOW)
def test_limits_arrival_seconds(answers_to_the_slow: dict[str, list[bytes]], name: str) -> None:
    """Each kind on 40 connections, far more than there are threads; others are answered at once."""
    said = answers_to_the_slow[name]
    expected = {"silent": b"", "refused body": b" 413 "}.get(name, b" 408 ")
    for answer in said:
        assert expected in answer.split(b"\r\n")[0], answer
    if expected == b" 408 ":
        assert json.loads(said[0].split(b"\r\n\r\n")[1])["error"]["code"] == "too_slow"


@pytest.mark.promise(23)
def test_a_byte_now_and_then_does_not_help(service: Running) -> None:
    slow = [connected(service) for _ in range(20)]
    ended = 0
    for byte in b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nX-Header: " + b"a" * 200:
        for connection in slow:
            try:
                connection.send(bytes([byte]))
            except OSError:
                ended += 1
        if ended:
            break
        assert service.ask("/livez")[0] == 200
        time.sleep(0.1)
    assert ended
    for connection in slow:
        connection.close()


def test_who_never_closes_holds_up_nobody(service: Running) -> None:
    """gunicorn's own end of a connection would stop its main loop for two seconds each."""
    kept = []
    for _ in range(12):
        connection = connected(service)
        connection.sendall(whole(BODY, "/rerank", "Connection: close"))
        assert b" 200 " in connection.recv(100)
        kept.append(connection)
    for connection in kept:
        connection.close()


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
@pytest.mark.parametrize("framing", ["length", "chunked", "trailers"])
def test_a_request_in_pieces_is_answered(unhurried: Running, framing: str, pieces: int) -> None:
    sent = whole()
    if framing != "length":
        body = json.dumps(BODY).encode()
        parts = (body[at : at + 97] for at in range(0, len(body), 97))
        chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts)
        trailer = b"X-T: 1\r\n" if framing == "trailers" else b""
        sent = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"
    step = -(-len(sent) // pieces)
    with connected(unhurried) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), step):
            connection.sendall(sent[at : at + step])
            time.sleep(0.002)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        assert len(json.loads(answer.read())["results"]) == 30


def test_requests_sent_ahead_are_answered_in_turn(unhurried: Running) -> None:
    bodies = [{"candidates": [{"id": str(number)}]} for number in range(20)]
    with connected(unhurried) as connection:
        connection.sendall(b"".join(whole(body) for body in bodies) + whole(BODY)[:50])
        received = b""
        while received.count(b'"took_ms"') < 20:
            block = connection.recv(65536)
            assert block, received
            received += block
        connection.sendall(whole(BODY)[50:])
        connection.settimeout(120)
        while received.count(b'"took_ms"') < 21:
            received += connection.recv(65536)
    found = [int(one) for one in re.findall(rb'"results":\[\{"id":"(\d+)"', received)]
    assert found[:20] == list(range(20))


def test_who_waits_for_a_word_gets_it_once(unhurried: Running) -> None:
    sent = whole(BODY, "/rerank", "Expect: 100-continue")
    at = sent.index(b"\r\n\r\n") + 4
    with connected(unhurried) as connection:
        connection.sendall(sent[:at])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(sent[at:])
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
    with connected(unhurried) as connection:  # nobody is told to send what is refused
        connection.sendall(HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 413")


def test_nothing_of_a_refused_body_is_taken_for_a_request(service: Running) -> None:
    inside = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999\r\n\r\n" + inside * 5)
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 ") == 1 and b" 413 " in answer and b"close" in answer


@pytest.mark.promise(23)
@pytest.mark.parametrize("framing", ["length", "chunked", "many chunks"])
def test_memory_is_flat_while_a_gigabyte_is_sent(
    service: Running, framing: str, gigabytes: float = 0.1
) -> None:
    """Here a tenth of it; the heavy test below sends all of it."""
    _upload(service, framing, gigabytes)


@pytest.mark.heavy
@pytest.mark.promise(23)
@pytest.mark.parametrize("framing", ["length", "chunked", "many chunks"])
def test_memory_is_flat_while_a_whole_gigabyte_is_sent(service: Running, framing: str) -> None:
    _upload(service, framing, 1.0)


def _upload(service: Running, framing: str, gigabytes: float) -> None:
    assert service.ask("/rerank", BODY)[0] == 200
    before, most = _memory(service), 0
    size = int(gigabytes * (1 << 30))
    block = b" " * (1 << 20)
    with connected(service) as connection:
        if framing == "length":
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        else:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            if framing == "chunked":
                connection.sendall(b"%x\r\n" % size)
        try:
            for number in range(size >> 20):
                connection.sendall(
                    b"100000\r\n" + block + b"\r\n" if framing == "many chunks" else block
                )
                if number % 16 == 0:
                    most = max(most, _memory(service))
        except OSError:
            pass  # hanging up on such a sender is right
    assert max(most, _memory(service)) - before < 100 << 20  # bytes, over all workers
    assert service.ask("/rerank", BODY)[0] == 200


def _memory(service: Running) -> int:
    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096

    return sum(resident(pid) for pid in workers(service))


# Fuzz


def mutated(chance: random.Random) -> bytes:
    """Requests with something wrong in them."""
    head = [
        chance.choice(
            [
                "POST /rerank HTTP/1.1",
                "POST /events HTTP/1.1",
                "GET / HTTP/1.1",
                "POST  /rerank HTTP/1.1",
                "POST /rerank HTTP/9.9",
                "\x00",
                "PRI * HTTP/2.0",
                "OPTIONS * HTTP/1.1",
                "CONNECT x:1 HTTP/1.1",
                "GET /%ff%00%2e%2e/ HTTP/1.0",
                "POST http://evil.example/rerank HTTP/1.1",
            ]
        ),
        chance.choice(
            ["Host: localhost", "Host:", "Host: evil.example", "X: y", "Host : localhost"]
        ),
    ]
    body = chance.choice([
        b"{}", b'{"candidates": [{"id": "1"}]}', b"[" * 100_000, b'{"a":' * 50_000, b"NaN",
        b"\xff\xfe",
        b'{"candidates": [{"id": "1", "score": Infinity}]}', b'{"candidates": [{"id": "\\ud800"}]}',
        b'{"candidates": [{"id": "1", "score": ' + b"9" * 5000 + b"}]}",
        b'{"candidates": [], "top_n": ' + b"9" * 5000 + b"}", b'{"user": "\\udfff", "type": 1e999}',
        bytes(chance.randrange(256) for _ in range(chance.randrange(300))),
    ])  # fmt: skip
    length = chance.choice([len(body), len(body), len(body) - 1, len(body) + 5, -1, "x", "1e3", 0,
                            "0x10", f"{len(body)}, {len(body)}", "9" * 30])  # fmt: skip
    framing = chance.randrange(6)
    if framing < 4:
        head.append(f"Content-Length: {length}")
    if framing >= 3:
        kind = chance.choice(
            ["chunked", "gzip, chunked", "identity", "chunked, chunked", "\x0bchunked"]
        )
        head.append(f"Transfer-Encoding: {kind}")
        size = chance.choice(
            [b"%x" % len(body), b"-1", b"zz", b"f" * 20, b"0", b"7;" + b"e" * 2000]
        )
        body = (
            size + b"\r\n" + body + chance.choice([b"\r\n0\r\n\r\n", b"\r\n", b"0\r\n", b"\n0\n\n"])
        )
    for _ in range(chance.randrange(3)):
        head.append(chance.choice([
            "A\x00: b", "Connection: keep-alive", "Connection: close", "Expect: 100-continue",
            "Expect: x",
            "Upgrade: h2c", "Cookie: reranker_session=" + "a." * 50, "X: " + "a" * 9000,
            "Authorization: Bearer \xe9", "Authorization:", " folded", "X-Request-Id: \xff",
            "X-Forwarded-Proto: https", "Content-Encoding: gzip", "Sec-Fetch-Site: cross-site",
        ]))  # fmt: skip
    end = chance.choice(["\r\n", "\r\n", "\r\n", "\n"])
    sent = end.join(head).encode("latin-1") + (end * 2).encode() + body
    return sent[: chance.randrange(1, len(sent))] if chance.random() < 0.2 else sent


def attack(service: Running, seed: int, count: int) -> None:
    chance = random.Random(seed)
    before = workers(service)
    for number in range(count):
        sent = mutated(chance) * chance.choice([1, 1, 1, 2])
        with connected(service) as connection:
            try:
                connection.sendall(sent)
                if chance.random() < 0.7:
                    connection.shutdown(socket.SHUT_WR)
                    answer = everything(connection)
                else:
                    answer = b""  # hangs up at once
            except OSError:
                answer = b""
        assert b"Traceback" not in answer and b"site-packages" not in answer, sent
        assert not re.search(rb"HTTP/1.1 5(?!01|05)\d\d", answer), (sent, answer)
        if answer.startswith(b"HTTP"):
            assert re.match(rb"HTTP/1\.[01] \d{3} ", answer), answer
        if number % 25 == 0:
            assert service.ask("/rerank", BODY)[0] == 200
    assert workers(service) == before
    assert service.ask("/readyz")[0] == 200


@pytest.mark.promise(22)
def test_nonsense_on_the_wire(service: Running, record_property: Any) -> None:
    record_property("runs", 300)
    attack(service, 5, 300)


@pytest.mark.heavy
@pytest.mark.promise(22)
def test_much_nonsense_on_the_wire(service: Running, record_property: Any) -> None:
    record_property("runs", 20_000)
    threads = [threading.Thread(target=attack, args=(service, seed, 5000)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.ask("/rerank", BODY)[0] == 200


NEVER_WHOLE = {
    "health with a body": HEALTH + b"Content-Length: 99999999\r\n\r\n",
    "long length": HEALTH + b"Content-Length: 0000000000100\r\n\r\n",
    "upper case": HEAD + b"CONTENT-LENGTH: 0000000000100\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n{",
    "early line": b"\r\n" + HEAD + b"Content-Length: 100\r\n\r\n{",
    "endless head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 70_000,
}


@pytest.mark.promise(23)
@pytest.mark.parametrize("name", NEVER_WHOLE)
def test_no_thread_waits_for_what_never_comes(unhurried: Running, name: str) -> None:
    """More of them than threads, and none is given up: whoever waited for them would wait on.

    They are taken in turn, so that who asks behind them finds them read.
    """
    service = unhurried
    slow = [connected(service) for _ in range(6)]
    for connection in slow:
        connection.sendall(NEVER_WHOLE[name])
    for path in ("/livez", "/metrics"):
        assert service.ask(path)[0] == 200
    assert service.ask("/rerank", BODY)[0] == 200
    for connection in slow:
        connection.close()


@pytest.mark.promise(16)
@pytest.mark.parametrize("address", ["/%72erank", "http://localhost/rerank", "/rerank?x=1"])
def test_every_spelling_of_the_address_is_counted_by_the_gate(address: str) -> None:
    """More of them in test_incoming.py, against Werkzeug, and in test_many_clients.py."""
    client = ("127.0.0.1", 0)
    incoming = Incoming(Heads(Config()), client, 10_000)
    incoming.add(whole(BODY, address))
    assert incoming.look()
    request, body = incoming.take()
    assert lane_of(request) is Lane.SEARCH and body == json.dumps(BODY).encode()


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 50\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_doubtful_frame_ends_the_connection(service: Running, framing: bytes) -> None:
    with connected(service) as connection:
        connection.sendall(HEAD + framing + b"\r\n0\r\n\r\n" + HEALTH + b"\r\n")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1


def test_only_one_word_can_be_expected(service: Running) -> None:
    with connected(service) as connection:
        connection.sendall(whole(BODY, "/rerank", "Expect: a-miracle"))
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["error"]["code"] == "expectation_failed"


@pytest.mark.promise(23)
def test_who_holds_the_most_unfinished_makes_room(shop_home: Path) -> None:
    """Eight senders fill what a worker keeps of unfinished requests; a small one comes behind."""
    patient = {"RERANKER_LIMITS_ARRIVAL_SECONDS": "600"}
    most = 8 * 1024 * 1024
    sent = whole()
    with serving(shop_home, "--workers", "1", **patient) as service:
        large = [connected(service) for _ in range(8)]
        for connection in large:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % most + b" " * (most - 1))
        small = connected(service)
        small.sendall(sent[:-1])
        answered = select.select([*large, small], [], [], 120)[0]
        assert answered and small not in answered
        assert everything(answered[0]).startswith(b"HTTP/1.1 503 ")
        small.sendall(sent[-1:])
        assert small.recv(12) == b"HTTP/1.1 200"
        for connection in [*large, small]:
            connection.close()
