"""dash_app.py: what the page reads -> its Dash application as WSGI, and the policy for its answers.

Everything the browser loads comes from the installed packages or from assets/.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dash import ALL, ClientsideFunction, Dash, Input, Output, State
from dash.exceptions import DependencyException
from flask import Flask, request
from werkzeug.exceptions import NotFound, UnsupportedMediaType

from service.http.received import read_body
from service.page.layout import layout
from service.page.parts.callback_values import CheckedDash, check_call
from service.page.parts.context import Page
from service.page.tabs.base.base_tab import base_callbacks
from service.page.tabs.blends_tab import blends_callbacks
from service.page.tabs.compare_tab import compare_callbacks
from service.page.tabs.search_callbacks import search_callbacks
from service.page.tabs.search_empty import example_callbacks
from service.page.tabs.search_judging import judging_callbacks
from service.page.tabs.search_shoppers import shopper_callbacks
from service.page.tabs.search_weights import weight_callbacks
from service.page.tabs.shoppers.shoppers_callbacks import shoppers_callbacks
from service.page.tabs.system_tab import system_callbacks

CALL: Final = "/_dash-update-component"
_INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="assets/icon.svg">
{%css%}
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def url_callbacks(app: Dash) -> None:
    """Both ways run in the browser: assets/url.js."""
    app.clientside_callback(
        ClientsideFunction("url", "read"),
        Output("tabs", "value"),
        Output("source", "value"),
        Output("query", "value"),
        Output("set", "value"),
        Output("request", "value"),
        Output("user", "value"),
        Output("blend", "value"),
        Output("edited", "data"),
        Output({"slider": ALL}, "value"),
        Output("job", "data"),
        Output("shopper", "value"),
        Output("shopper-edits", "data"),
        Input("url", "search"),
        State({"slider": ALL}, "id"),
        State("source", "value"),
        State("set", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("url", "write"),
        Output("address", "data"),
        Input("tabs", "value"),
        Input("case", "data"),
        Input({"slider": ALL}, "value"),
        Input("job", "data"),
        Input("shopper-case", "data"),
        State({"slider": ALL}, "id"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("url", "elsewhere"),
        Output("system-clock", "disabled"),
        Input("tabs", "value"),
    )


def page_application(page: Page) -> tuple[Any, str]:
    """The WSGI application, and the Content-Security-Policy that goes with its scripts."""
    server = Flask("reranker.page", static_folder=None)
    server.config["MAX_CONTENT_LENGTH"] = page.limits.body_bytes + 1
    server.config["PROPAGATE_EXCEPTIONS"] = True  # to the service's one shape, and its log
    app = CheckedDash(
        "reranker",
        server=server,  # type: ignore[arg-type]
        title="reranker",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=_INDEX,
        serve_locally=True,
        enable_mcp=False,
        add_log_handler=False,
        suppress_callback_exceptions=True,
    )
    app.layout = lambda: layout(page)
    url_callbacks(app)
    search_callbacks(app, page)
    judging_callbacks(app, page)
    example_callbacks(app, page)
    shopper_callbacks(app, page)
    weight_callbacks(app, page)
    shoppers_callbacks(app, page)
    base_callbacks(app, page)
    compare_callbacks(app, page)
    blends_callbacks(app, page)
    system_callbacks(app, page)
    _guard(server, app, page)
    # Dash hands out only scripts that it has named; which another worker may have done.
    with server.test_request_context("/"):
        app.index()
    return server.wsgi_app, _policy(app.csp_hashes(), page.thumbnails.sources)


def _guard(server: Flask, app: CheckedDash, page: Page) -> None:
    """In front of Dash: only calls that it can read. Behind it: no file is no fault of ours."""

    @server.before_request
    def check() -> None:
        if request.path != CALL:
            return
        if not request.is_json:
            raise UnsupportedMediaType
        check_call(read_body(page.limits.body_bytes, keep=True), app.callback_map)

    @server.errorhandler(DependencyException)
    def no_file(_error: Exception) -> Any:
        return NotFound()


def _policy(hashes: Sequence[str], pictures: str) -> str:
    """As strict as the libraries allow; docs/page.md says what is loosened, and why."""
    rules = {
        "default-src": "'self'",
        "script-src": " ".join(("'self'", *hashes)),
        "style-src": "'self' 'unsafe-inline'",  # Mantine, AG Grid and Plotly write <style>
        # Icons within stylesheets; Plotly's picture download; hosts of items.image_hosts.
        "img-src": f"'self' data: blob: {pictures}".rstrip(),
        "font-src": "'self' data:",  # AG Grid's icons
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",  # signing out
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
