"""search_tab.py: signals, blends, request sets -> the Search tab's layout."""

from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html

from reranker.events import event_weights
from reranker.signals import SIGNALS, Signal
from service.page.blend_rows import blend_choices
from service.page.page import Page
from service.page.request_sets import set_choices

LIST: Final[dict[str, Any]] = {
    "animateRows": True,
    "rowHeight": 46,
    "headerHeight": 30,
    "suppressCellFocus": False,
    "suppressMovableColumns": True,
    "suppressHorizontalScroll": True,
    "tooltipShowDelay": 300,
    "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
    "localeText": {"noRowsToShow": "Nothing to show yet"},
    "theme": {"function": "pageTheme(themeQuartz)"},
}
_FOCUS: Final = {"cellFocused": ["selectFocused(params)"]}


def search_tab(page: Page) -> Any:
    """Toolbar, sliders and shopper on the left, the two orders, and why."""
    return html.Div(
        [
            _toolbar(page),
            html.Div(
                [
                    html.Aside([_signals(), _shopper(page)], className="side"),
                    html.Main([_lists(), _why()], className="stage"),
                ],
                className="search-body",
            ),
        ],
        className="search",
    )


def _toolbar(page: Page) -> Any:
    sets, shop = page.sets.names(), page.engine.there
    source = "shop" if shop else "set"
    return html.Div(
        [
            dmc.SegmentedControl(
                id="source",
                value=source,
                data=[
                    {"value": "shop", "label": "Demo engine", "disabled": not shop},
                    {"value": "set", "label": "Request set"},
                ],
                size="sm",
            ),
            html.Div(
                [
                    dmc.Select(
                        id="set",
                        data=set_choices(sets),
                        value=sets[0] if sets else None,
                        placeholder="no set yet",
                        w=150,
                        **{"aria-label": "request set"},
                    ),
                    dmc.Select(
                        id="request",
                        data=[],
                        searchable=True,
                        limit=60,
                        placeholder="choose a request",
                        nothingFoundMessage="No such request",
                        w=200,
                        **{"aria-label": "request"},
                    ),
                    _paste(),
                ],
                id="set-fields",
                className="set-fields",
                style={} if source == "set" else {"display": "none"},
            ),
            dmc.TextInput(
                id="query",
                value="",
                debounce=250,
                placeholder="Search, as a shopper would",
                rightSection=dmc.Kbd("/"),
                className="grow query",
                **{"aria-label": "query"},
            ),
            dmc.Autocomplete(
                id="user",
                value="",
                data=[],
                limit=30,
                debounce=350,
                clearable=True,
                placeholder="New user: no history",
                leftSection=html.Span("◍", className="quiet"),
                w=190,
                **{"aria-label": "user"},
            ),
            dmc.Select(
                id="blend",
                data=blend_choices(page.state),
                value="",
                allowDeselect=False,
                w=180,
                **{"aria-label": "blend"},
            ),
        ],
        className="toolbar",
    )


def _paste() -> Any:
    return dmc.Popover(
        [
            dmc.PopoverTarget(dmc.Button("Paste", variant="default", size="sm")),
            dmc.PopoverDropdown(
                dmc.Stack(
                    [
                        dmc.Textarea(
                            id="pasted",
                            label="Requests, one JSON object a line",
                            placeholder='{"query": "desk lamp", "candidates": [{"id": "17"}]}',
                            autosize=True, minRows=6, maxRows=12,
                            w=420,
                        ),
                        dmc.TextInput(id="pasted-name", label="Kept as", value="pasted.jsonl"),
                        dmc.Button("Keep as a request set", id="keep-pasted", size="sm"),
                        html.Div(id="pasted-said", className="said"),
                    ],
                    gap="xs",
                )
            ),
        ],
        position="bottom-start",
        shadow="md",
        trapFocus=True,
    )


def _signals() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Signals"),
                    dmc.Button("Reset", id="reset", variant="subtle", size="compact-xs"),
                ],
                className="head",
            ),
            html.Div(
                [
                    *(_slider(signal) for signal in SIGNALS.values() if not signal.personal),
                    html.Div("personal, times the gate", className="quiet small group"),
                    *(_slider(signal) for signal in SIGNALS.values() if signal.personal),
                ],
                id="sliders",
            ),
            html.Div(id="resting", className="quiet small"),
            html.Div(id="timing", className="quiet small", **{"aria-live": "polite"}),
        ],
        className="card",
    )


def _slider(signal: Signal) -> Any:
    return html.Div(
        [
            html.Span(className=f"swatch sg-{signal.name}"),
            html.Span(signal.name, className="name", title=signal.meaning),
            dmc.Slider(
                id={"slider": signal.name},
                value=1.0,
                min=0,
                max=3,
                step=0.05,
                updatemode="drag",
                label=None,
                size="sm",
                thumbSize=14,
                marks=[{"value": 1}],
                thumbLabel=f"weight of {signal.name}",
                className="grow",
            ),
            html.Span("×1.00", id={"times": signal.name}, className="times"),
        ],
        id={"signal": signal.name},
        className="signal gone",
        **{"data-signal": signal.name},
    )


def _shopper(page: Page) -> Any:
    types = list(event_weights(page.workspace))
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Shopper"),
                    html.Div(
                        [
                            dmc.Button(
                                "Undo edits", id="unedit", variant="subtle", size="compact-xs"
                            ),
                            dmc.Button(
                                "Empty", id="new-user", variant="subtle", size="compact-xs"
                            ),
                        ]
                    ),
                ],
                className="head",
            ),
            html.Div(id="gate", className="gate"),
            dag.AgGrid(
                id="history",
                columnDefs=_history_columns(types),
                rowData=[],
                getRowId="params.data.id",
                className="grid history-grid",
                dashGridOptions=LIST
                | {
                    "rowHeight": 30,
                    "headerHeight": 26,
                    "singleClickEdit": True,
                    "stopEditingWhenCellsLoseFocus": True,
                    "localeText": {"noRowsToShow": "No history"},
                },
            ),
            html.Div(
                [
                    dmc.Select(
                        id="add-type",
                        data=types,
                        value=types[0],
                        allowDeselect=False,
                        size="xs",
                        w=96,
                        **{"aria-label": "type of the new event"},
                    ),
                    dmc.TextInput(
                        id="add-what",
                        size="xs",
                        placeholder="item id, or words searched",
                        className="grow",
                        **{"aria-label": "item or words of the new event"},
                    ),
                    dmc.Button("Add", id="add-event", size="xs", variant="light"),
                ],
                className="row",
            ),
        ],
        className="card",
    )


def _history_columns(types: list[str]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = [
        {
            "field": "type",
            "headerName": "did",
            "width": 70,
            "editable": True,
            "cellEditor": "agSelectCellEditor",
            "cellEditorParams": {"values": types},
        },
        {"field": "what", "headerName": "what", "flex": 1, "tooltipField": "what"},
        {
            "field": "days",
            "headerName": "ago",
            "headerTooltip": "a click edits it, in days",
            "width": 54,
            "cellClass": "num",
            "editable": True,
            "cellDataType": "number",
            "valueFormatter": {"function": "ago(params.value)"},
        },
        {
            "field": "place",
            "headerName": "",
            "width": 64,
            "cellRenderer": "EventButtons",
        },
    ]
    return [column | {"sortable": False, "resizable": False} for column in columns]


def _lists() -> Any:
    engine = [
        {"field": "was", "headerName": "#", "width": 40, "cellClass": "num"},
        {"field": "title", "headerName": "Engine's order", "flex": 1, "cellRenderer": "ItemCell"},
        {"field": "now", "headerName": "now", "width": 54, "cellRenderer": "NowCell"},
    ]
    blend = [
        {"field": "now", "headerName": "#", "width": 40, "cellClass": "num strong"},
        {"field": "move", "headerName": "move", "width": 58, "cellRenderer": "MoveCell"},
        {"field": "title", "headerName": "Blend's order", "flex": 5, "cellRenderer": "ItemCell"},
        {"field": "bar", "headerName": "score", "flex": 4, "cellRenderer": "BarCell"},
        {"field": "score", "headerName": "", "width": 58, "cellRenderer": "ScoreCell"},
    ]
    return html.Div(
        [
            html.Section([_list("engine-list", engine)], className="card list"),
            html.Section([_list("blend-list", blend)], className="card list wide"),
            html.Div(id="notice", className="notice", role="status"),
        ],
        className="lists",
    )


def _list(name: str, columns: list[dict[str, Any]]) -> Any:
    return dag.AgGrid(
        id=name,
        columnDefs=[column | {"sortable": False, "resizable": False} for column in columns],
        rowData=[],
        getRowId="params.data.id",
        className="grid",
        dashGridOptions=LIST,
        eventListeners=_FOCUS,
    )


def _why() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Why", id="why-head"),
                    html.Span("is", className="quiet"),
                    html.Strong("…", id="why-a"),
                    html.Span("where it is, against", id="why-relation", className="quiet"),
                    dmc.Select(
                        id="why-b",
                        data=[],
                        searchable=True,
                        limit=80,
                        size="xs",
                        className="grow",
                        placeholder="choose an item to compare with",
                        **{"aria-label": "item to compare with"},
                    ),
                    dmc.Group(
                        [
                            dmc.Button(
                                f"+ {kind}",
                                id=f"add-{kind}",
                                size="compact-xs",
                                variant="default",
                            )
                            for kind in ("view", "cart", "purchase")
                        ],
                        gap=4,
                    ),
                ],
                className="head why-head",
            ),
            html.Div(id="why", className="why"),
            html.Div(
                [
                    dmc.Button(
                        "Which past event moved it most?",
                        id="leave-out",
                        size="compact-sm",
                        variant="light",
                    ),
                    html.Div(id="left-out"),
                ],
                className="left-out",
            ),
        ],
        className="card why-card",
    )
