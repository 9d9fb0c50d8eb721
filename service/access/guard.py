"""guard.py: a request -> who asks, from where and how often: let on, or 401, 403, 421, 429."""

from typing import Final

from flask import Flask, Response, g, request

from service.access.key_ring import Caller, KeyRing
from service.access.rate_limits import RateLimits
from service.access.sessions import COOKIE, Sessions
from service.access.sign_in import sign_in_page
from service.access.sites import FOREIGN, OPEN, Hosts, Origins, foreign_request
from service.http.answers import error_answer
from service.http.received import note_caller
from service.observability.prometheus import Metrics
from service.observability.request_ids import Fields

ANY_KEY: Final = ""
# What is not listed, the routes that somebody adds later among it, needs admin.
NEEDS: Final[dict[str, str]] = {
    "/rerank": "rerank",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
    "/jina/v1/rerank": "rerank",
    "/voyage/v1/rerank": "rerank",
    "/rerank/batch": "rerank",
    "/rankings/<ranking>": "rerank",
    "/rank/<model>": "rerank",
    "/recommend/<model>": "rerank",
    "/next-action": "rerank",
    "/cart": "rerank",
    "/users/<user>/churn": "rerank",
    "/recommend": "rerank",
    "/items/<path:item>/similar": "rerank",
    "/trending": "rerank",
    "/events": "events",
    "/feedback": "events",
    "/train/<model>": "tune",
    "/info": ANY_KEY,
    "/items": "items",
    "/openapi.json": ANY_KEY,
    "/metrics": "admin",
    "/users/<path:user>": "admin",
}
PAGE_SCOPE: Final = "tune"
_HOW: Final = "Send it as `Authorization: Bearer KEY`."


class Guard:
    """loopback: without any key the service is open, as the banner says; elsewhere never."""

    def __init__(
        self,
        ring: KeyRing,
        sessions: Sessions,
        origins: Origins,
        rates: RateLimits,
        metrics: Metrics,
        *,
        loopback: bool,
    ) -> None:
        self.sessions = sessions
        self._ring, self._origins, self._rates = ring, origins, rates
        self._metrics = metrics
        self._loopback = loopback

    def check(self) -> Response | None:
        """None when the request may go on, with its caller in `g.caller`; else the answer."""
        g.caller, g.by_key = None, False
        refused = self._check_key() or self._origins.check(by_key=g.by_key)
        return refused or (self._rates.check(g.caller) if g.caller else None)

    def _check_key(self) -> Response | None:
        """`g.by_key`: whether a header named the caller, not a cookie."""
        rule = request.url_rule.rule if request.url_rule else None
        if rule in OPEN or self._is_open():
            return None
        return self._refused(rule)

    def _is_open(self) -> bool:
        """Whether nobody needs a key now."""
        self._ring.refresh()
        return self._loopback and not self._ring.configured

    def admits(self, headers: Fields, scope: str) -> tuple[bool, Caller | None]:
        """Whether a request with these headers may go on where this scope is needed, as far as its
        key goes; and whose that is. Says and counts nothing."""
        if self._is_open():
            return True, None
        key = _presented(headers)
        caller = self._ring.owner(key) if key is not None else None
        return caller is not None and caller.may(scope), caller

    def within_rate(self, caller: Caller | None, *, take: bool) -> bool:
        """Whether the caller may ask now; take: and does."""
        return caller is None or not self._rates.seconds(caller, take=take)

    def also(self, count: int) -> Response | None:
        """Count so many further requests of the caller, for a body that holds several; 429 where
        they are more than the key may make."""
        return self._rates.check(g.caller, count) if g.caller and count > 0 else None

    def owner(self, key: str) -> Caller | None:
        """Whose key this is, for the sign-in form."""
        self._ring.refresh()
        return self._ring.owner(key)

    @property
    def locked(self) -> bool:
        """Whether keys are needed."""
        return self._ring.configured or not self._loopback

    def _refused(self, rule: str | None) -> Response | None:
        page = request.blueprint == "page"
        if page and request.endpoint in ("page.sign_in", "page.sign_out"):
            return None  # they ask for the key, or forget it, themselves
        key = _presented(request.headers)
        caller = self._ring.owner(key) if key is not None else None
        if key is None and page:
            caller = self._signed_in()
            if caller is not None and request.method != "GET" and _is_foreign_or_silent():
                return error_answer(403, "Only the page itself may call this.", FOREIGN)
        if caller is None:
            return self._unauthorized(key is not None, page)
        needed = _needed(rule, page)
        if not caller.may(needed):
            self._metrics.refused.labels("forbidden").inc()
            has = ", ".join(sorted(caller.scopes))
            message = (
                f"The key {caller.name!r} has the scope {has}; {request.method} {request.path} "
                f"needs {needed}."
            )
            return error_answer(403, message)
        g.caller, g.by_key = caller, key is not None
        note_caller(caller.name)
        return None

    def _signed_in(self) -> Caller | None:
        cookie = request.cookies.get(COOKIE)
        return self.sessions.caller(cookie) if cookie else None

    def _unauthorized(self, presented: bool, page: bool) -> Response:
        self._metrics.refused.labels("unauthorized").inc()
        if page and request.method == "GET" and request.path == "/":
            if not presented and "text/html" in request.headers.get("Accept", ""):
                return sign_in_page(401)
        what = "This key is not valid." if presented else "A key is needed here."
        answer = error_answer(401, f"{what} {_HOW}")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="reranker"'
        return answer


def register_guard(app: Flask, hosts: Hosts, origins: Origins, guard: Guard) -> None:
    """Ask before every request; a browser's preflight bears no key."""
    app.extensions["guard"] = guard
    for check in (hosts.check, origins.preflight, guard.check):
        app.before_request(check)
    app.after_request(origins.tell)


def _needed(rule: str | None, page: bool) -> str:
    if page:
        return PAGE_SCOPE
    return ANY_KEY if rule is None else NEEDS.get(rule, "admin")


def _presented(headers: Fields) -> str | None:
    """The key that a request bears. A browser cannot be made to send either header."""
    header = headers.get("Authorization")
    if header is not None:
        kind, _, key = header.partition(" ")
        if kind.lower() == "bearer":  # any other kind is for a proxy in front
            return key.strip()
    own = headers.get("X-Api-Key")
    return headers.get("Api-Key") if own is None else own


def _is_foreign_or_silent() -> bool:
    """A browser says where a POST comes from; a cookie without that is no browser's of today."""
    headers = request.headers
    silent = "Sec-Fetch-Site" not in headers and "Origin" not in headers
    return silent or bool(foreign_request())
