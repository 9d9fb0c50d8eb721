"""What two readers could take for different requests: our verdict is stock gunicorn's.

Stock: gunicorn's own parser over all of the bytes, as its threaded worker reads them. What it
refuses we refuse; what we take has the path and the body that it sees.
"""

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from service.server.incoming import Heads, Incoming

CLIENT = ("127.0.0.1", 40_000)
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST /first HTTP/1.1", b"Host: a", *lines, b"", b"")) + body


LENGTH, CHUNKED = b"Content-Length: ", b"Transfer-Encoding: chunked"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
CORPUS = {
    "length and chunks": post(LENGTH + b"4", CHUNKED, body=CHUNKS),
    "chunks and length": post(CHUNKED, LENGTH + b"4", body=CHUNKS),
    "CL.TE": post(LENGTH + b"40", CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "TE.CL": post(CHUNKED, LENGTH + b"3", body=b"1e\r\n" + SMUGGLED[:30] + b"\r\n0\r\n\r\n"),
    "two lengths alike": post(LENGTH + b"3", LENGTH + b"3", body=b"abc"),
    "two lengths": post(LENGTH + b"3", LENGTH + b"0", body=b"abc"),
    "a list of lengths": post(LENGTH + b"3, 3", body=b"abc"),
    "a length with a sign": post(LENGTH + b"+3", body=b"abc"),
    "a negative length": post(LENGTH + b"-3", body=b"abc"),
    "a length in hexadecimal": post(LENGTH + b"0x3", body=b"abc"),
    "a length with an underscore": post(LENGTH + b"1_0", body=b"a" * 10),
    "a length of other digits": post(LENGTH + "\u0663".encode(), body=b"abc"),
    "an empty length": post(LENGTH, body=b""),
    "a length in a folded field": post(b"Content-Length:\r\n 3", body=b"abc"),
    "a folded field": post(b"X-A: 1\r\n 2", LENGTH + b"3", body=b"abc"),
    "a space before the colon": post(b"Content-Length : 3", body=b"abc"),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked", body=CHUNKS),
    "a fold with a tab": post(b"X-A: 1\r\n\t2", LENGTH + b"3", body=b"abc"),
    "a fold of the coding": post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS),
    "a fold after the first line": b"POST /first HTTP/1.1\r\n Host: a\r\n\r\n",
    "a folded line with a length": post(b"X-A: 1\r\n Content-Length: 3", body=b"abc"),
    "a bare newline ends the line": post(LENGTH + b"3", body=b"abc").replace(b"1\r\n", b"1\n"),
    "a bare newline ends a field": post(b"X-A: b\nX-B: c", LENGTH + b"3", body=b"abc"),
    "bare newlines end the head": post(LENGTH + b"3").replace(b"\r\n\r\n", b"\n\n") + b"abc",
    "a bare newline ends the head": post(LENGTH + b"3").replace(b"\r\n\r\n", b"\r\n\n") + b"abc",
    "a bare newline before the line": b"\n" + post(LENGTH + b"3", body=b"abc"),
    "a bare newline in the head": b"POST /first HTTP/1.1\nHost: a\n\n" + GET,
    "a bare newline in a value": post(b"X-A: b\nContent-Length: 3", body=b"abc"),
    "a bare return in a value": post(b"X-A: b\rContent-Length: 3", body=b"abc"),
    "a zero byte in a value": post(b"X-A: b\x00c", LENGTH + b"3", body=b"abc"),
    "chunked twice": post(CHUNKED, CHUNKED, body=CHUNKS),
    "chunked, chunked": post(CHUNKED + b", chunked", body=CHUNKS),
    "chunked in capitals": post(b"Transfer-Encoding: CHUNKED", body=CHUNKS),
    "not quite chunked": post(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "chunked and then not": post(b"Transfer-Encoding: chunked, identity", body=CHUNKS),
    "identity": post(b"Transfer-Encoding: identity", LENGTH + b"3", body=b"abc"),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "an underscore": post(b"Transfer_Encoding: chunked", LENGTH + b"3", body=b"abc"),
    "chunks of HTTP/1.0": post(CHUNKED, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk extension": post(CHUNKED, body=b"3;a=b\r\nabc\r\n0\r\n\r\n"),
    "a quoted chunk extension": post(CHUNKED, body=b'3;a="b"\r\nabc\r\n0\r\n\r\n'),
    "an extension without a value": post(CHUNKED, body=b"3;a\r\nabc\r\n0;b\r\n\r\n"),
    "an extension without a name": post(CHUNKED, body=b"3;=b\r\nabc\r\n0\r\n\r\n"),
    "an empty extension": post(CHUNKED, body=b"3;\r\nabc\r\n0\r\n\r\n"),
    "spaces around an extension": post(CHUNKED, body=b"3 ; a = b\r\nabc\r\n0\r\n\r\n"),
    "a tab before an extension": post(CHUNKED, body=b"3\t;a=b\r\nabc\r\n0\r\n\r\n"),
    "a quote that does not end": post(CHUNKED, body=b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    "a line's end in a quote": post(CHUNKED, body=b'3;a="\r\nabc\r\n0\r\n\r\n"\r\n'),
    "a zero byte in an extension": post(CHUNKED, body=b"3;a=\x00\r\nabc\r\n0\r\n\r\n"),
    "a long extension": post(CHUNKED, body=b"3;a=" + b"b" * 20_000 + b"\r\nabc\r\n0\r\n\r\n"),
    "a long size": post(CHUNKED, body=b"0" * 20_000 + b"3\r\nabc\r\n0\r\n\r\n"),
    "a newline in an extension": post(CHUNKED, body=b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "a return in an extension": post(CHUNKED, body=b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "a size with a sign": post(CHUNKED, body=b"+3\r\nabc\r\n0\r\n\r\n"),
    "a size with 0x": post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a size with a space": post(CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n"),
    "a size after a space": post(CHUNKED, body=b" 3\r\nabc\r\n0\r\n\r\n"),
    "a size with an underscore": post(CHUNKED, body=b"0_3\r\nabc\r\n0\r\n\r\n"),
    "an empty size": post(CHUNKED, body=b"\r\nabc\r\n0\r\n\r\n"),
    "bare newlines between chunks": post(CHUNKED, body=b"3\nabc\n0\n\n"),
    "a chunk that is longer": post(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk without its end": post(CHUNKED, body=b"3\r\nabc0\r\n\r\n"),
    "sizes with leading zeros": post(CHUNKED, body=b"0003\r\nabc\r\n000\r\n\r\n"),
    "a trailer": post(CHUNKED, body=b"3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n"),
    "a length in a trailer": post(CHUNKED, body=b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "an obsolete fold of a trailer": post(CHUNKED, body=b"3\r\nabc\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"),
    "a bare newline ends the trailers": post(CHUNKED, body=b"3\r\nabc\r\n0\r\nX-A: 1\n\r\n"),
    "a bare newline after the last chunk": post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\n"),
    "a bare newline after a chunk": post(CHUNKED, body=b"3\r\nabc\n0\r\n\r\n"),
    "a bare newline after a size": post(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n"),
    "a bare return after a size": post(CHUNKED, body=b"3\rabc\r\n0\r\n\r\n"),
    "chunks in trailers": post(CHUNKED, body=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a hundred trailers": post(CHUNKED, body=b"0\r\n" + b"X-A: 1\r\n" * 100 + b"\r\n"),
    "more trailers": post(CHUNKED, body=b"0\r\n" + b"X-A: 1\r\n" * 101 + b"\r\n"),
    "a hundred fields and as many trailers": post(
        *[b"X-A: 1"] * 97, CHUNKED, body=b"0\r\n" + b"X-A: 1\r\n" * 97 + b"\r\n"
    ),
    "a trailer that is none": post(CHUNKED, body=b"3\r\nabc\r\n0\r\nnothing\r\n\r\n"),
    "a length of a GET": b"GET /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "a blank line first": b"\r\n" + post(LENGTH + b"3", body=b"abc"),
    "two blank lines first": b"\r\n\r\n" + post(LENGTH + b"3", body=b"abc"),
    "a version with more": post(LENGTH + b"0").replace(b"HTTP/1.1", b"HTTP/1.1 x"),
    "no such version": post(LENGTH + b"0").replace(b"HTTP/1.1", b"HTTP/1.9"),
    "two spaces in the line": post(LENGTH + b"0").replace(b"POST /", b"POST  /"),
    "a tab in the line": post(LENGTH + b"0").replace(b"POST /", b"POST\t/"),
    "a plain request": post(LENGTH + b"3", body=b"abc"),
}
Seen = list[tuple[str, bytes]]


def stock(sent: bytes, size: int) -> tuple[Seen, bool]:
    """Paths and bodies that gunicorn reads of these bytes and nothing more; whether it refused.

    size: of the pieces in which it gets them; of a socket it never takes more at once than 8 KiB.
    """
    seen: Seen = []
    step = min(size, 8192)
    pieces = (sent[start : start + step] for start in range(0, len(sent), step))
    requests = RequestParser(Config(), pieces, CLIENT)
    try:
        for request in requests:
            seen.append((request.path, request.body.read()))
            if request.should_close():
                break
    except (ParseException, StopIteration):
        return seen, True
    except Exception:  # whatever else it raises ends the connection, too
        return seen, True
    return seen, False


def ours(sent: bytes, size: int) -> tuple[Seen, bool]:
    """The same of our worker, the bytes coming in pieces of this size."""
    seen: Seen = []
    incoming = Incoming(Heads(Config()), CLIENT, 100_000)
    try:
        for start in range(0, len(sent), size):
            incoming.add(sent[start : start + size])
            while incoming.look():
                request, _ = incoming.take()
                seen.append((request.path, request.body.read()))
                if request.should_close():
                    return seen, False
    except Exception:
        return seen, True
    return seen, False


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("name", CORPUS)
def test_no_request_is_read_otherwise_than_gunicorn_reads_it(name: str, size: int) -> None:
    sent = CORPUS[name] + GET
    (theirs, they_refused), (seen, refused) = stock(sent, size), ours(sent, size)
    assert ("/smuggled", b"") not in seen
    assert seen == theirs[: len(seen)], "what we take is what it sees"
    assert refused or not they_refused, "what it refuses we refuse"
    assert seen == theirs or they_refused, "what it takes we take"
