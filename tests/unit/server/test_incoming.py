"""Bytes as they come in -> requests: each head parsed once, and never read in two ways."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect

from service.server import incoming as reading
from service.server.incoming import Heads, Incoming
from service.server.lanes import Lane, lane_of

CLIENT = ("127.0.0.1", 40_000)
MOST_FIELDS = 100  # gunicorn's limit
MOST = 100_000


def requests_in(sent: bytes, cuts: list[int]) -> list[tuple[str, bytes]]:
    """Method and body of each whole request, the bytes coming in pieces that end at the cuts."""
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    found = []
    ends = sorted({cut % (len(sent) + 1) for cut in cuts} | {len(sent)})
    for begin, end in zip([0, *ends], ends, strict=False):
        incoming.add(sent[begin:end])
        while incoming.look():
            request, body = incoming.take()
            assert body is not None and request.body.read() == body
            found.append((request.path, body))
    assert not incoming.begun and not incoming.held
    return found


def framed(number: int, body: bytes, framing: str, step: int) -> bytes:
    head = b"POST /%d HTTP/1.1\r\nHost: localhost\r\n" % number
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts)
    trailers = b"X-T: 1\r\nX-U: 2\r\n" if framing == "trailers" else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


@given(
    bodies=st.lists(
        st.tuples(
            st.binary(max_size=300),
            st.sampled_from(["length", "chunks", "trailers"]),
            st.integers(1, 90),
        ),
        min_size=1,
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 3000), max_size=40),
)
def test_how_the_bytes_are_cut_changes_nothing(
    bodies: list[tuple[bytes, str, int]], cuts: list[int]
) -> None:
    sent = b"".join(framed(number, *one) for number, one in enumerate(bodies))
    expected = [(f"/{number}", body) for number, (body, _, _) in enumerate(bodies)]
    assert requests_in(sent, cuts) == expected


PIECES = [b"5", b"0", b"\r\n", b"\n", b"\r", b"hello", b";a=b", b";", b"x", b" ", b"5\r\nhello\r\n",
          b"0\r\n\r\n", b"X-T: 1\r\n", b"Host: evil\r\n", b"ffffffff", b"-1", b"0x5"]  # fmt: skip


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_chunks_are_read_as_the_parser_reads_them(pieces: list[bytes]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(pieces)
    ours: bytes | None = None
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    incoming.add(head + chunks)
    try:
        if incoming.look():
            _, ours = incoming.take()
    except ParseException:
        pass
    theirs: bytes | None = None
    try:
        theirs = Request(Config(), IterUnreader([head + chunks]), CLIENT).body.read()
    except (ParseException, OSError):
        pass
    assert ours == theirs


@pytest.mark.promise(23)
@pytest.mark.parametrize("framing", ["length", "chunks", "trailers"])
def test_a_head_is_parsed_once_however_many_packets_follow(
    framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[Any] = []

    def counted(*given: Any) -> Request:
        heads.append(given)
        return Request(*given)

    monkeypatch.setattr(reading, "Request", counted)

    long = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(7))
    sent = framed(1, b"{}" * 700, framing, 50).replace(b"Host", long + b"Host")
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    for number, byte in enumerate(sent):
        assert not incoming.look(), number
        incoming.add(bytes([byte]))
    assert incoming.look()
    assert len(heads) == 1
    assert incoming.take()[1] == b"{}" * 700


def test_heads_have_an_end() -> None:
    line = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    incoming.add(line + b"a: b\r\n" * (MOST_FIELDS - 1) + b"\r\n")
    assert incoming.look()
    for more in (b"a: b\r\n" * MOST_FIELDS + b"\r\n", b"a: b\r\n" * 12_000, b"a" * 70_000):
        incoming = Incoming(Heads(Config()), CLIENT, MOST)
        incoming.add(line + more)
        with pytest.raises(LimitRequestHeaders):
            incoming.look()
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    incoming.add(b"GET /" + b"a" * 4200)
    with pytest.raises(LimitRequestLine):
        incoming.look()


@pytest.mark.parametrize("pieces", [1, 3, 1000])
@pytest.mark.parametrize(
    "head",
    [b"GET /livez\n", b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n"],
)
def test_a_bare_newline_is_refused_where_it_stands(head: bytes, pieces: int) -> None:
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    with pytest.raises(ParseException):
        for at in range(0, len(head), pieces):
            incoming.add(head[at : at + pieces])
            assert not incoming.look()


@pytest.mark.promise(23)
@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: %d\r\n\r\n{" % (MOST + 1),
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n%x\r\n" % (2 << 20) + b" " * (2 << 20),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * MOST)
        + b" " * 2 * MOST
        + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 250_000,
    ],
    ids=["announced", "a chunk that goes on", "a whole chunk", "tiny chunks"],
)
def test_a_body_that_is_too_large_is_not_kept(sent: bytes) -> None:
    incoming = Incoming(Heads(Config()), CLIENT, MOST)
    incoming.add(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + sent)
    assert incoming.look()
    request, body = incoming.take()
    assert body is None and not incoming.held and request.should_close()
    with pytest.raises(RequestEntityTooLarge):
        request.body.read()


# Which lane


def spellings() -> st.SearchStrategy[bytes]:
    """Addresses that are, or nearly are, those of routes."""
    path = st.sampled_from(
        ["rerank", "livez", "readyz", "events", "next-action", "metrics", "", "openapi.json"]
    )
    letters = path.flatmap(
        lambda name: st.tuples(*(st.sampled_from([one, f"%{ord(one):02x}"]) for one in name))
    ).map("".join)
    before = st.sampled_from(
        ["/", "//", "///", "/./", "/../", "/%2F", "/%2f%2F", "", "http://localhost/",
         "http://localhost//", "HTTP://x:1/", "http://localhost", "x://y/", "//localhost/",
         "http:///", "/%00", "/ ", "/\\", "*", "/http://localhost/"]
    )  # fmt: skip
    after = st.sampled_from(
        ["", "/", "//", "?", "?x=1", "#x", ";x", "%20", "%2F", "%00", "/.", "?/livez", ".", "%"]
    )
    return st.tuples(before, letters, after).map(lambda parts: "".join(parts).encode())


METHODS = [b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"post", b"PATCH", b"DELETE"]
HEADERS = [b"", b"SCRIPT_NAME: /x\r\n", b"PATH_INFO: /rerank\r\n", b"X-Original-URL: /rerank\r\n",
           b"X-HTTP-Method-Override: POST\r\n", b"Transfer-Encoding: chunked\r\n",
           b"Content-Length: 00000000000000\r\n"]  # fmt: skip


@pytest.fixture(scope="module")
def nowhere() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


def routed(app: Flask, cfg: Config, request: Any, sock: socket.socket) -> str | None:
    """The rule that the real application finds for what gunicorn hands it; None for none."""
    _, environ = wsgi.create(request, sock, CLIENT, ("127.0.0.1", 8000), cfg)
    with app.request_context(environ) as context:
        adapter = app.create_url_adapter(context.request)
        assert adapter is not None
        try:
            rule, _ = adapter.match(return_rule=True)
        except (HTTPException, RequestRedirect):
            return None
        return str(rule.rule)


@pytest.mark.promise(16)
@given(
    method=st.sampled_from(METHODS[:1]) | st.sampled_from(METHODS),
    target=spellings(),
    header=st.sampled_from(HEADERS),
    blank=st.sampled_from([b"", b"\r\n"]),
)
def test_what_is_routed_to_the_searches_passes_the_gate_and_nothing_else_does(
    app: Flask, nowhere: socket.socket, method: bytes, target: bytes, header: bytes, blank: bytes
) -> None:
    cfg = Config()
    cfg.set("forwarder_headers", "")  # as the service sets it
    incoming = Incoming(Heads(cfg), CLIENT, MOST)
    incoming.add(blank + method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + header)
    incoming.add(b"\r\n0\r\n\r\n" if b"chunked" in header else b"\r\n")
    try:
        assert incoming.look()
    except ParseException:
        return
    request, _ = incoming.take()
    lane, rule = lane_of(request), routed(app, cfg, request, nowhere)
    searches = {"/rerank", "/v1/rerank", "/v2/rerank", "/jina/v1/rerank", "/voyage/v1/rerank"}
    searches |= {"/rank/<model>"}
    assert (lane is Lane.SEARCH) == (rule in searches)
    if rule in ("/livez", "/readyz", "/health"):
        assert lane is Lane.HEALTH
    elif rule is not None and rule not in searches:
        assert lane is Lane.OTHER


# Heads that were seen before


def lines() -> st.SearchStrategy[bytes]:
    """Heads that the parser takes, or refuses."""
    target = st.sampled_from([b"/rerank", b"/%72erank?x=1", b"//x", b"*"])
    version = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"])
    fields = st.lists(
        st.sampled_from(
            [b"Host: a", b"Content-Length: 7", b"Connection: close", b"Expect: 100-continue",
             b"X-Forwarded-Proto: https", b"Transfer-Encoding: chunked", b"X_A: 1", b"A: \xff"]
        ),
        max_size=4,
    )  # fmt: skip
    parts = st.tuples(st.sampled_from(METHODS), target, version, fields)
    return parts.map(
        lambda head: (
            b" ".join(head[:3]) + b"\r\n" + b"".join(f + b"\r\n" for f in head[3]) + b"\r\n"
        )
    )


def read(heads: Heads, head: bytes, client: tuple[str, int]) -> dict[str, Any] | str:
    """What is known of the request but for the objects that it reads with."""
    try:
        request, left = heads.request_of(head, client)
    except ParseException as error:
        return type(error).__name__
    assert not left
    known = {**vars(request), "headers": list(request.headers)}
    del known["cfg"], known["unreader"]
    reader = known.pop("body").reader
    request.headers.clear()  # what becomes of one is no matter of the next
    request.must_close = request._expected_100_continue = True
    return {**known, "length": getattr(reader, "length", None)}


@given(asked=st.lists(st.tuples(lines(), st.sampled_from(["127.0.0.1", "10.0.0.1"])), max_size=8))
def test_a_head_seen_before_is_read_as_the_first_time(asked: list[tuple[bytes, str]]) -> None:
    heads = Heads(Config())
    for number, (head, address) in enumerate(asked * 2):
        client = address, number
        assert read(heads, head, client) == read(Heads(Config()), head, client)


def test_not_all_heads_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_KNOWN", 3)
    heads = Heads(Config())
    for number in range(9):
        heads.request_of(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number, CLIENT)
        heads.request_of(b"GET /%d HTTP/1.1\r\nA: %s\r\n\r\n" % (number, b"a" * 2000), CLIENT)
    assert len(heads._known) == 3
