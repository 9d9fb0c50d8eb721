"""search_callbacks.py: what is set in the Search tab -> its lists; the server ranks once a case."""

from itertools import islice
from typing import Any

import dash_mantine_components as dmc
import msgspec
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, html, no_update
from msgspec.json import encode

from indexes.errors import Failure
from reranker.errors import BadRequest
from service.page.parts.callback_values import Name
from service.page.parts.cases import case_of, leaks_of, request_of
from service.page.parts.context import Page
from service.page.parts.matrix import leave_one_out, matrix, with_factors
from service.page.parts.request_sets import set_choices
from service.page.tabs.search_empty import nothing_found, nothing_searched

_USERS = 2_000


class _Matrix(msgspec.Struct, frozen=True):
    """What is read again of a ranking that was sent to the browser."""

    request: dict[str, Any] = {}
    history: list[Any] = []


class _Asked(msgspec.Struct, frozen=True):
    """Which item's past is asked for, and a factor a signal: what the sliders say."""

    item: str | None = None
    times: dict[str, float] = {}


def search_callbacks(app: Dash, page: Page) -> None:
    """Server and browser callbacks of the Search tab."""
    _server(app, page)
    _pickers(app, page)
    _browser(app)
    _editing(app)


def _server(app: Dash, page: Page) -> None:
    @app.callback(Output("matrix", "data"), Output("notice", "children"), Input("case", "data"))
    def search(case: dict[str, Any] | None) -> tuple[Any, Any]:
        if not case:
            return None, nothing_searched(page)
        try:
            asked = case_of(case)
            request, ratings = request_of(asked, page)
            ranked = matrix(request, page.state, page.thumbnails.thumbnail_of)
            hand = page.judgments.of(request.query or "")
            notice = None if request.candidates else nothing_found(request.query or "")
            leaks = leaks_of(asked, page) if ratings else []
            judged = {"ratings": ratings, "hand": hand, "leaks": bool(leaks)}
            return ranked | judged, notice or _leaking(leaks)
        except Failure as failure:
            return None, _alert(failure)

    @app.callback(
        Output("left-out", "children"),
        Input("left-out-asked", "data"),
        State("matrix", "data"),
        prevent_initial_call=True,
    )
    def leave_out(asked: _Asked | None, ranked: _Matrix | None) -> Any:
        if asked is None:
            return None
        if not ranked or not asked.item:
            return html.Span("Choose an item in a list first.", className="quiet")
        if not ranked.history:
            return html.Span("There is no history to leave anything out of.", className="quiet")
        try:
            request = page.reader.read(encode(ranked.request)).request
            if all(candidate.id != asked.item for candidate in request.candidates):
                raise BadRequest("The chosen item is not in this list.")
            weighed = with_factors(request, asked.times)
            return _left_out(leave_one_out(weighed, asked.item, page.state))
        except Failure as failure:
            return _alert(failure)


def _leaking(leaks: list[str]) -> Any:
    """What the figures above the lists are worth then."""
    if not leaks:
        return None
    return dmc.Alert(
        [html.Div(f"{line[:1].upper()}{line[1:]}.") for line in leaks],
        variant="light",
        color="tide",
        title="NDCG@10 says little here, as reranker evaluate warns",
    )


def _left_out(rows: list[dict[str, Any]]) -> Any:
    largest = max((abs(row["score"]) for row in rows), default=0.0) or 1.0
    lines = [
        html.Tr(
            [
                html.Td(row["type"], className="quiet"),
                html.Td(row["what"], className="what"),
                html.Td(f"{row['score']:+.3f}", className="num"),
                html.Td(
                    html.Span(
                        className="away" if row["score"] < 0 else "toward",
                        style={"width": f"{abs(row['score']) / largest * 100:.1f}%"},
                    ),
                    className="bar",
                ),
                html.Td(_places(row["rank"]), className="num"),
            ]
        )
        for row in rows[:8]
    ]
    head = html.Tr([html.Th(name) for name in ("event", "", "score", "", "places")])
    return html.Table([html.Thead(head), html.Tbody(lines)], className="plain")


def _places(moved: int) -> str:
    return f"▲ {moved}" if moved > 0 else f"▼ {-moved}" if moved < 0 else "·"


def _alert(failure: Failure) -> Any:
    return dmc.Alert(str(failure), color="tide", variant="light", title="That did not work")


def _pickers(app: Dash, page: Page) -> None:
    @app.callback(
        Output("request", "data"),
        Input("set", "value"),
        Input("source", "value"),
    )
    def requests(name: Name | None, source: Name | None) -> Any:
        if not name or source != "set":
            return no_update
        try:
            return [
                {"value": summary.key, "label": f"{summary.query or '(no words)'} · {summary.key}"}
                for summary in page.sets.summaries(name)
            ]
        except Failure:
            return []

    @app.callback(Output("user", "data"), Input("url", "pathname"))
    def users(_path: Any) -> list[str]:
        return list(islice(page.served.histories.users(), _USERS))

    @app.callback(
        Output("set", "data"),
        Output("set", "value", allow_duplicate=True),
        Output("pasted-said", "children"),
        Input("keep-pasted", "n_clicks"),
        State("pasted", "value"),
        State("pasted-name", "value"),
        prevent_initial_call=True,
    )
    def paste(_clicks: Any, text: str | None, name: Name | None) -> tuple[Any, Any, Any]:
        try:
            saved = page.sets.save((name or "").strip(), (text or "").encode())
            return set_choices(page.sets.names()), saved, f"Kept as {saved}."
        except Failure as failure:
            return no_update, no_update, str(failure)


def _browser(app: Dash) -> None:
    """What needs no server: assets/search.js."""
    app.clientside_callback(
        ClientsideFunction("search", "case"),
        Output("case", "data"),
        Output("set-fields", "style"),
        Input("query", "value"),
        Input("user", "value"),
        Input("blend", "value"),
        Input("source", "value"),
        Input("set", "value"),
        Input("request", "value"),
        Input("edited", "data"),
        State("case", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("search", "picked"),
        Output("query", "value", allow_duplicate=True),
        Output("user", "value", allow_duplicate=True),
        Input("request", "value"),
        Input("request", "data"),
        State("user", "value"),
        State("query", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("search", "rerank"),
        Output("address", "storage_type"),  # nothing: assets/search.js writes where it has to
        Input("matrix", "data"),
        Input({"slider": ALL}, "value"),
        State({"slider": ALL}, "id"),
    )
    app.clientside_callback(
        ClientsideFunction("search", "reset"),
        Output({"slider": ALL}, "value", allow_duplicate=True),
        Input("reset", "n_clicks"),
        Input("saved-blend", "data"),
        State({"slider": ALL}, "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("search", "choose"),
        Output("chosen", "data"),
        Output("why-b", "data"),
        Output("why-b", "value"),
        Input("engine-list", "selectedRows"),
        Input("blend-list", "selectedRows"),
        Input("order", "data"),
        Input("why-b", "value"),
        State("chosen", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("search", "leave_out"),
        Output("left-out-asked", "data"),
        Output("leave-out", "children"),
        Input("leave-out", "n_clicks"),
        Input("order", "data"),
        Input("chosen", "data"),
        State("left-out-asked", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("search", "why"),
        Output("why", "children"),
        Output("why-a", "children"),
        Output("why-relation", "children"),
        Input("chosen", "data"),
        Input("order", "data"),
        State("matrix", "data"),
    )


def _editing(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("history", "show"),
        Output("history", "rowData"),
        Output("gate", "children"),
        Output("unedit", "disabled"),
        Output("new-user", "disabled"),
        Input("matrix", "data"),
        State("edited", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("history", "edit"),
        Output("edited", "data", allow_duplicate=True),
        Output("add-what", "value"),
        Input("history", "cellRendererData"),
        Input("add-event", "n_clicks"),
        Input("add-what", "n_submit"),
        Input("add-view", "n_clicks"),
        Input("add-cart", "n_clicks"),
        Input("add-purchase", "n_clicks"),
        Input("new-user", "n_clicks"),
        Input("unedit", "n_clicks"),
        Input("user", "value"),
        Input("request", "value"),
        State("matrix", "data"),
        State("edited", "data"),
        State("chosen", "data"),
        State("add-type", "value"),
        State("add-what", "value"),
        prevent_initial_call=True,
    )
