"""incoming.py: bytes as they come in -> whole requests, as gunicorn's own parser reads them.

How a request is framed is not written here: gunicorn's `Request`, whose reading is what Flask gets,
judges each head and says how long the body is; of a body in chunks gunicorn's push parser tells
when it has come whole, and then `Request` reads it. Where the two disagree it is refused. What is
looked for here only saves asking them too early. So the gate and the routes cannot understand the
same bytes differently, no thread waits for a sender, and none finds out only while it answers that
a body is broken.
"""

import io
from typing import Any, Final

from werkzeug.exceptions import RequestEntityTooLarge

from service.server.gunicorn_api import (
    ChunkedReader,
    InvalidChunkSize,
    LimitRequestHeaders,
    ParseError,
    PlainConfig,
    PythonProtocol,
    Request,
    Unreader,
)

LONGEST_HEAD: Final = 65_536
LONGEST_LINE: Final = 4094  # of a request, as gunicorn has it
_MOST_FRAMING: Final = 1 << 20  # bytes around the chunks of one body
_PIECE: Final = 8192  # that the parser gets at once, as from a socket: it copies what it has left
_HEAD_END: Final = b"\r\n\r\n"
_MOST_KNOWN: Final = 1024  # heads that are remembered ...
_LONGEST_KNOWN: Final = 1024  # ... of so many bytes at most
_CHUNKED: Final = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class _TooLarge(io.RawIOBase):
    """A body of which nothing is kept: whoever reads it answers 413."""

    def read(self, _size: int | None = -1) -> bytes:
        raise RequestEntityTooLarge

    def readinto(self, _buffer: Any) -> int:
        raise RequestEntityTooLarge


class _Unfinished(Exception):
    """The parser wants more than there is."""


class _Source(Unreader):  # type: ignore[misc]  # gunicorn publishes no types
    """What the parser reads from."""

    data, at = b"", 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        piece = self.data[self.at : self.at + _PIECE]
        if not piece:
            raise _Unfinished
        self.at += len(piece)
        return piece

    def give(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> bytes:
        """What the parser did not take."""
        left: bytes = self.take_buffered() + self.data[self.at :]
        return left


class Heads:
    """Whole heads -> requests, for one thread. cfg: gunicorn's.

    Clients repeat themselves: what the parser made of the very same bytes, from the same address
    (whose forwarding fields may count), is remembered and copied. It is most of what a refusal
    costs.
    """

    def __init__(self, cfg: Any) -> None:
        self._cfg = PlainConfig(cfg)
        self._known: dict[tuple[bytes, Any], dict[str, Any]] = {}

    def request_of(self, head: bytes, client: Any) -> tuple[Any, bytes]:
        """The request, without its body, and what the parser left; ParseException as it says."""
        key = head, client[0] if isinstance(client, tuple) else client
        known = self._known.get(key)
        if known is None:
            return self._parsed(head, client, key)
        request = Request.__new__(Request)
        request.__dict__.update(known, peer_addr=client, remote_addr=client)
        request.headers = request.headers.copy()
        return request, b""

    def _parsed(self, head: bytes, client: Any, key: tuple[bytes, Any]) -> tuple[Any, bytes]:
        source = _Source()
        source.give(head)
        try:
            request = Request(self._cfg, source, client)
        except _Unfinished:  # not while these are gunicorn's rules
            raise LimitRequestHeaders("max buffer headers") from None
        left = source.left()
        if len(head) <= _LONGEST_KNOWN and not left and not _in_chunks(request):
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = {**vars(request), "headers": request.headers.copy()}
        return request, left


def _in_chunks(request: Any) -> bool:
    return isinstance(request.body.reader, ChunkedReader)


class Incoming:
    """What came on one connection and nobody has taken yet.

    client: its address. most: bytes of body that anybody will read.
    """

    def __init__(self, heads: Heads, client: Any, most: int) -> None:
        self._heads, self._client, self._most = heads, client, most
        self._received = bytearray()
        self._begin()

    def _begin(self) -> None:
        self.request: Any = None  # the first one, once its head has come
        self._searched = self._lines = 0  # of what came, for the end of a head
        self._length: int | None = None  # of the body; None when it comes in chunks
        self._chunks: Any = None  # gunicorn's push parser of these, which has been fed ...
        self._fed = 0  # ... so many bytes
        self._body: bytes | None = None  # what the chunks held
        self._too_large = False  # it is not read any further

    @property
    def held(self) -> int:
        """Bytes that are kept here."""
        return len(self._received)

    @property
    def begun(self) -> bool:
        """Whether a part of a request is there."""
        return self.request is not None or bool(self._received)

    @property
    def waits_for_a_word(self) -> bool:
        """Whether the client wants to hear that its body is welcome; asked once."""
        request = self.request
        if request is None or not request._expected_100_continue:
            return False
        request._expected_100_continue = False  # gunicorn would say it, too
        return not self._received

    def add(self, block: bytes) -> None:
        """The next bytes."""
        self._received += block

    def drop(self) -> None:
        """Nothing of what is there will be answered."""
        self._received.clear()
        self._begin()

    def look(self) -> bool:
        """Whether the first request is whole; ParseException when it never can be."""
        if self.request is None and not self._read_head():
            return False
        if self._too_large or self._body is not None:
            return True
        if self._length is not None:
            return len(self._received) >= self._length
        return self._read_chunks()

    def take(self) -> tuple[Any, bytes | None]:
        """The first request, which is whole, and its body, which can still be read from it.

        None: it is too large and will be refused; what is behind it cannot be found, so the
        connection ends.
        """
        request, body = self.request, self._body
        request._expected_100_continue = False  # gunicorn would answer it, too
        if self._too_large:
            request.body = _TooLarge()
            request.force_close()
            self.drop()
            return request, None
        if body is None:
            body = bytes(self._received[: self._length])
            del self._received[: self._length]
        request.body = io.BytesIO(body)
        self._begin()
        return request, body

    def _read_head(self) -> bool:
        """Let the parser read the head, once that has ended or is not one."""
        data, since = self._received, self._searched
        end = data.find(_HEAD_END, max(0, since - 3))
        size = end + len(_HEAD_END) if end >= 0 else len(data)
        if size > LONGEST_HEAD + len(_HEAD_END):
            raise LimitRequestHeaders("max buffer headers")
        if end < 0:
            lines = data.count(b"\n", since)
            self._lines, self._searched = self._lines + lines, size
            if lines == data.count(b"\r\n", max(0, since - 1)):  # no newline stands alone
                if self._lines or size <= LONGEST_LINE + 2:
                    return False
        request, left = self._heads.request_of(bytes(data[:size]), self._client)
        data[:size] = left
        self.request = request
        if _in_chunks(request):
            self._chunks = PythonProtocol(limit_request_fields=0)
            self._chunks.feed(_CHUNKED)
        else:
            self._length = request.body.reader.length
            self._too_large = self._length > self._most
        return True

    def _read_chunks(self) -> bool:
        """Whether a body in chunks is there, or too large; ParseException when it is broken."""
        data, chunks = self._received, self._chunks
        size = len(data)
        try:
            chunks.feed(data[self._fed :])
            self._fed = size
            if not chunks.is_complete:
                coming = size + chunks._chunk_remaining  # as its size line says
                self._too_large = coming > self._most + _MOST_FRAMING
                return self._too_large
            size -= len(chunks.remaining())
        except ParseError:
            pass  # `Request` says what is wrong
        source = self.request.unreader
        source.give(bytes(data[:size]))
        try:
            body: bytes = self.request.body.read()
        except _Unfinished:
            raise InvalidChunkSize(b"") from None
        if source.left():
            raise InvalidChunkSize(b"")
        del data[:size]
        self._body, self._too_large = body, len(body) > self._most
        return True
