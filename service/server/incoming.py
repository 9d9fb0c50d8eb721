"""incoming.py: bytes as they come in -> whole requests, the head of each parsed once.

The parser is gunicorn's, whose reading of a request is what Flask gets: so the gate and the routes
cannot understand the same bytes differently. No thread waits for a sender, nor finds out only
while it answers that a body is broken.
"""

import io
import re
from collections.abc import Callable
from typing import Any, Final

from gunicorn.http.body import CHUNK_EXT_RE, ChunkedReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader
from werkzeug.exceptions import RequestEntityTooLarge

LONGEST_HEAD: Final = 65_536
MOST_FIELDS: Final = 100  # of a head; gunicorn's own limit, which it looks at only at the end
LONGEST_LINE: Final = 4094  # of a request, as gunicorn has it
_MOST_FRAMING: Final = 1 << 20  # bytes around the chunks of one body
_LONGEST_SIZE: Final = 1024  # of a line that says how long a chunk is
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:" + CHUNK_EXT_RE.pattern + rb")")

Parse = Callable[[bytes], Any]


class _TooLarge(io.RawIOBase):
    """A body of which nothing is kept: whoever reads it answers 413."""

    def read(self, _size: int | None = -1) -> bytes:
        raise RequestEntityTooLarge

    def readinto(self, _buffer: Any) -> int:
        raise RequestEntityTooLarge


class _Ended(Unreader):  # type: ignore[misc]  # gunicorn publishes no types
    def chunk(self, size_hint: int | None = None) -> bytes:
        raise NoMoreData


def parser(cfg: Any, client: Any) -> Parse:
    """What makes a request of a whole head, as gunicorn does for its own workers."""

    def parse(head: bytes) -> Any:
        source = _Ended()
        source.unread(head)
        try:
            return Request(cfg, source, client)
        except NoMoreData:
            raise InvalidRequestLine("") from None

    return parse


class Incoming:
    """What came on one connection and nobody has taken yet.

    parse: makes a request of a head. most: bytes of body that anybody will read.
    """

    def __init__(self, parse: Parse, most: int) -> None:
        self._parse, self._most = parse, most
        self._received = bytearray()
        self._begin()

    def _begin(self) -> None:
        self.request: Any = None  # the first one, once its head has come
        self._searched = self._lines = 0  # of what came, for the end of a head or of trailers
        self._length: int | None = None  # of the body; None when it comes in chunks
        self._body = bytearray()  # what its chunks held
        self._chunk: int | None = None  # size of the one that is coming
        self._framing = 0
        self._too_large = False  # it is not read any further

    @property
    def held(self) -> int:
        """Bytes that are kept here."""
        return len(self._received) + len(self._body)

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
        if self.request is None and not self._head():
            return False
        if self._length is not None:
            return self._too_large or len(self._received) >= self._length
        return self._too_large or self._chunks()

    def take(self) -> tuple[Any, int | None]:
        """The first request, which is whole, with its body to be read, and how long that is.

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
        if self._length is not None:
            body = self._received[: self._length]
            del self._received[: self._length]
        request.body = io.BytesIO(body)
        self._begin()
        return request, len(body)

    def _head(self) -> bool:
        data = self._received
        end = data.find(b"\r\n\r\n", max(0, self._searched - 3))
        until = len(data) if end < 0 else end
        lines = data.count(b"\n", self._searched, until)
        if lines != data.count(b"\r\n", max(0, self._searched - 1), until):
            raise InvalidRequestLine("")  # a bare newline: that head would never end
        self._lines += lines
        self._searched = len(data)
        if self._lines > MOST_FIELDS + 1:  # the first line, and a blank one that may precede it
            raise LimitRequestHeaders("limit request headers fields")
        if max(end, 0 if end >= 0 else len(data)) > LONGEST_HEAD:
            raise LimitRequestHeaders("max buffer headers")
        if end < 0:
            if not self._lines and len(data) > LONGEST_LINE + 2:
                raise LimitRequestLine(len(data), LONGEST_LINE)
            return False
        head = bytes(data[: end + 4])
        del data[: end + 4]
        self.request = self._parse(head)
        self._searched = 0
        reader = self.request.body.reader
        self._length = None if isinstance(reader, ChunkedReader) else reader.length
        self._too_large = self._length is not None and self._length > self._most
        return True

    def _chunks(self) -> bool:
        """Unpack the chunks that have come whole; True when the last has, and its trailers."""
        at = 0
        while self._chunk != 0:
            if self._chunk is None:
                begins = self._size(at)
                if begins < 0:
                    break
                self._framing += begins - at + 2
                at = begins
                if self._exceeds():
                    return True
                continue
            end = at + self._chunk
            if len(self._received) < end + 2:
                break
            if self._received[end : end + 2] != b"\r\n":
                raise ChunkMissingTerminator(bytes(self._received[end : end + 2]))
            self._body += self._received[at:end]
            at, self._chunk = end + 2, None
        del self._received[:at]
        return self._chunk == 0 and self._trailers()

    def _size(self, at: int) -> int:
        """Read the line that says how long the next chunk is: where this begins, or -1."""
        end = self._received.find(b"\r\n", at, at + _LONGEST_SIZE)
        if end < 0:
            if len(self._received) - at >= _LONGEST_SIZE:
                raise InvalidChunkSize(b"")
            return -1
        size = _CHUNK.fullmatch(self._received, at, end)
        if size is None:
            raise InvalidChunkSize(bytes(self._received[at:end]))
        self._chunk = int(size[1], 16)
        return end + 2

    def _exceeds(self) -> bool:
        too_long = len(self._body) + (self._chunk or 0) > self._most
        self._too_large = too_long or self._framing > _MOST_FRAMING
        return self._too_large

    def _trailers(self) -> bool:
        """After the last chunk: nothing, or fields that are checked and dropped."""
        data = self._received
        if data[:2] == b"\r\n":
            del data[:2]
            return True
        end = data.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(data)
        if end < 0:
            if len(data) > LONGEST_HEAD:
                raise LimitRequestHeaders("limit request trailer section size")
            return False
        self.request.parse_headers(bytes(data[:end]), from_trailer=True)
        del data[: end + 4]
        return True
