"""search_tab.py: blends and request sets -> the Search tab's layout."""

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html

from service.page.parts.context import Page
from service.page.parts.request_sets import set_choices
from service.page.parts.widgets import FOCUS, LIST, aria
from service.page.tabs.blend_rows import blend_choices
from service.page.tabs.search_side import shopper_card, signals_card


def search_tab(page: Page) -> Any:
    """Toolbar, sliders and shopper on the left, the two orders, and why."""
    return html.Div(
        [
            _toolbar(page),
            html.Div(
                [
                    html.Aside([signals_card(), shopper_card(page)], className="side"),
                    html.Main([_lists(), _why()], className="stage"),
                ],
                className="search-body",
            ),
        ],
        className="search",
    )


def _toolbar(page: Page) -> Any:
    sets, shop = page.sets.names(), page.engine.available
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
                        **aria(label="request set"),
                    ),
                    dmc.Select(
                        id="request",
                        data=[],
                        searchable=True,
                        limit=60,
                        placeholder="choose a request",
                        nothingFoundMessage="No such request",
                        w=180,
                        **aria(label="request"),
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
                **aria(label="query"),
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
                w=172,
                **aria(label="user"),
            ),
            dmc.Select(
                id="blend",
                data=blend_choices(page.state),
                value="",
                allowDeselect=False,
                w=180,
                **aria(label="blend"),
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
                            autosize=True,
                            minRows=6,
                            maxRows=12,
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
        eventListeners=FOCUS,
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
                        **aria(label="item to compare with"),
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
