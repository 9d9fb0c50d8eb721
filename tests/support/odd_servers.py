"""odd_servers.py: servers that go wrong on the wire as a script says, and what they were sent."""

import json
import socketserver
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple

Script = Callable[[socketserver.StreamRequestHandler], None]
_DRIPS = 3000


class Asked(NamedTuple):
    """One request: its path, its headers in lower case, its body."""

    path: str
    headers: dict[str, str]
    body: bytes


class OddServer(socketserver.ThreadingTCPServer):
    """scripts: one for each request in the order in which they come; the last goes on."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts = list(scripts)
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def script(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


class _Handler(socketserver.StreamRequestHandler):
    server: OddServer

    def handle(self) -> None:
        first = self.rfile.readline().decode()
        if not first:
            return
        headers = {}
        while (line := self.rfile.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.asked.append(Asked(first.split()[1], headers, body))
        try:
            self.server.script()(self)
        except OSError:  # the other side has gone
            pass


@contextmanager
def odd_server(*scripts: Script) -> Iterator[OddServer]:
    with OddServer(scripts) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


def answer(body: Any, status: int = 200, **headers: str) -> Script:
    """A whole answer, and the connection ends."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{more}"
    return lambda handler: _send(handler, f"{head}\r\n".encode() + content)


def refusal(code: str, status: int, **headers: str) -> Script:
    """The service's own error shape."""
    return answer({"error": {"code": code, "message": "not now"}}, status, **headers)


def raw(content: bytes) -> Script:
    """These bytes, and the connection ends."""
    return lambda handler: _send(handler, content)


def silence(handler: socketserver.StreamRequestHandler) -> None:
    """Nothing, until the other side goes."""
    handler.rfile.read(1)


def drip(handler: socketserver.StreamRequestHandler) -> None:
    """An answer of one header more, again and again, each in time for whoever waits for bytes."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(_DRIPS):
        handler.wfile.write(f"X-{number}: 1\r\n".encode())
        time.sleep(0.01)


def _send(handler: socketserver.StreamRequestHandler, content: bytes) -> None:
    handler.wfile.write(content)
