"""sockets.py: raw requests over sockets -> what came back, byte by byte."""

import json
import socket
from typing import Any

from support.service import BODY, Running

RANKED = 'reranker_requests_total{route="/rerank",status="200"}'

HEAD = b"POST /rerank HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


def connected(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=180)


def everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while block := connection.recv(65536):
            received += block
    except OSError:
        pass
    return received


def whole(body: Any = BODY, path: str = "/rerank", *headers: str) -> bytes:
    sent = json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(sent)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent


def metric(service: Running, name: str, key: str | None = None) -> float:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    text = service.ask("/metrics", **headers)[1].decode()
    return next(
        (float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), 0.0
    )


def answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """So many answers of one connection, in order, each whole."""
    file = connection.makefile("rb")
    found = []
    for _ in range(count):
        status = int(file.readline().split()[1])
        length = 0
        while (line := file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = file.read(length)
        assert len(body) == length
        found.append((status, body))
    return found
