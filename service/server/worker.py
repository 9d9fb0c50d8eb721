"""worker.py: connections -> requests that are let in, in lanes; the rest hears 503 at once.

gunicorn's threaded worker gives every connection to its pool, whose queue has no end, and a thread
waits for what a slow sender sends or a slow reader reads. Here the main thread reads, decides,
refuses, and sends what does not leave at once. Between two looks at the clients it answers
searches of which all is in memory (service/api/short_road.py): nothing changes hands then. The rest
is for the threads, which get whole requests, and are free when the answer is computed. Health has a
thread of its own, and so has everything that is no /rerank, so that neither waits behind searches.
"""

import errno
import logging
import resource
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from reranker.ranking.settings import RankingSettings
from service.http.received import arrived, noted_caller
from service.http.settings import LimitSettings
from service.live.draining import draining
from service.server.admission import Admission
from service.server.clients import Clients
from service.server.connections import END_SECONDS, Connection
from service.server.gunicorn_api import (
    SERVER,
    ParseException,
    ThreadWorker,
    http_date,
)
from service.server.incoming import Heads
from service.server.lanes import SHORT, Lane, lane_of
from service.server.raw_answers import GO_ON, failed, refusal, too_slow
from service.server.searches import budget_of, candidates_of
from service.server.seldom import Seldom
from service.server.settings import AdmissionSettings

if TYPE_CHECKING:  # prometheus_client, which it imports, asks at its import where workers meet
    from service.api.short_road import ShortRoad

log = logging.getLogger("reranker")

SWITCH_SECONDS: Final = 0.0001  # between threads; Python's own 5 ms would hold up refusals
_TURN_SECONDS: Final = 0.005  # that a thread waits for the loop, which may have no end of work
_AT_ONCE_SECONDS: Final = 0.0005  # in which the loop finds what had come before it looked
_MOST_OTHERS: Final = 64  # requests of other routes that wait
_MOST_BYTES: Final = 64 * 1024 * 1024  # of requests that are coming in, in all
_ACCEPTS: Final = 32  # connections taken between two looks at the others
_SPARE: Final = 200  # connections above the limit, to tell them that they are too many
_OTHER_FILES: Final = 300  # that a worker has open beside its connections
_NO_FILES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_READ_SECONDS: Final = 0.004  # that the loop reads and refuses while searches wait ...
_SEARCH_SECONDS: Final = 0.008  # ... and that it searches at most, before it looks at clients again
_SHORT_BYTES: Final = 262_144  # of a search that the loop may take; a longer one takes a thread
_ENCODER_SHARE: Final = 0.5  # of its budget, in which a search waits for its query's vector ...
_ENCODER_SECONDS: Final = 0.01  # ... looked at so often
_PAUSE_SECONDS: Final = 1.0  # without new connections, when none can be opened
_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's threaded worker with a gate, lanes, and our error shape."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clients = Clients(self._closed)
        self.keepalived_conns = self.clients.waiting  # under the name that gunicorn reads
        self.admission = Admission(AdmissionSettings())
        self.limits = LimitSettings()
        self._budget_ms = RankingSettings().budget_ms
        self._others = 0
        self._turn = threading.Lock()  # held while the loop reads and refuses
        self._other_pool = ThreadPoolExecutor(self.cfg.threads, "other")
        self._health_pool = ThreadPoolExecutor(1, "health")
        self._looked = self._accept_at = 0.0
        self._woke = self._arrived = time.perf_counter()
        self._published = (0, 0)
        self._full = Seldom("no more connections can be opened: %s")
        self._searches: deque[tuple[Connection, Any, bytes]] = deque()  # that may be at hand
        self._road: ShortRoad | None = None
        self._encoded_later: dict[Connection, tuple[Any, float]] = {}  # searches, and until when
        self._head = (0, b"")
        self._heads = Heads(self.cfg)
        self._keep_alive = float(self.cfg.keepalive)

    def init_process(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        workspace = getattr(self.app, "workspace", None)
        if workspace is not None:
            self.admission = Admission(workspace.section(AdmissionSettings))
            self.limits = workspace.section(LimitSettings)
            self._budget_ms = workspace.section(RankingSettings).budget_ms
        _allow_files(self.worker_connections + _SPARE + _OTHER_FILES)
        super().init_process()

    # The loop

    def run(self) -> None:
        from service.api.short_road import short_road

        self._road = short_road(getattr(self, "wsgi", None))
        self.clients.begin(self.poller, self._ready, self.limits)
        self.poller.register(self.method_queue.fileno(), _READ, self.method_queue.run_callbacks)
        while self.alive:
            room = self.nr_conns < self.worker_connections + _SPARE
            self.set_accept_enabled(room and time.monotonic() >= self._accept_at)
            self.wait_for_and_dispatch_events(timeout=1.0)
            if time.monotonic() - self._looked > 1.0 and not self._look():
                break
        self._stop()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the loop: read and refuse what has come, and answer searches that were let in
        in between, so that neither waits for the whole of the other. What it finds at once came
        while the turn before it went on, half of that ago in the mean, and gets no younger in this
        one."""
        began = time.perf_counter()
        if self._encoded_later:
            self._give_up_waiting()
            timeout = min(timeout, _ENCODER_SECONDS)
        events = self.poller.select(0.0 if self._searches else timeout)
        now = time.perf_counter()
        before = began - self._woke if now - began < _AT_ONCE_SECONDS else 0.0
        self._woke, self._arrived = now, now - before / 2
        come = iter(events)
        while self._read_from(come):
            self._search_for(time.perf_counter() - now)
            now = time.perf_counter()
        self._search_for(time.perf_counter() - now)

    def _read_from(self, come: Iterator[tuple[Any, int]]) -> bool:
        """Read and refuse some of what has come; whether more may be left."""
        until = time.perf_counter() + _READ_SECONDS
        with self._turn:
            for key, _ in come:
                key.data(key.fileobj)
                if time.perf_counter() >= until:
                    return True
        return False

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
            listener.setblocking(False)  # it is not yet, when the end comes with the beginning
            self.accept(listener, most=1 << 16)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        end = time.monotonic() + self.cfg.graceful_timeout
        soon = time.monotonic() + END_SECONDS
        for conn in self.clients.waiting:
            if not conn.unread:
                conn.until = min(conn.until, soon)
        while self.nr_conns > 0 and time.monotonic() < end:
            self.notify()
            self.wait_for_and_dispatch_events(timeout=0.1)
            self._close_late(time.monotonic())
        self._publish()
        for pool in (self.tpool, self._other_pool, self._health_pool):
            pool.shutdown(wait=False)
        self.poller.close()
        # The queue stays open: who is late still writes to it, by a number that could by then be
        # another file's.

    # Connections

    def accept(self, listener: Any, most: int = _ACCEPTS) -> None:
        """Take new connections; what they sent along is read at once."""
        for _ in range(most):
            try:
                sock, client = listener.accept()
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._full.say(error.strerror)
                    self._accept_at = time.monotonic() + _PAUSE_SECONDS
                    self.clients.make_room()
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                    raise
                return
            self.nr_conns += 1
            limits = self.limits
            server = listener.getsockname()
            conn = Connection(
                self._heads, sock, client, server, limits.body_bytes, limits.unread_bytes
            )
            full = self.nr_conns > self.worker_connections and not self.clients.make_room()
            self.clients.watch(conn, _READ, limits.arrival_seconds)
            if full:
                self.admission.refused += 1
                self._say(conn, refusal(None, goes_on=False), goes_on=False)
            else:
                self._readable(conn)

    def _closed(self) -> None:
        self.nr_conns -= 1
        self._accept_at = 0.0

    def _close_late(self, now: float) -> None:
        for conn in self.clients.close_late(now):
            self._say(conn, too_slow(self.limits.arrival_seconds), goes_on=False)

    def _ready(self, conn: Connection, _sock: Any) -> None:
        if conn.watched == _WRITE:
            self._writable(conn)
        elif conn.watched:
            self._readable(conn)
        else:
            self.clients.ignore(conn)

    def _readable(self, conn: Connection) -> None:
        begun = conn.incoming.begun
        if not conn.read():
            self.clients.close(conn)
        elif not conn.ending and conn.incoming.begun:
            if not begun:
                conn.until = time.monotonic() + self.limits.arrival_seconds
            self._next(conn)

    # What goes out

    def _writable(self, conn: Connection) -> None:
        if conn.sock.flush():
            conn.until = time.monotonic() + self.limits.answer_seconds
        if not conn.unread:
            self._sent(conn, conn.goes_on)

    def _say(self, conn: Connection, answer: bytes, goes_on: bool) -> None:
        """Answer here and now."""
        conn.sock.sendall(answer)
        self._leave(conn, goes_on)

    def _leave(self, conn: Connection, goes_on: bool) -> None:
        """An answer is complete: send the rest of it, as the client reads."""
        conn.sock.flush()
        conn.goes_on = goes_on
        if conn.sock.broken:
            self.clients.close(conn)
        elif conn.unread:
            self.clients.watch(conn, _WRITE, self.limits.answer_seconds)
            self.clients.bound_unread(conn.caller)
        elif not goes_on:
            self._end(conn)
        else:
            seconds = self._keep_alive if self.alive else END_SECONDS
            self.clients.watch(conn, _READ, seconds)

    def _sent(self, conn: Connection, goes_on: bool) -> None:
        """What waited has left: the next request, or the end."""
        self._leave(conn, goes_on)
        if conn.watched == _READ and conn.incoming.begun:
            conn.until = time.monotonic() + self.limits.arrival_seconds
            self._next(conn)

    def _end(self, conn: Connection) -> None:
        """Its last answer is sent: wait a moment for the client to have read it."""
        if conn.end():
            self.clients.watch(conn, _READ, conn.end_seconds)
        else:
            self.clients.close(conn)

    # The gate

    def _next(self, conn: Connection) -> None:
        """Let in, or refuse, what has come whole."""
        while conn.watched == _READ and not conn.ending and conn.incoming.begun:
            if not self._whole(conn):
                return
            request, body = conn.incoming.take()
            conn.asked, conn.arrived = True, self._arrived
            if body is None:  # it is too large, and may still be coming
                conn.end_seconds = self.limits.arrival_seconds
            self._admit(conn, request, body)

    def _whole(self, conn: Connection) -> bool:
        """Whether a whole request is there; what never can be one is answered."""
        try:
            whole = conn.incoming.look()
        except Exception as error:
            if not isinstance(error, ParseException):
                log.error("a request could not be read", exc_info=error)
            self._say(conn, failed(error), goes_on=False)
            return False
        self.clients.count(conn)
        if not whole and conn.incoming.waits_for_a_word:
            conn.sock.sendall(GO_ON)
            conn.sock.flush()
        if not whole and self.clients.bytes > _MOST_BYTES:
            self.admission.refused += 1
            self._refuse(max(self.clients.waiting, key=lambda other: other.counted), None)
        return whole

    def _admit(self, conn: Connection, request: Any, body: bytes | None) -> None:
        """Hand the request to its lane, or refuse it."""
        lane = lane_of(request)
        if lane is Lane.HEALTH:
            self._hand_over(conn, request, self._health_pool)
        elif lane is Lane.SEARCH and body is not None:
            conn.admitted = self.admission.admit(
                budget_of(request, body, self._budget_ms),
                lambda: candidates_of(request, body, self.limits.candidates),
                time.perf_counter() - conn.arrived,
            )
            if conn.admitted is None:
                self._refuse(conn, request)
            elif self._may_be_short(request, body):
                self.clients.unwatch(conn)
                self._searches.append((conn, request, body))
            else:
                self._hand_over(conn, request, self.tpool)
        elif self._others < _MOST_OTHERS:
            self._others += 1
            self._hand_over(conn, request, self._other_pool)
        else:
            self.admission.refused += 1
            self._refuse(conn, request)

    def _may_be_short(self, request: Any, body: bytes) -> bool:
        """Whether it is worth trying to answer this POST here. What gunicorn would say otherwise
        than in its usual head, it says itself."""
        return (
            self._road is not None
            and request.uri == SHORT
            and request.version == (1, 1)
            and len(body) <= _SHORT_BYTES
            and self.alive
            and not request.should_close()
            and not request.trailers
            and self.nr + 1 < self.max_requests
            and len(self.keepalived_conns) < self.max_keepalived
        )

    def _search_for(self, reading: float) -> None:
        """Answer at least one search, and go on for as long as reading took: a flood of what is
        refused leaves half of the time for what was let in, and is not kept waiting for longer."""
        until = time.perf_counter() + min(reading, _SEARCH_SECONDS)
        while self._searches:
            self._search(*self._searches.popleft())
            if time.perf_counter() >= until:
                return

    def _search(self, conn: Connection, request: Any, body: bytes) -> None:
        """Answer this search here, where all that it needs is at hand; else in a thread. A query
        that nobody asked before is encoded meanwhile, once."""
        from service.api.short_road import Later

        road = self._road if self.alive and not draining() else None
        again = None if conn.waited else partial(self._again, conn, request, body)
        answer = road.answer(request.headers, body, conn.arrived, again) if road else None
        if isinstance(answer, Later):
            conn.waited = True
            budget = budget_of(request, body, self._budget_ms)
            self._encoded_later[conn] = request, conn.arrived + budget * _ENCODER_SHARE
            return
        conn.waited = False
        if answer is None:
            self._hand_over(conn, request, self.tpool)
            return
        self.nr += 1
        conn.caller = answer.caller or conn.address
        self._leaves(conn)
        self._send(conn, self._usual_head() + answer.content)

    def _again(self, conn: Connection, request: Any, body: bytes) -> None:
        """In the encoder's thread: this search can be answered now, or never here."""
        self.method_queue.defer(self._search_again, conn, request, body)

    def _search_again(self, conn: Connection, request: Any, body: bytes) -> None:
        if self._encoded_later.get(conn, (None, 0.0))[0] is request:
            del self._encoded_later[conn]
            self._searches.append((conn, request, body))

    def _give_up_waiting(self) -> None:
        """Queries that the encoder does not come to in time are Flask's, which keeps deadlines."""
        now = time.perf_counter()
        late = [conn for conn, (_, until) in self._encoded_later.items() if until <= now]
        for conn in late:
            request, _ = self._encoded_later.pop(conn)
            conn.waited = False
            self._hand_over(conn, request, self.tpool)

    def _send(self, conn: Connection, answer: bytes) -> None:
        try:
            conn.sock.sendall(answer)
        except OSError:  # its client does not read
            conn.sock.drop()
        self._sent(conn, True)

    def _usual_head(self) -> bytes:
        """What gunicorn sends before an application's fields; worked out once a second."""
        second = int(time.time())
        if self._head[0] != second:
            lines = ("HTTP/1.1 200 OK", f"Server: {SERVER}", f"Date: {http_date(second)}")
            head = "\r\n".join((*lines, "Connection: keep-alive", ""))
            self._head = second, head.encode()
        return self._head[1]

    def _refuse(self, conn: Connection, request: Any) -> None:
        """Answer 503. The connection goes on where the client knows where the answer ends."""
        goes_on = request is not None and request.version >= (1, 1) and not request.should_close()
        goes_on = goes_on and self.alive and not draining()
        self._say(conn, refusal(request, goes_on), goes_on)

    def _hand_over(self, conn: Connection, request: Any, pool: ThreadPoolExecutor) -> None:
        self.clients.unwatch(conn)
        future = pool.submit(self.handle, conn, request)
        other = pool is self._other_pool
        future.add_done_callback(
            lambda done: self.method_queue.defer(self._answered, conn, done, other)
        )

    def handle(self, conn: Connection, request: Any) -> bool:
        """In a lane's thread: compute an answer, send what leaves at once. Whether the connection
        goes on."""
        # What has come is read, or refused, before more is computed: they share one interpreter.
        if self._turn.acquire(timeout=_TURN_SECONDS):
            self._turn.release()
        try:
            with arrived(conn.arrived):
                goes_on = bool(self.handle_request(request, conn))
                conn.caller = noted_caller() or conn.address
            self._leaves(conn)  # before its client can ask again
            conn.sock.flush()
            return goes_on
        except StopIteration:  # it failed with half an answer sent, and gunicorn has said so
            return False
        except OSError:  # the client is gone, or does not read
            conn.sock.drop()
            return False
        except Exception as error:
            log.error("an answer failed", exc_info=error)
            conn.sock.sendall(failed(error))
            return False
        finally:
            self._leaves(conn)

    def _leaves(self, conn: Connection) -> None:
        """What the gate let in is answered."""
        if conn.admitted is not None:
            self.admission.done(conn.admitted)
            conn.admitted = None

    def _answered(self, conn: Connection, future: Future[bool], other: bool) -> None:
        """On the main thread again: the rest of the answer, the next request, or the end."""
        self._others -= other
        self._sent(conn, future.exception() is None and future.result())

    # What is said of it

    def _publish(self) -> None:
        metrics = getattr(getattr(self, "wsgi", None), "extensions", {}).get("metrics")
        if metrics is not None:
            now = (self.admission.admitted, self.admission.refused)
            admitted, refused = (
                count - before for count, before in zip(now, self._published, strict=True)
            )
            self._published = now
            metrics.note_admission(admitted, refused, self.admission.candidates)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl-C loses no request either."""
        self.handle_exit(sig, frame)


def _allow_files(count: int) -> None:
    """As many open files as all connections take, where this machine lets us have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
