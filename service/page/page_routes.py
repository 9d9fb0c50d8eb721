"""page_routes.py: `/` and what the page asks for -> Dash, imported at the first request for it.

Dash lives in a Flask application of its own, to which these routes hand over within the process: a
worker that nobody asks for the page never imports it, and the service's own routes, errors and
limits stay as they are.
"""

import logging
import threading
from importlib.util import find_spec
from typing import Any, Final

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.test import run_wsgi_app

from indexes.workspace import Workspace
from service.access.guard import PAGE_SCOPE, Guard
from service.access.sessions import COOKIE
from service.access.sign_in import (
    CALLER,
    presented_key,
    sign_in_page,
    signed_in,
    signed_out,
    to_the_page,
)
from service.http.answers import error_answer, json_answer
from service.http.settings import LimitSettings
from service.live.reload import Served
from service.observability.prometheus import Metrics
from service.page.parts.context import Applications, Page
from service.page.parts.thumbnails import ROUTE, TYPES, Thumbnails

log = logging.getLogger("reranker")

NEEDED: Final = ("dash", "dash_mantine_components", "dash_ag_grid", "plotly")
INSTALL: Final = "pip install 'shop-reranker[page]'"
_READ: Final = (
    "/",
    "/_dash-layout",
    "/_dash-dependencies",
    "/_dash-component-suites/<package>/<path:file>",
    "/assets/<path:file>",
    "/_favicon.ico",
)
_WRITE: Final = "/_dash-update-component"
# For a picture by itself: an SVG opened as a page runs nothing, loads nothing, is of no origin.
_PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_PICTURE_CACHE: Final = "private, max-age=3600"


def page_routes(
    workspace: Workspace,
    served: Served,
    limits: LimitSettings,
    metrics: Metrics,
    applications: Applications,
) -> Blueprint:
    """The page's routes; without the extra, `/` says how to get it."""
    routes = Blueprint("page", __name__)
    page = _Lazy(Page(workspace, served, limits, metrics, applications))

    def read(package: str = "", file: str = "") -> Response:
        if "\0" in package + file:  # no file has such a name
            raise NotFound
        return page.answer()

    def write() -> Response:
        return page.answer()

    for number, rule in enumerate(_READ):
        routes.add_url_rule(rule, view_func=read, methods=["GET"], endpoint=f"read{number}")
    routes.add_url_rule(_WRITE, view_func=write, methods=["POST"], endpoint="write")
    _picture_route(routes, Thumbnails.of(workspace))
    _sign_in_routes(routes)
    routes.after_request(_harden)
    return routes


def _picture_route(routes: Blueprint, thumbnails: Thumbnails) -> None:
    @routes.get(f"{ROUTE}<path:name>")
    def picture(name: str) -> Response:
        file = thumbnails.file(name)
        if file is None:
            raise NotFound
        try:
            stamp, content = file.stat().st_mtime_ns, file.read_bytes()
        except OSError:  # taken away, or not ours to read
            raise NotFound from None
        answer = Response(content, mimetype=TYPES[file.suffix.lower()])
        answer.set_etag(f"{stamp:x}-{len(content):x}")
        answer.make_conditional(request)
        answer.headers["Content-Security-Policy"] = _PICTURE_POLICY
        answer.headers["Cache-Control"] = _PICTURE_CACHE
        return answer


def _sign_in_routes(routes: Blueprint) -> None:
    @routes.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> Response:
        guard: Guard = current_app.extensions["guard"]
        if request.method == "GET" or not guard.locked:
            return to_the_page()
        caller = guard.owner(presented_key())
        if caller is None:
            return sign_in_page(401, "This key is not valid.")
        if not caller.may(PAGE_SCOPE):
            has = ", ".join(sorted(caller.scopes))
            return sign_in_page(403, f"This key has the scope {has}; the page needs {PAGE_SCOPE}.")
        return signed_in(guard.sessions, caller)

    @routes.post("/sign-out")
    def sign_out() -> Response:
        guard: Guard = current_app.extensions["guard"]
        try:
            guard.sessions.end(request.cookies.get(COOKIE, ""))
        except OSError as error:
            log.error("a session cannot be ended in every worker: %s", error)
            return error_answer(
                503, "You are not signed out everywhere yet; try again.", "not_signed_out"
            )
        return signed_out()


class _Lazy:
    """The page's own application, made once by whichever request comes first."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()
        self._application: tuple[Any, str] | None = None
        self._missing = [name for name in NEEDED if find_spec(name) is None]

    def answer(self) -> Response:
        """What the page's application answers to this request."""
        if self._missing:
            return json_answer({"page": f"not installed; {INSTALL}", "api": "/openapi.json"})
        application, policy = self._ready()
        request.environ[CALLER] = g.caller.name if g.caller else None
        answer = Response(*run_wsgi_app(application, request.environ))
        if answer.status_code >= 400 and answer.mimetype != "application/json":
            return error_answer(answer.status_code, f"The page answers {answer.status}.")
        answer.headers["Content-Security-Policy"] = policy
        return answer

    def _ready(self) -> tuple[Any, str]:
        with self._lock:
            if self._application is None:
                from service.page.dash_app import page_application

                self._application = page_application(self._page)
            return self._application


def _harden(answer: Response) -> Response:
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["X-Frame-Options"] = "DENY"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return answer
