"""The loop's turns: what has come is read in parts, and searches are answered in between."""

import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gunicorn.config import Config

from service.api.short_road import LATER
from service.server import worker
from service.server.connections import Connection
from service.server.incoming import Heads
from service.server.worker import Worker


class Recorded(Worker):
    """A worker of which we see in which order it reads and searches."""

    def __init__(self) -> None:
        super().__init__(1, 1, [], None, 30, Config(), logging.getLogger(__name__))
        self.poller = selectors.DefaultSelector()
        self.order: list[str] = []

    def come(self, name: str) -> tuple[socket.socket, socket.socket]:
        """Something that waits to be read."""
        ours, theirs = socket.socketpair()
        theirs.send(b"x")

        def read(sock: socket.socket) -> None:
            sock.recv(1)
            self.order.append(name)

        self.poller.register(ours, selectors.EVENT_READ, read)
        return ours, theirs

    def _search(self, conn: Connection, request: Any, body: bytes) -> None:
        self.order.append(body.decode())


@pytest.fixture
def busy() -> Iterator[Recorded]:
    """Three clients have sent something, and two searches wait."""
    loop = Recorded()
    pairs = [loop.come("read") for _ in range(3)]
    loop._searches.extend((None, None, b"search") for _ in range(2))  # type: ignore[misc]
    yield loop
    loop.poller.close()
    loop.tmp.close()
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


@pytest.mark.promise(16)
def test_a_search_that_was_let_in_does_not_wait_for_all_that_has_come(
    busy: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_READ_SECONDS", 0.0)  # each one takes as long as may be
    monkeypatch.setattr(worker, "_SEARCH_SECONDS", 0.0)
    busy.wait_for_and_dispatch_events(1.0)
    assert busy.order == ["read", "search", "read", "search", "read"]


def test_what_has_come_is_read_before_more_is_computed(
    busy: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_READ_SECONDS", 1e6)
    busy.wait_for_and_dispatch_events(1.0)
    assert busy.order[:4] == ["read"] * 3 + ["search"]


class Later(Recorded):
    """A worker whose searches are answered the second time they are asked, if at all."""

    def __init__(self) -> None:
        super().__init__()
        self.method_queue = queue_of_calls()
        self.again: list[Callable[[], object]] = []

        def answer(_fields: Any, body: bytes, _at: float, again: Any) -> Any:
            self.order.append(body.decode())
            if again is None:
                return None
            self.again.append(again)
            return LATER

        self._road = cast("Any", SimpleNamespace(answer=answer))

    def _search(self, conn: Connection, request: Any, body: bytes) -> None:
        Worker._search(self, conn, request, body)

    def _hand_over(self, conn: Connection, request: Any, pool: Any) -> None:
        self.order.append("handed over")


def queue_of_calls() -> Any:
    return SimpleNamespace(defer=lambda call, *given: call(*given))


@pytest.fixture
def later() -> Iterator[tuple[Later, Connection, Any]]:
    loop = Later()
    ours, theirs = socket.socketpair()
    conn = Connection(Heads(Config()), ours, ("127.0.0.1", 0), ("127.0.0.1", 0), 1000, 1000)
    conn.arrived = time.perf_counter()
    yield loop, conn, SimpleNamespace(headers=[])
    loop.poller.close()
    loop.tmp.close()
    ours.close()
    theirs.close()


def test_a_search_waits_for_its_vector_once(later: tuple[Later, Connection, Any]) -> None:
    loop, conn, request = later
    loop._search(conn, request, b"search")
    loop.wait_for_and_dispatch_events(0.0)
    assert loop.order == ["search"], "nothing happens until the vector has come"
    loop.again[0]()
    loop.again[0]()  # what was told once is not told again
    loop.wait_for_and_dispatch_events(0.0)
    assert loop.order == ["search", "search", "handed over"]
    assert not loop._encoded_later and not loop._searches and not conn.waited


def test_a_search_whose_vector_does_not_come_is_handed_over(
    later: tuple[Later, Connection, Any],
) -> None:
    loop, conn, request = later
    conn.arrived -= 0.06  # of the 100 ms that it has
    loop._search(conn, request, b"search")
    loop.wait_for_and_dispatch_events(1.0)
    assert loop.order == ["search", "handed over"]
    loop.again[0]()  # too late
    loop.wait_for_and_dispatch_events(0.0)
    assert loop.order == ["search", "handed over"] and not conn.waited
