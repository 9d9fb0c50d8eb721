"""slow_clients.py: bytes as they trickle in -> whole requests for gunicorn's threads, or a 408.

gunicorn's threaded worker gives a connection a thread when its first byte is there, and the thread
then waits for the rest: a few clients that send a byte a second stop the service. Here a request is
gathered without a thread that waits for it; a thread gets it when its last byte is there. The same
for the end of a connection, on which gunicorn's main loop waits up to two seconds.
"""

import errno
import logging
import re
import resource
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

from service.limits import LimitSettings

log = logging.getLogger("reranker")

MOST_HEAD: Final = 65_536  # bytes of a request's line and headers
LINGER_SECONDS: Final = 2.0  # for the client to read the end of an answer
ANSWER_SECONDS: Final = 60.0  # for a thread to compute an answer and the client to take it
MOST_HELD: Final = 8  # times limits.body_bytes of unfinished requests in one worker
MOST_OPEN: Final = 1024  # of connections that linger
_BLOCK: Final = 65_536
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.I)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.I)
_EXPECT: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.I)
_SIZE: Final = re.compile(rb"[ \t]*([0-9a-fA-F]{1,12})[ \t]*(;[^\r\n]*)?\r\n")
_LONGEST_SIZE: Final = 1024
_CLOSE: Final = b"Connection: close\r\n"
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Arriving:
    """A request of which a part is there. most: bytes of body that anybody will read."""

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self.cut = False  # more follows that nobody reads: the connection has to close
        self._most = most
        self._body_at = 0
        self._need = 0  # bytes in all, once that is known
        self._chunk_at = -1  # where the next chunk's size stands; -1: not chunked
        self._expects = False

    def complete(self) -> bool:
        """Whether a thread can read it to its end; or to where it is refused."""
        if not self._body_at and not self._read_head():
            return False
        if self._chunk_at >= 0 and not self._need:
            self._read_chunks()
            if len(self.data) - self._body_at > self._most + MOST_HEAD:
                self._leave_it()
        return self._need > 0 and len(self.data) >= self._need

    def bytes(self) -> bytes:
        """For gunicorn's parser; where the rest is cut off, it has to say that it closes."""
        if self.cut:
            line = self.data.find(b"\r\n") + 2
            self.data[line:line] = _CLOSE
        return bytes(self.data)

    def _leave_it(self) -> None:
        """A thread says what is wrong with what is there; the rest is not waited for."""
        self._need, self.cut = self._body_at, True

    @property
    def too_long(self) -> Exception | None:
        """Why a head that goes on and on is refused."""
        if self._body_at or len(self.data) <= MOST_HEAD:
            return None
        if b"\r\n" not in self.data[:MOST_HEAD]:
            line: Exception = LimitRequestLine(len(self.data), MOST_HEAD)
            return line
        headers: Exception = LimitRequestHeaders("limit request headers")
        return headers

    @property
    def wants_to_go_on(self) -> bool:
        """Once: whether the client waits for a word before it sends the body."""
        asked, self._expects = self._expects, False
        return asked

    def _read_head(self) -> bool:
        end = self.data.find(_HEAD_END)
        if end < 0 or end > MOST_HEAD:
            return False
        head = bytes(self.data[: end + 2])
        plain = _EXPECT.sub(b"", head)
        if plain != head:  # answered here: the thread must not answer it again
            self.data[: end + 2] = plain
        self._body_at = len(plain) + 2
        length = _LENGTH.search(plain)
        if _CHUNKED.search(plain):
            self._chunk_at = self._body_at
        else:
            size = int(length[1]) if length else 0
            self._need = self._body_at + size
            if size > self._most:
                self._leave_it()
        self._expects = plain != head and not 0 < self._need <= len(self.data)
        return True

    def _read_chunks(self) -> None:
        """Step from chunk to chunk as far as they are there."""
        while self._chunk_at < len(self.data):
            size = _SIZE.match(self.data, self._chunk_at)
            if size is None:
                line = self.data[self._chunk_at : self._chunk_at + _LONGEST_SIZE]
                if b"\n" in line or len(line) == _LONGEST_SIZE:
                    self._leave_it()  # broken, or endless
                return
            length = int(size[1], 16)
            if not length:
                self._read_end(size.end())
                return
            self._chunk_at = size.end() + length + 2

    def _read_end(self, at: int) -> None:
        """After the last chunk: nothing, or trailers."""
        if self.data[at : at + 2] == b"\r\n":
            self._need = at + 2
            return
        end = self.data.find(_HEAD_END, at)
        if end >= 0:
            self._need = end + 4
        elif len(self.data) - at > MOST_HEAD:
            self._leave_it()


class Gathered(SocketUnreader):  # type: ignore[misc]  # gunicorn publishes no types
    """What was gathered, for gunicorn's parser; it never reads from the socket itself."""

    def __init__(self, data: bytes) -> None:
        super().__init__(None)
        self._data = data
        self._at = 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        size = min(max(self.mxchunk, size_hint or 0), self.max_body_chunk)
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def rest(self) -> bytes:
        """What was sent after the request: the beginning of the next."""
        held = bytes(self.take_buffered()) + self._data[self._at :]
        self._at = len(self._data)
        return held


class Connection(TConn):  # type: ignore[misc]
    """gunicorn's connection; its end waits for nobody."""

    def __init__(self, worker: "PatientWorker", *args: Any) -> None:
        super().__init__(*args)
        self._worker = worker
        self.arriving: Arriving | None = None
        self.next = b""  # read already of the next request
        self.deadline = time.monotonic() + worker.limits.arrival_seconds

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._worker.linger(self.sock)
        else:
            util.close(self.sock)


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker whose threads never wait for a client that sends."""

    limits = LimitSettings()

    def init_process(self) -> None:
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._answering: dict[Any, float] = {}
        self._held = 0  # bytes of unfinished requests
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # a connection is a file; 1,024 are soon used up
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self.enqueue_req(Connection(self, self.cfg, client, address, listener.getsockname()))

    def handle(self, conn: Any) -> Any:
        """Gather; answer when the request is there, else give the thread back."""
        outcome = self._gather(conn)
        if outcome is not None:
            return outcome
        conn.sock.setblocking(True)
        conn.init()
        arriving, conn.arriving = conn.arriving, None
        conn.parser.unreader = unreader = Gathered(arriving.bytes())
        conn.data_ready = True
        self._answering[conn] = time.monotonic() + ANSWER_SECONDS
        try:
            again = super().handle(conn)
        finally:
            self._answering.pop(conn, None)
        again = again and not arriving.cut
        conn.next = unreader.rest() if again else b""
        if conn.next:
            unreader.unread(conn.next[:1])  # that makes gunicorn come back at once
        return again

    def _gather(self, conn: Any) -> Any:
        """None when the request is there; what gunicorn takes for "later" or "close" otherwise."""
        if conn.arriving is None:
            conn.arriving = Arriving(self.limits.body_bytes)
            conn.arriving.data += conn.next
            conn.deadline = time.monotonic() + self.limits.arrival_seconds
            if conn.next:
                conn.next, conn.parser.unreader = b"", Gathered(b"")
        try:
            return self._read(conn, conn.arriving)
        except OSError:
            return False

    def _read(self, conn: Any, arriving: Arriving) -> Any:
        conn.sock.setblocking(False)
        while not arriving.complete():
            if arriving.wants_to_go_on:
                conn.sock.send(_GO_ON)
            refused = self._refused(conn, arriving)
            if refused:
                conn.sock.setblocking(True)
                self.handle_error(None, conn.sock, conn.client, refused)
                return False
            try:
                block = conn.sock.recv(_BLOCK)
            except BlockingIOError:
                return _DEFER
            if not block:
                if not arriving.data:
                    return False
                arriving.cut = True  # gunicorn says so, or says nothing
                return None
            arriving.data += block
        return None

    def _refused(self, conn: Any, arriving: Arriving) -> Exception | None:
        if arriving.too_long:
            return arriving.too_long
        if time.monotonic() > conn.deadline:
            return TooSlow(self.limits.arrival_seconds)
        if self._held > MOST_HELD * self.limits.body_bytes and len(arriving.data) > MOST_HEAD:
            return TooMuchHeld()
        return None

    def murder_pending(self) -> None:
        """At least once a second: end what takes too long, and what is over."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.deadline < now]:
            self._end(conn)
        self._held = sum(len(conn.arriving.data) for conn in self.pending_conns if conn.arriving)
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        for conn, until in list(self._answering.items()):
            if until < now:  # its thread's write fails, and the thread is free
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RDWR)
        self._let_go(now)

    def _make_room(self) -> None:
        """Whoever waits longest for the rest of a request, without having sent it, makes room."""
        if self.pending_conns:
            self._end(self.pending_conns[0])

    def _end(self, conn: Any) -> None:
        self.pending_conns.remove(conn)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        if conn.arriving is not None and conn.arriving.data:
            late = TooSlow(self.limits.arrival_seconds)
            self.handle_error(None, conn.sock, conn.client, late)
        conn.close(graceful=True)

    def linger(self, sock: socket.socket) -> None:
        """Say that nothing more comes, and close when the client has read it, or in two seconds.

        Closing at once would cut off the answer's end where sent bytes are still unread.
        """
        try:
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            util.close(sock)
            return
        if _drained(sock) or len(self._lingering) >= MOST_OPEN:
            util.close(sock)
        else:
            self._lingering.append((time.monotonic() + LINGER_SECONDS, sock))

    def _let_go(self, now: float) -> None:
        for _ in range(len(self._lingering)):
            until, sock = self._lingering.popleft()
            if until < now or _drained(sock):
                util.close(sock)
            else:
                self._lingering.append((until, sock))


class TooSlow(Exception):
    """A request whose last byte did not come in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The request did not arrive within {seconds:g} s (limits.arrival_seconds)."
        )


class TooMuchHeld(Exception):
    """More bytes of unfinished requests than a worker holds."""

    def __init__(self) -> None:
        super().__init__("Too many large requests are arriving at once; try again.")


def _drained(sock: socket.socket) -> bool:
    """Whether the client has closed, too; what it still sends is thrown away, up to a limit."""
    try:
        for _ in range(16):
            if not sock.recv(_BLOCK):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False
