"""blends_tab.py: stored blends -> their list, what one holds, and what can be done with it."""

from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
import msgspec
from dash import Dash, Input, Output, State, dcc, html, no_update

from indexes.errors import Failure
from reranker.blends.store import StoredBlend
from service.page.parts.callback_values import Name, Rows, labels
from service.page.parts.context import Page
from service.page.parts.request_sets import uploaded
from service.page.parts.widgets import FOCUS, LIST, aria
from service.page.tabs.blend_rows import Blends
from service.page.tabs.blend_view import blend_view
from service.page.tabs.publishing import publish_dialog, publishing_callbacks, signed_in_name
from service.page.tabs.tune_card import tune_callbacks, tune_card

_COLUMNS: Final[list[dict[str, Any]]] = [
    {"field": "label", "headerName": "blend", "flex": 3, "minWidth": 96, "tooltipField": "note"},
    {"field": "state", "headerName": "", "width": 118, "cellClass": "strong"},
    {"field": "kind", "headerName": "kind", "width": 66},
    {"field": "created", "headerName": "stored", "width": 128},
]
_ROW_PIXELS: Final = 34
_HEAD_PIXELS: Final = 36
_ROWS_SHOWN: Final = 8  # the others are scrolled to


def blends_tab(page: Page) -> Any:
    """The versions on the left; one of them, what differs, and the actions on the right."""
    return html.Div(
        [
            html.Div([_versions(), tune_card(page), html.Div(id="blend-log")], className="stage"),
            html.Div([_actions(), html.Div(id="blend-view", className="stage")], className="stage"),
            dcc.Download(id="blend-file"),
            dcc.Store(id="blends-changed"),
            dcc.Store(id="published-id"),
            dcc.Store(id="publish-plan"),
            publish_dialog(),
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
                dashGridOptions=LIST | {"rowHeight": _ROW_PIXELS},
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
                            dmc.Button("Publish", id="publish", size="xs", disabled=True),
                            dmc.Button(
                                "Roll back",
                                id="rollback",
                                size="xs",
                                variant="default",
                                disabled=True,
                            ),
                            dmc.Button(
                                "Export", id="export", size="xs", variant="default", disabled=True
                            ),
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
    _changing(app, blends)
    publishing_callbacks(app, page, blends)
    tune_callbacks(app, page)


def _row(row: StoredBlend) -> dict[str, Any]:
    advice = {True: "recommended", False: "not proven", None: ""}[row.recommended]
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain | {
        "label": row.label,
        "state": "published" if row.published else advice,
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
        Output("blend-rows", "style"),
        Input("tabs", "value"),
        Input("blends-changed", "data"),
        State("blend-rows", "selectedRows"),
    )
    def show(tab: Name | None, _changed: Any, chosen: Rows) -> tuple[Any, ...]:
        if tab != "blends":
            return (no_update,) * 8
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
            {"height": _HEAD_PIXELS + _ROW_PIXELS * min(max(len(rows), 2), _ROWS_SHOWN)},
        )


def _log(entries: list[dict[str, Any]]) -> Any:
    """Who did what to blends, newest first."""
    if not entries:
        return None
    rows = [
        html.Div(
            [
                html.Div(
                    [
                        html.B(f"{entry['what']} {entry['name']}@{entry['version']}"),
                        f" by {entry.get('who') or 'somebody'}",
                        html.Span(entry["time"][:16].replace("T", " "), className="quiet when"),
                    ]
                ),
                *_logged_changes(entry.get("diff") or []),
            ],
            className="log-entry",
        )
        for entry in entries
    ]
    return html.Section([html.H2("Log"), *rows], className="card")


def _logged_changes(lines: list[str]) -> list[Any]:
    """Against what was published then, folded."""
    if not lines:
        return []
    changed = [html.Li(html.Code(line)) for line in lines]
    count = f"{len(lines)} changes" if len(lines) > 1 else "1 change"
    return [html.Details([html.Summary(count), html.Ul(changed, className="diff")])]


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
        if other == label:
            differs: Any = html.P(
                "It is held against itself; choose another.", className="quiet small"
            )
        elif lines:
            differs = html.Ul([html.Li(html.Code(line)) for line in lines], className="diff")
        else:
            differs = html.P("Nothing differs.", className="quiet small")
        return blend_view(blend), differs, label


def label_of(chosen: Rows) -> str | None:
    """The selected version: AG Grid's rows, or the ids that a callback selected."""
    return next(iter(labels(chosen)), None)


def _changing(app: Dash, blends: Blends) -> None:
    @app.callback(
        Output("blends-said", "children"),
        Output("blends-changed", "data"),
        Input("import-blend", "contents"),
        State("import-blend", "filename"),
        prevent_initial_call=True,
    )
    def store(content: str | None, name: Name | None) -> tuple[Any, Any]:
        if not content:
            return no_update, no_update
        try:
            notice = blends.save(uploaded(content), name or "the file", signed_in_name())
        except Failure as failure:
            return f"{failure} {failure.hint or ''}", no_update
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
