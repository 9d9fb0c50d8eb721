"""origins.py: where a browser says that a request comes from -> let on, refused, or answered.

Any web page can make a browser send a POST to any address, this machine's own among them, and so
could write histories. Browsers say where it comes from, so what another site sends is refused at
one place, in front of every route; serve.origins names those that may.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from service.http.answers import error_answer
from service.observability.prometheus import Metrics

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


def said_foreign() -> str:
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

    def preflight(self) -> Response | None:
        """What a browser asks before it sends what a form cannot: answered without a key, which it
        does not bear."""
        asks = "Access-Control-Request-Method" in request.headers
        if request.method != "OPTIONS" or not asks or not self._allows():
            return None
        return Response(status=204, headers=_PREFLIGHT)

    def check(self) -> Response | None:
        """None where the request may go on. A key in a header says who asks: no page can guess it,
        and no browser sends that header for another site unless it is told that it may."""
        if request.method in _SAFE or g.by_key:
            return None
        refused = said_foreign()
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


def register_origins(app: Flask, origins: Origins) -> None:
    """The check comes after the guard, which knows whether a key was sent."""
    app.before_request(origins.check)
    app.after_request(origins.tell)


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address, so nobody's
        return ""


def _plain(origin: str) -> str:
    """As browsers send it: lower case, no slash at the end, no port that goes without saying."""
    plain = origin.lower().rstrip("/")
    return plain.removesuffix(_DEFAULT_PORTS.get(plain.partition(":")[0], "/"))
