"""hosts.py: where the service listens, and the Host of a request -> whether it is meant for us.

A web page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding) and would then be
taken for the service's own page. Its Host header still says that name.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from flask import Flask, Response, request

from service.access.guard import OPEN
from service.http.answers import error_answer
from service.observability.prometheus import Metrics

WRONG_HOST: Final = 421
_LOCAL: Final = ("localhost", "localhost.localdomain", "ip6-localhost")
_REMEMBERED: Final = 64


class Hosts:
    """Names that this service answers to; any name when it neither is told some nor listens on
    loopback: there nobody gets in without a key, and a foreign name has no cookie."""

    def __init__(self, names: Iterable[str], *, loopback: bool) -> None:
        self._names = {name.lower().rstrip(".") for name in names}
        self._any = not loopback and not self._names
        self._loopback = loopback
        self._fine: set[str] = set()  # headers seen and allowed, so that most requests cost a look

    def allowed(self, header: str) -> bool:
        """Whether a Host header, with or without a port, names us."""
        if self._any or header in self._fine:
            return True
        if not self._is_ours(_name_of(header)):
            return False
        if len(self._fine) < _REMEMBERED:
            self._fine.add(header)
        return True

    def _is_ours(self, name: str) -> bool:
        if name in self._names:
            return True
        if not self._loopback:
            return False
        if name in _LOCAL or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _name_of(header: str) -> str:
    """Without the port and the brackets of an IPv6 address."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower().rstrip(".")


def register_hosts(app: Flask, hosts: Hosts, metrics: Metrics) -> None:
    """Answer 421 to what is meant for another host. Health is told to everybody: probes ask by the
    machine's address."""

    @app.before_request
    def check_host() -> Response | None:
        header = request.environ.get("HTTP_HOST")
        if not header or hosts.allowed(header) or request.path in OPEN:
            return None
        metrics.refused.labels("wrong_host").inc()
        return error_answer(
            WRONG_HOST,
            f"Host is {header[:100]!r}, to which this service does not answer; if a proxy sends "
            "it, add it to serve.hosts.",
            "wrong_host",
        )
