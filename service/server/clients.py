"""clients.py: connections that no thread answers -> whom to wait for, until when, whom to close."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from service.http.settings import LimitSettings
from service.server.connections import Connection
from service.server.seldom import Seldom

_MOST_UNREAD: Final = 256 * 1024 * 1024  # of answers that wait for their clients, in all


class Clients:
    """The clients that one worker waits for, in its main thread.

    closed: called for each that is closed. waiting: the one that waits for longest stands first.
    bytes: of requests that are coming in, in all.
    """

    def __init__(self, closed: Callable[[], None]) -> None:
        self.waiting: dict[Connection, None] = {}
        self.bytes = 0
        self._closed = closed
        self._unread = Seldom("closed a connection: %s")

    def begin(
        self, poller: Any, ready: Callable[[Connection, Any], None], limits: LimitSettings
    ) -> None:
        """ready: called with a connection when its client has sent or taken something."""
        self._poller, self._ready, self._limits = poller, ready, limits

    def watch(self, conn: Connection, events: int, seconds: float) -> None:
        """Wait for the client, no longer than so many seconds."""
        conn.until = time.monotonic() + seconds
        self.waiting.pop(conn, None)
        self.waiting[conn] = None
        self.count(conn)
        if not conn.polled:
            self._poller.register(conn.socket, events, partial(self._ready, conn))
        elif conn.polled != events:
            self._poller.modify(conn.socket, events, partial(self._ready, conn))
        conn.watched = conn.polled = events

    def unwatch(self, conn: Connection) -> None:
        """Wait for it no longer. The poller goes on: hardly a client sends before its answer."""
        self.waiting.pop(conn, None)
        self.bytes -= conn.counted
        conn.counted = conn.watched = 0

    def ignore(self, conn: Connection) -> None:
        """It has sent something, or hung up, while it is answered: do not look until then."""
        if conn.polled:
            self._poller.unregister(conn.socket)
            conn.polled = 0

    def count(self, conn: Connection) -> None:
        """What this connection holds now, among the bytes of all."""
        self.bytes += conn.incoming.held - conn.counted
        conn.counted = conn.incoming.held

    def close(self, conn: Connection) -> None:
        """For good."""
        if conn.socket.fileno() < 0:
            return
        self.unwatch(conn)
        self.ignore(conn)
        self._closed()
        conn.close()

    def make_room(self) -> bool:
        """Close who has kept a connection for nothing: first of those that never asked, then of
        those that may ask again, the one that has for longest. False when all are busy."""
        idle = [conn for conn in self.waiting if not conn.unread and not conn.ending]
        if not idle:
            return False
        self.close(next((conn for conn in idle if not conn.asked), idle[0]))
        return True

    def close_late(self, now: float) -> list[Connection]:
        """Close what is idle for too long; those that have sent half a request are left to be told
        why."""
        half_sent = []
        for conn in [conn for conn in self.waiting if conn.until < now]:
            if not conn.unread and conn.incoming.begun and not conn.ending:
                half_sent.append(conn)
                continue
            if conn.unread:
                self._unread.say("its client takes nothing of an answer (limits.answer_seconds)")
            self.close(conn)
        return half_sent

    def bound_unread(self, caller: str) -> None:
        """Close who has read nothing for longest, when too much waits for this caller, or all."""
        unread = sorted((conn for conn in self.waiting if conn.unread), key=lambda conn: conn.until)
        own = [conn for conn in unread if conn.caller == caller]
        self._trim(own, self._limits.unread_bytes_caller)
        self._trim([conn for conn in unread if conn.watched], _MOST_UNREAD)

    def _trim(self, unread: list[Connection], most: int) -> None:
        total = sum(conn.unread for conn in unread)
        for conn in unread:
            if total <= most:
                return
            total -= conn.unread
            self._unread.say("its client reads too little (limits.unread_bytes_caller)")
            self.close(conn)
