"""upstreams.py: the address of a server -> requests to it, over connections that are kept."""

import base64
import http.client
import ssl
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from indexes.errors import Failure

_IDLE: Final = 4.0  # seconds after which a kept connection is not trusted


class Upstream:
    """A server that this one asks; connections that are free are used again."""

    def __init__(self, url: str, name: str, timeout: float, ca: str | None = None) -> None:
        """name: of the option that the address came by, for what is wrong with it."""
        try:
            parts = urlsplit(url)
            port, known = parts.port, parts.scheme in ("http", "https")
        except ValueError:  # no port, or no IPv6 address
            known = False
        if not known or not parts.hostname:
            raise Failure(
                f"{name} is {url!r}; an address such as http://localhost:9200 is expected.",
                field=name.lstrip("-"),
            )
        self.host, self.port = parts.hostname, port
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.prefix = parts.path.rstrip("/")
        self.authorization = _basic(parts.username, parts.password)
        self.timeout = timeout
        self._tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        self._idle: deque[tuple[float, http.client.HTTPConnection]] = deque()

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of the answer to what may be asked twice; OSError or
        http.client.HTTPException where there is none."""
        until = time.monotonic() + (timeout or self.timeout)
        for fresh in (False, True):
            connection = self._connection(fresh, max(0.001, until - time.monotonic()))
            try:
                connection.request(method, self.prefix + target, body, dict(headers))
                answer = connection.getresponse()
                read = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                gone = isinstance(error, ConnectionError | http.client.RemoteDisconnected)
                if fresh or not gone or time.monotonic() >= until:
                    raise
                continue
            self._idle.append((time.monotonic(), connection))
            return answer.status, answer.headers, read
        raise AssertionError  # the second time returned or raised

    def open(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[bytes] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An answer to be read in pieces, over a connection of its own: for what must not be asked
        twice, or may be large."""
        connection = self._new(self.timeout)
        try:
            sized: Any = body
            connection.request(
                method,
                self.prefix + target,
                sized,
                dict(headers),
                encode_chunked="Content-Length" not in headers and body is not None,
            )
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """End the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()

    def _connection(self, fresh: bool, timeout: float) -> http.client.HTTPConnection:
        while self._idle and not fresh:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if time.monotonic() - since > _IDLE or connection.sock is None:
                connection.close()
                continue
            connection.timeout = timeout
            connection.sock.settimeout(timeout)
            return connection
        return self._new(timeout)

    def _new(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout, context=self._tls
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
