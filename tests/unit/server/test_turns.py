"""The loop's turns: what has come is read in parts, and searches are answered in between."""

import logging
import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config

from service.server import worker
from service.server.connections import Connection
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
