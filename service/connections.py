"""connections.py: bytes as they come in -> whole requests, so that no thread waits for a sender."""

import re
import socket
import time
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn

_BLOCK: Final = 65_536
_LONGEST_HEAD: Final = 65_536  # what is longer is the parser's to refuse
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*(?=\r\n)", re.IGNORECASE)
_CONTENT: Final = re.compile(rb"\r\ncontent-length", re.IGNORECASE)
_CODED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
_LONGEST_SIZE: Final = 1024
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WRITE_SECONDS: Final = 30.0


class Head(NamedTuple):
    """What can be said of a request before it is parsed.

    length: bytes of the body. size: of the whole request; None where that is not known. chunked:
    framed in a way that is left to the parser to judge.
    """

    method: bytes
    path: bytes
    length: int
    size: int | None
    chunked: bool = False


def _no_more(size_hint: int | None = None) -> bytes:
    """No thread reads from a connection: a request comes whole, and what is missing never comes.

    An empty answer instead would count as the end of the body, and a late one as a new request.
    """
    raise NoMoreData


_UNKNOWN: Final = Head(b"", b"", 0, None)  # the parser's to refuse


class Connection(TConn):  # type: ignore[misc]  # gunicorn publishes no types
    """A client's connection, and what came on it that no thread has yet."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.most = 0  # bytes of body that anybody will read
        self.received = bytearray()
        self.counted = 0  # bytes of it that the worker has counted
        self._chunk_at = 0  # where the next chunk of its body begins
        self.until = 0.0  # on `time.monotonic`: then it is closed, if nothing has come of it
        self.arrived = 0.0  # on `time.perf_counter`: when the request had come
        self.candidates: int | None = None  # of a request that was let in by the gate
        self.ending = False  # answered, and only read until the client hangs up
        self.data_ready = True  # a thread gets it with a request

    def read(self) -> bool:
        """Take what is there; False when the client hung up."""
        try:
            block = self.sock.recv(_BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self.ending:
            self.received += block
        return bool(block)

    def head(self) -> Head | None:
        """The request that stands first in what came; None while nothing can be done about it."""
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return _UNKNOWN if len(self.received) > _LONGEST_HEAD else None
        end = self._go_on(end)
        head = bytes(self.received[: end + 4])
        words = head[: head.find(b"\r\n")].split(b" ")
        found = _LENGTH.findall(head)
        if len(words) != 3 or len(found) > 1:
            return _UNKNOWN
        try:
            path = unquote_to_bytes(urlsplit(words[1]).path)  # as Flask will understand it
        except ValueError:
            return _UNKNOWN
        if _CODED.search(head):
            if found or len(_CODED.findall(head)) > 1 or not _CHUNKED.search(head):
                return _UNKNOWN
            return self._chunked(words[0], path, end + 4)
        if not found and _CONTENT.search(head):
            return _UNKNOWN
        length = int(found[0]) if found else 0
        return Head(words[0], path, length, end + 4 + length)

    def _go_on(self, end: int) -> int:
        """Answer a client that asks before it sends its body; where the head ends then."""
        head = bytes(self.received[: end + 2])
        plain = _EXPECT.sub(b"", head)
        if plain == head or b" HTTP/1.1\r\n" not in head[: head.find(b"\r\n") + 2]:
            return end
        self.received[: end + 2] = plain  # a thread must not answer it again
        length = _LENGTH.search(plain)
        refused = length is not None and int(length[1]) > self.most
        if len(self.received) == len(plain) + 2 and not refused:
            self.send(_GO_ON)
        return len(plain) - 2

    def _chunked(self, method: bytes, path: bytes, body: int) -> Head | None:
        """The same of a body in chunks, from where the last look at it ended."""
        at = self._chunk_at = max(self._chunk_at, body)
        while at < len(self.received):
            size = _CHUNK_SIZE.match(self.received, at)
            if size is None:
                line = self.received[at : at + _LONGEST_SIZE]
                broken = b"\n" in line or len(line) == _LONGEST_SIZE
                return _UNKNOWN if broken else None
            if not int(size[1], 16):
                return self._trailed(method, path, body, size.end())
            at = self._chunk_at = size.end() + int(size[1], 16) + 2
        return None

    def _trailed(self, method: bytes, path: bytes, body: int, at: int) -> Head | None:
        """After the last chunk: nothing, or trailers."""
        if self.received[at : at + 2] == b"\r\n":
            return Head(method, path, at - body, at + 2, chunked=True)
        end = self.received.find(b"\r\n\r\n", at)
        if end < 0:
            return _UNKNOWN if len(self.received) - at > _LONGEST_HEAD else None
        return Head(method, path, at - body, end + 4, chunked=True)

    def cut(self) -> None:
        """The rest of the request will not be read, so the connection cannot go on after it."""
        line = self.received.find(b"\r\n") + 2
        self.received[line:line] = b"Connection: close\r\n"

    def skip(self, size: int) -> None:
        """A request is done with that no thread had."""
        del self.received[:size]
        self._chunk_at = 0

    def init(self) -> None:
        """In the thread that answers: the parser begins with what came."""
        super().init()
        self.parser.unreader.chunk = _no_more
        if self.received:
            self.parser.unreader.unread(bytes(self.received))
            self.received.clear()
        self._chunk_at = 0
        self.sock.settimeout(_WRITE_SECONDS)

    def take_back(self) -> None:
        """After an answer: what came behind the request is the next one's beginning."""
        self.received += self.parser.unreader.take_buffered()
        self.sock.setblocking(False)

    def send(self, answer: bytes) -> bool:
        """Send an answer that fits into what the kernel buffers; False when it did not."""
        try:
            return bool(self.sock.send(answer) == len(answer))
        except OSError:
            return False

    def end(self, seconds: float) -> bool:
        """Say that no more will come; False when the client is gone already.

        Closing at once would throw away an answer that the client has not read.
        """
        self.sock.setblocking(False)
        self.ending, self.until = True, time.monotonic() + seconds
        self.received.clear()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True
