"""sites.py: which host a request names, which site it comes from -> let on, refused, or answered.

A web page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding) and would then be
taken for the service's own page; its Host header still says that name.

And any web page can make a browser send a POST to any address, this machine's own among them, and
so could write histories. Browsers say where it comes from, so what another site sends is refused at
one place, in front of every route; serve.origins names those that may.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from flask import Response, request

from service.http.answers import error_answer
from service.observability.prometheus import Metrics

OPEN: Final = frozenset({"/livez", "/readyz", "/health"})
WRONG_HOST: Final = 421
_LOCAL: Final = ("localhost", "localhost.localdomain", "ip6-localhost")
_REMEMBERED: Final = 64
FOREIGN: Final = "foreign_origin"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Api-Key, X-Request-Id, "
    "traceparent",
    "Access-Control-Max-Age": "600",
}
_READABLE: Final = "Retry-After, X-Request-Id"


class Hosts:
    """Names that this service answers to; any name when it neither is told some nor listens on
    loopback: there nobody gets in without a key, and a foreign name has no cookie."""

    def __init__(self, names: Iterable[str], metrics: Metrics, *, loopback: bool) -> None:
        self._metrics = metrics
        self._names = {name.lower().rstrip(".") for name in names}
        self._any = not loopback and not self._names
        self._loopback = loopback
        self._fine: set[str] = set()  # headers seen and allowed, so that most requests cost a look

    def check(self) -> Response | None:
        """421 to what is meant for another host. Health is told to everybody: probes ask by the
        machine's address."""
        header = request.environ.get("HTTP_HOST")
        if not header or self.allowed(header) or request.path in OPEN:
            return None
        self._metrics.refused.labels("wrong_host").inc()
        return error_answer(
            WRONG_HOST,
            f"Host is {header[:100]!r}, to which this service does not answer; if a proxy sends "
            "it, add it to serve.hosts.",
            "wrong_host",
        )

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


def foreign(site: str | None, origin: str | None) -> str:
    """Why a POST is refused that another site made a browser send; empty where it is our own.

    Every browser since 2020 sends Sec-Fetch-Site or Origin with it; programs send neither.
    """
    if site not in (None, "same-origin", "none"):
        return f"Sec-Fetch-Site is {site[:100]!r}: only this service's own page may call this."
    if origin is not None and _host(origin) != request.host:
        return (
            f"Origin is {origin[:100]!r}, the service is {request.host[:100]!r}: only its own page "
            "may call this."
        )
    return ""


def foreign_request() -> str:
    """The same of the request that is answered now."""
    return foreign(request.headers.get("Sec-Fetch-Site"), _origin())


def _origin() -> str | None:
    """Origin; of a browser that sends neither it nor Sec-Fetch-Site, what Referer says."""
    headers = request.headers
    if "Origin" in headers or "Sec-Fetch-Site" in headers:
        return headers.get("Origin")
    referer = headers.get("Referer")
    if referer is None:
        return None
    scheme, _, address = referer.partition("://")
    return f"{scheme}://{address.partition('/')[0]}" if address else None


class Origins:
    """allowed: other sites whose pages may call the routes of programs; never those of the page."""

    def __init__(self, allowed: Iterable[str], metrics: Metrics) -> None:
        self._allowed = frozenset(_plain(origin) for origin in allowed)
        self._metrics = metrics

    @property
    def any_allowed(self) -> bool:
        """Whether the pages of any other site may call, so that answers tell them."""
        return bool(self._allowed)

    def preflight(self) -> Response | None:
        """What a browser asks before it sends what a form cannot: answered without a key, which it
        does not bear."""
        asks = "Access-Control-Request-Method" in request.headers
        if request.method != "OPTIONS" or not asks or not self._allows():
            return None
        return Response(status=204, headers=_PREFLIGHT)

    def check(self, *, by_key: bool) -> Response | None:
        """None where the request may go on. A key in a header (by_key) says who asks: no page can
        guess it, and no browser sends that header for another site unless it is told that it may.
        """
        if request.method in _SAFE or by_key:
            return None
        refused = foreign_request()
        if not refused or (request.blueprint != "page" and self._allows()):
            return None
        self._metrics.refused.labels(FOREIGN).inc()
        return error_answer(403, f"{refused} serve.origins lists others.", FOREIGN)

    def tell(self, answer: Response) -> Response:
        """Let the pages of an allowed site read the answer."""
        if self._allowed and request.blueprint != "page":
            answer.vary.add("Origin")
            if "Origin" in request.headers and self._allows():
                answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                answer.headers["Access-Control-Expose-Headers"] = _READABLE
        return answer

    def _allows(self) -> bool:
        origin = _origin()
        return bool(self._allowed) and origin is not None and _plain(origin) in self._allowed


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address, so nobody's
        return ""


def _plain(origin: str) -> str:
    """As browsers send it: lower case, no slash at the end, no port that goes without saying."""
    plain = origin.lower().rstrip("/")
    return plain.removesuffix(_DEFAULT_PORTS.get(plain.partition(":")[0], "/"))
