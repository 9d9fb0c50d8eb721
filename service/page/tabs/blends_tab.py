"""blends_tab.py: stored blends -> their list, what one holds, and what can be done with it."""

from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
import msgspec
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from indexes.errors import Failure
from reranker.blends.store import StoredBlend
from service.page.parts.callback_values import Name, Rows, labels
from service.page.parts.context import Page
from service.page.parts.request_sets import uploaded
from service.page.parts.widgets import FOCUS, LIST, aria
from service.page.tabs.blend_rows import Blends
from service.page.tabs.blend_view import blend_view
from service.page.tabs.tune_card import tune_callbacks, tune_card

_COLUMNS: Final[list[dict[str, Any]]] = [
    {"field": "label", "headerName": "blend", "flex": 3},
    {"field": "state", "headerName": "", "width": 96, "cellClass": "strong"},
    {"field": "kind", "headerName": "kind", "width": 76},
    {"field": "author", "headerName": "by", "flex": 2},
    {"field": "created", "headerName": "stored", "width": 136},
]


def blends_tab(page: Page) -> Any:
    """The versions on the left; one of them, what differs, and the actions on the right."""
    return html.Div(
        [
            html.Div([_versions(), tune_card(page), html.Div(id="blend-log")], className="stage"),
            html.Div([_actions(), html.Div(id="blend-view", className="stage")], className="stage"),
            dcc.Download(id="blend-file"),
            dcc.Store(id="blends-changed"),
            dcc.Store(id="published-id"),
        ],
        className="halves",
    )


def _versions() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Versions"),
                    dcc.Upload(
                        dmc.Button("Import", size="compact-xs", variant="default"),
                        id="import-blend",
                        max_size=4_000_000,
                    ),
                ],
                className="head",
            ),
            dag.AgGrid(
                id="blend-rows",
                columnDefs=[column | {"resizable": False} for column in _COLUMNS],
                rowData=[],
                getRowId="params.data.label",
                className="grid blend-rows",
                dashGridOptions=LIST | {"rowHeight": 34},
                eventListeners=FOCUS,
            ),
            html.Div(id="blends-said", className="said", role="status"),
        ],
        className="card",
    )


def _actions() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("…", id="blend-name"),
                    dmc.Group(
                        [
                            dmc.TextInput(
                                id="who",
                                placeholder="your name, for the log",
                                size="xs",
                                w=170,
                                **aria(label="your name"),
                            ),
                            dmc.Button("Publish", id="publish", size="xs"),
                            dmc.Button("Roll back", id="rollback", size="xs", variant="default"),
                            dmc.Button("Export", id="export", size="xs", variant="default"),
                        ],
                        gap=6,
                    ),
                ],
                className="head",
            ),
            html.Div(
                [
                    html.Span("what differs from", className="quiet"),
                    dmc.Select(
                        id="diff-with", data=[], size="xs", w=220, **aria(label="compare with")
                    ),
                ],
                className="row",
            ),
            html.Div(id="blend-diff"),
        ],
        className="card",
    )


def blends_callbacks(app: Dash, page: Page) -> None:
    """List, show, publish, roll back, export, import."""
    blends = Blends(page.workspace.blends_root)
    _listing(app, blends)
    _showing(app, blends)
    _changing(app, page, blends)
    tune_callbacks(app, page)


def _row(row: StoredBlend) -> dict[str, Any]:
    unproven = "not proven" if row.recommended is False else ""
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain | {
        "label": row.label,
        "state": "published" if row.published else unproven,
        "created": row.created[:16].replace("T", " "),
    }


def _listing(app: Dash, blends: Blends) -> None:
    @app.callback(
        Output("blend-rows", "rowData"),
        Output("blend-rows", "selectedRows"),
        Output("diff-with", "data"),
        Output("diff-with", "value"),
        Output("published-id", "data"),
        Output("published-label", "children"),
        Output("blend-log", "children"),
        Input("tabs", "value"),
        Input("blends-changed", "data"),
        State("blend-rows", "selectedRows"),
    )
    def show(tab: Name | None, _changed: Any, chosen: Rows) -> tuple[Any, ...]:
        if tab != "blends":
            return (no_update,) * 7
        rows = [_row(row) for row in blends.rows()]
        served = next((row for row in rows if row["published"]), None)
        first = [served] if served else rows[:1]
        picked = labels(chosen) or [row["label"] for row in first]
        return (
            rows,
            {"ids": picked},
            [row["label"] for row in rows],
            served["label"] if served else None,
            served["id"] if served else None,
            f"{served['name']} v{served['version']}" if served else "default",
            _log(blends.log()[:20]),
        )


def _log(entries: list[dict[str, Any]]) -> Any:
    """Who did what to blends, newest first."""
    if not entries:
        return None
    rows = [
        html.Tr(
            [
                html.Td(entry["time"][:16].replace("T", " "), className="quiet"),
                html.Td(entry.get("who") or "somebody"),
                html.Td(f"{entry['what']} {entry['name']}@{entry['version']}"),
                html.Td("; ".join(entry.get("diff") or [])[:200], className="quiet small"),
            ]
        )
        for entry in entries
    ]
    return html.Section(
        [html.H2("Log"), html.Table(html.Tbody(rows), className="plain")], className="card"
    )


def _showing(app: Dash, blends: Blends) -> None:
    @app.callback(
        Output("blend-view", "children"),
        Output("blend-diff", "children"),
        Output("blend-name", "children"),
        Input("blend-rows", "selectedRows"),
        Input("diff-with", "value"),
    )
    def show(chosen: Rows, other: Name | None) -> tuple[Any, Any, Any]:
        label = label_of(chosen)
        if label is None:
            return None, None, "Choose a version"
        try:
            blend = blends.blend(label)
            lines = blends.diff(other, label) if other and other != label else []
        except Failure as failure:
            return dmc.Alert(str(failure), variant="light"), None, label
        if lines:
            differs: Any = html.Ul([html.Li(html.Code(line)) for line in lines], className="diff")
        else:
            differs = html.P("Nothing differs.", className="quiet small")
        return blend_view(blend), differs, label


def label_of(chosen: Rows) -> str | None:
    """The selected version: AG Grid's rows, or the ids that a callback selected."""
    return next(iter(labels(chosen)), None)


def _changing(app: Dash, page: Page, blends: Blends) -> None:
    @app.callback(
        Output("blends-said", "children"),
        Output("blends-changed", "data"),
        Input("publish", "n_clicks"),
        Input("rollback", "n_clicks"),
        Input("import-blend", "contents"),
        State("import-blend", "filename"),
        State("blend-rows", "selectedRows"),
        State("who", "value"),
        State("published-id", "data"),
        prevent_initial_call=True,
    )
    def change(
        _publish: Any,
        _rollback: Any,
        content: str | None,
        name: Name | None,
        chosen: Rows,
        who: Name | None,
        expect: Name | None,
    ) -> tuple[Any, Any]:
        label = label_of(chosen)
        try:
            if ctx.triggered_id == "import-blend":
                notice = blends.save(uploaded(content or ""), name or "the file")
            elif ctx.triggered_id == "rollback":
                notice = blends.rollback(who or "")
            elif label is None:
                return "Choose a version first.", no_update
            else:
                notice = blends.publish(label, who or "", expect or "")
        except Failure as failure:
            return f"{failure} {failure.hint or ''}", no_update
        page.served.refresh()
        return notice, notice

    @app.callback(
        Output("blend-file", "data"),
        Input("export", "n_clicks"),
        State("blend-rows", "selectedRows"),
        prevent_initial_call=True,
    )
    def export(_clicks: Any, chosen: Rows) -> Any:
        label = label_of(chosen)
        if label is None:
            return no_update
        text = msgspec.json.format(msgspec.json.encode(blends.blend(label)), indent=2).decode()
        return {"content": text + "\n", "filename": f"{label.replace('@', '-v')}.json"}
