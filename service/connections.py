"""connections.py: bytes as they come in -> whole requests, so that no thread waits for a sender."""

import re
import socket
import time
from typing import Any, Final, NamedTuple

from gunicorn.workers.gthread import TConn

_BLOCK: Final = 65_536
_LONGEST_HEAD: Final = 65_536  # what is longer is the parser's to refuse
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_OWN_WAY: Final = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade):", re.IGNORECASE)
_WRITE_SECONDS: Final = 30.0


class Head(NamedTuple):
    """What can be said of a request before it is parsed.

    length: bytes of the body. size: of the whole request; None where that is not known.
    """

    method: bytes
    path: bytes
    length: int
    size: int | None


class Connection(TConn):  # type: ignore[misc]  # gunicorn publishes no types
    """A client's connection, and what came on it that no thread has yet."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.received = bytearray()
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
        """The request that stands first in what came; None while its head is not whole."""
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return Head(b"", b"", 0, None) if len(self.received) > _LONGEST_HEAD else None
        head = bytes(self.received[: end + 4])
        words = head[: head.find(b"\r\n")].split(b" ")
        if len(words) != 3 or _OWN_WAY.search(head):
            return Head(b"", b"", 0, None)
        found = _LENGTH.findall(head)
        if len(found) > 1 or (not found and b"ontent-" in head and words[0] != b"GET"):
            return Head(b"", b"", 0, None)
        length = int(found[0]) if found else 0
        return Head(words[0], words[1].split(b"?")[0], length, end + 4 + length)

    def init(self) -> None:
        """In the thread that answers: the parser begins with what came."""
        super().init()
        if self.received:
            self.parser.unreader.unread(bytes(self.received))
            self.received.clear()
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
