"""worker.py: connections -> requests that are let in, in lanes; the rest hears 503 at once.

gunicorn's threaded worker gives every connection to its pool, whose queue has no end, and a thread
waits for what a slow sender sends. Here the main thread reads, decides, and refuses; the threads
get whole requests. Health has a thread of its own, and so has everything that is no /rerank, so
that neither waits behind searches.
"""

import errno
import logging
import selectors
import socket
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from gunicorn import util
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from service.admission import Admission, AdmissionSettings, candidates_in
from service.answers import error_body
from service.arrivals import arrived
from service.connections import Connection, Head
from service.draining import draining
from service.limits import LimitSettings
from service.request_ids import REQUEST_ID, new_request_id
from service.security_headers import RAW

log = logging.getLogger("reranker")

SWITCH_SECONDS: Final = 0.0001  # between threads; Python's own 5 ms would hold up refusals
_HEALTH: Final = (b"/livez", b"/readyz")
_RERANK: Final = (b"/rerank",)
_END_SECONDS: Final = 2.0  # that a client gets to read its last answer
_MOST_OTHERS: Final = 64  # requests of other routes that wait
_MOST_BYTES: Final = 64 * 1024 * 1024  # of requests that are coming in, in all
_MOST_BODY: Final = 16 * 1024 * 1024  # of one that is kept here; a thread refuses what is longer
_ACCEPTS: Final = 32  # connections taken between two looks at the others
_SPARE: Final = 200  # connections above the limit, to tell them that they are too many


def _refusal(close: bool) -> bytes:
    how = "Retry-After: 1\r\n" + ("Connection: close\r\n" if close else "")
    message = "The service is busy; try again in a second."
    return _raw(503, "Service Unavailable", error_body(503, message, "overloaded"), how)


def _too_slow(seconds: float) -> bytes:
    message = f"The request did not arrive within {seconds:g} s (limits.arrival_seconds)."
    return _raw(408, "Request Timeout", error_body(408, message), "Connection: close\r\n")


def _raw(status: int, reason: str, body: bytes, more: str) -> bytes:
    """An answer that Flask has no part in."""
    head = (
        f"HTTP/1.1 {status} {reason}\r\n{more}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{REQUEST_ID}: {new_request_id()}\r\n{RAW}\r\n"
    )
    return head.encode() + body


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's threaded worker with a gate, lanes, and our error shape."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keepalived_conns: dict[Connection, None] = {}  # all that are only read from
        self.admission = Admission(AdmissionSettings())
        self._limit(LimitSettings())
        self._others = self._bytes = 0
        self._other_pool = ThreadPoolExecutor(self.cfg.threads, "other")
        self._health_pool = ThreadPoolExecutor(1, "health")
        self._looked = 0.0
        self._published = (0, 0)

    def _limit(self, limits: LimitSettings) -> None:
        self.arrival_seconds, self.body_bytes = limits.arrival_seconds, limits.body_bytes

    def init_process(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        workspace = getattr(self.app, "workspace", None)
        if workspace is not None:
            self.admission = Admission(workspace.section(AdmissionSettings))
            self._limit(workspace.section(LimitSettings))
        super().init_process()

    # The loop

    def run(self) -> None:
        self.poller.register(
            self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks
        )
        self.set_accept_enabled(True)
        while self.alive:
            self.set_accept_enabled(self.nr_conns < self.worker_connections + _SPARE)
            self.wait_for_and_dispatch_events(timeout=1.0)
            if time.monotonic() - self._looked > 1.0 and not self._look():
                break
        self._stop()

    def _look(self) -> bool:
        """What is due every second; False when the master is gone."""
        self.notify()
        self._looked = time.monotonic()
        if draining():
            self.max_keepalived = 0  # every answer now asks for a new connection
        self._close_late(self._looked)
        self._publish()
        return bool(self.is_parent_alive())

    def _stop(self) -> None:
        """Take what has come, answer it, and end."""
        for listener in self.sockets:
            if self._accepting:
                self.accept(listener, most=1 << 16)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        end = time.monotonic() + self.cfg.graceful_timeout
        soon = time.monotonic() + _END_SECONDS
        for conn in self.keepalived_conns:
            conn.until = min(conn.until, soon)
        while self.nr_conns > 0 and time.monotonic() < end:
            self.notify()
            self.wait_for_and_dispatch_events(timeout=0.1)
            self._close_late(time.monotonic())
        self._publish()
        for pool in (self.tpool, self._other_pool, self._health_pool):
            pool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()

    # Connections

    def accept(self, listener: Any, most: int = _ACCEPTS) -> None:
        """Take new connections; what they sent along is read at once."""
        for _ in range(most):
            try:
                sock, client = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    log.error("no more connections can be opened: %s", error.strerror)
                    time.sleep(0.01)
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                    raise
                return
            self.nr_conns += 1
            conn = Connection(self.cfg, sock, client, listener.getsockname())
            conn.most = self.body_bytes
            self._listen_to(conn, self.arrival_seconds)
            if self.nr_conns > self.worker_connections:
                self.admission.refused += 1
                conn.send(_refusal(close=True))
                self._end(conn)
            else:
                self._readable(conn, conn.sock)

    def _listen_to(self, conn: Connection, seconds: float) -> None:
        conn.until = time.monotonic() + seconds
        self.keepalived_conns[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._readable, conn))

    def _forget(self, conn: Connection) -> None:
        self.keepalived_conns.pop(conn, None)
        self._bytes -= conn.counted
        conn.counted = 0
        try:
            self.poller.unregister(conn.sock)
        except (OSError, KeyError, ValueError):
            pass

    def _close(self, conn: Connection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _close_late(self, now: float) -> None:
        """Close what is idle for too long; whoever sent half a request hears why."""
        for conn in [one for one in self.keepalived_conns if one.until < now]:
            if conn.received and not conn.ending:
                conn.send(_too_slow(self.arrival_seconds))
                self._end(conn)
            else:
                self._close(conn)

    def _end(self, conn: Connection) -> None:
        """Its last answer is sent: wait a moment for the client to have read it."""
        ended = conn.end(_END_SECONDS)
        self._count(conn)
        if not ended:
            self._close(conn)

    def _count(self, conn: Connection) -> None:
        """What this connection holds now, among the bytes of all."""
        self._bytes += len(conn.received) - conn.counted
        conn.counted = len(conn.received)

    def _readable(self, conn: Connection, _sock: Any) -> None:
        before = len(conn.received)
        there = conn.read()
        self._count(conn)
        if not there:
            self._close(conn)
        elif not conn.ending and conn.received:
            if not before:
                conn.until = time.monotonic() + self.arrival_seconds
            self._whole(conn)

    def _whole(self, conn: Connection) -> None:
        """Dispatch what has come in whole."""
        most = max(_MOST_BODY, self.body_bytes)
        while conn.received and not conn.ending:
            head = conn.head()
            self._count(conn)
            if len(conn.received) > most and (head is None or head.size is None):
                head = Head(b"", b"", 0, None)  # a thread refuses what is there
                conn.cut()
            if head is None or (
                head.size is not None and head.size > len(conn.received) and head.length <= most
            ):
                if self._bytes > _MOST_BYTES:
                    self.admission.refused += 1
                    self._refuse(conn, None)
                return
            conn.arrived = time.perf_counter()
            if not self._refused(conn, head):
                return

    # The gate

    def _refused(self, conn: Connection, head: Head) -> bool:
        """Hand the request to its lane, or refuse it; True when there may be another behind it."""
        if head.path in _HEALTH:
            self._hand_over(conn, self._health_pool)
        elif head.path in _RERANK and head.method == b"POST" and head.length <= self.body_bytes:
            candidates = candidates_in(head.length)
            if not self.admission.admit(candidates):
                return self._refuse(conn, head)
            conn.candidates = candidates
            self._hand_over(conn, self.tpool)
        elif self._others >= _MOST_OTHERS:
            self.admission.refused += 1
            return self._refuse(conn, head)
        else:
            if head.length > self.body_bytes:
                conn.cut()
            self._others += 1
            self._hand_over(conn, self._other_pool)
        return False

    def _refuse(self, conn: Connection, head: Head | None) -> bool:
        """Answer 503; True when the connection goes on after this request.

        It only does after a request whose end nobody could see elsewhere.
        """
        size = head.size if head is not None else None
        whole = size is not None and size <= len(conn.received)
        plain = head is not None and not head.chunked and head.method != b"HEAD"
        goes_on = whole and plain and self.alive
        sent = conn.send(_refusal(close=not goes_on))
        if goes_on and sent:
            conn.skip(size or 0)
            self._count(conn)
            conn.until = time.monotonic() + self.cfg.keepalive
            return True
        self._end(conn)
        return False

    def _hand_over(self, conn: Connection, pool: ThreadPoolExecutor) -> None:
        self._forget(conn)
        future = pool.submit(self.handle, conn)
        other = pool is self._other_pool
        future.add_done_callback(
            lambda done: self.method_queue.defer(self._answered, conn, done, other)
        )

    def handle(self, conn: Connection) -> Any:
        """In a lane's thread: answer one request. Whether the connection goes on."""
        try:
            with arrived(conn.arrived):
                return super().handle(conn)
        finally:
            if conn.candidates is not None:
                self.admission.done(conn.candidates)
                conn.candidates = None

    def _answered(self, conn: Connection, future: Future[Any], other: bool) -> None:
        """On the main thread again: the connection's next request, or its end."""
        self._others -= other
        goes_on = future.exception() is None and bool(future.result())
        if goes_on:
            conn.take_back()
            self._count(conn)
            self._listen_to(conn, self.cfg.keepalive if self.alive else _END_SECONDS)
            if conn.received:
                self._whole(conn)
            return
        try:
            self._listen_to(conn, _END_SECONDS)
        except (OSError, ValueError):  # closed already
            self._close(conn)
            return
        self._end(conn)

    # What is said of it

    def _publish(self) -> None:
        metrics = getattr(getattr(self, "wsgi", None), "extensions", {}).get("metrics")
        if metrics is not None:
            now = (self.admission.admitted, self.admission.refused)
            admitted, refused = (
                one - before for one, before in zip(now, self._published, strict=True)
            )
            self._published = now
            metrics.note_admission(admitted, refused, self.admission.candidates)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl-C loses no request either."""
        self.handle_exit(sig, frame)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what never reached Flask: a request that is not HTTP, or headers too large."""
        if not isinstance(exc, ParseException):
            log.error("a connection failed", exc_info=exc)
        status, reason, message = _said(exc)
        answer = _raw(status, reason, error_body(status, message), "Connection: close\r\n")
        try:
            util.write_nonblock(client, answer)
        except OSError:
            log.debug("the client was gone before its error", exc_info=True)


def _said(exc: BaseException) -> tuple[int, str, str]:
    if isinstance(exc, LimitRequestHeaders):
        return 431, "Request Header Fields Too Large", "The headers are too large."
    if isinstance(exc, LimitRequestLine):
        return 414, "URI Too Long", "The address is too long."
    if isinstance(exc, UnsupportedTransferCoding):
        return 501, "Not Implemented", "This transfer coding is not known."
    if isinstance(exc, ParseException):
        return 400, "Bad Request", "This is not an HTTP request that can be read."
    return 500, "Internal Server Error", "The service failed here; its log has the reason."
