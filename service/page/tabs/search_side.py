"""search_side.py: signals and event types -> the left of the Search tab: sliders and history."""

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html

from reranker.events.settings import event_weights
from reranker.signals.registry import SIGNALS, Signal
from service.page.parts.context import Page
from service.page.parts.widgets import LIST, aria
from service.page.tabs.search_shoppers import shopper_finder
from service.page.tabs.search_weights import weight_actions


def signals_card(page: Page) -> Any:
    """One slider a signal; those that a ranking does not use are hidden. What to do with them."""
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
            weight_actions(page),
            html.Div(id="timing", className="quiet small", **aria(live="polite")),
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
                updatemode="mouseup",
                label=None,
                size="sm",
                thumbSize=14,
                marks=[{"value": 1}],
                thumbLabel=f"weight of {signal.name}",
                className="grow",
            ),
            html.Span("×1.00", className="times"),
        ],
        className="signal gone",
        **_data(signal=signal.name),
    )


def shopper_card(page: Page) -> Any:
    """The gate, and the history that can be edited."""
    types = list(event_weights(page.workspace))
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Shopper"),
                    html.Div(
                        [
                            shopper_finder(),
                            dmc.Button(
                                "Undo edits", id="unedit", variant="subtle", size="compact-xs"
                            ),
                            dmc.Button("Empty", id="new-user", variant="subtle", size="compact-xs"),
                        ]
                    ),
                ],
                className="head",
            ),
            html.Div(id="gate", className="gate"),
            dag.AgGrid(
                id="history",
                columnDefs=[event_column(types)],
                rowData=[],
                getRowId="params.data.id",
                className="grid history-grid",
                dashGridOptions=LIST
                | {
                    "rowHeight": 66,
                    "headerHeight": 0,
                    "localeText": {"noRowsToShow": "No events"},
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
                        **aria(label="type of the new event"),
                    ),
                    dmc.TextInput(
                        id="add-what",
                        size="xs",
                        placeholder="item id, or words searched",
                        className="grow",
                        **aria(label="item or words of the new event"),
                    ),
                    dmc.Button("Add", id="add-event", size="xs", variant="light"),
                ],
                className="row",
            ),
        ],
        className="card",
    )


def event_column(types: list[str]) -> dict[str, Any]:
    """cell: what changes whenever an event does, so that it is drawn again."""
    return {
        "field": "cell",
        "headerName": "event",
        "flex": 1,
        "cellRenderer": "EventCell",
        "cellRendererParams": {"types": types},
        "sortable": False,
        "resizable": False,
    }


def _data(**named: str) -> Any:
    return {f"data-{name}": value for name, value in named.items()}
