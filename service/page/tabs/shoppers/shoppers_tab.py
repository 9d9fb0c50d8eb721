"""shoppers_tab.py: types of events -> the Shoppers tab's layout, which a shopper then fills."""

from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from reranker.events.settings import event_weights
from service.page.parts.context import Page
from service.page.parts.widgets import LIST, aria
from service.page.tabs.search_shoppers import finder_fields
from service.page.tabs.search_side import event_column

OF: Final = "shoppers"
_WHEN: Final[dict[str, Any]] = {
    "field": "cell",
    "colId": "when",
    "headerName": "when (UTC)",
    "width": 92,
    "cellRenderer": "WhenCell",
    "sortable": False,
    "resizable": False,
}


def shoppers_tab(page: Page) -> Any:
    """Who on the left; then the timeline, what is foreseen of it, and what is offered."""
    return html.Div(
        [
            html.Aside([_finder()], className="side"),
            html.Main(
                [
                    html.Div(id="shopper-head", role="status", **aria(live="polite")),
                    html.Div(
                        [
                            html.Div([_timeline(page), _foreseen()], className="shopper-side"),
                            html.Div([_offered()], className="shopper-side"),
                        ],
                        className="shopper-columns",
                    ),
                ],
                className="stage",
            ),
            dcc.Store(id="shopper-case"),
            dcc.Store(id="shopper-seen"),
            dcc.Store(id="shopper-edits"),
        ],
        className="search-body shoppers",
    )


def _finder() -> Any:
    return html.Section(
        [
            html.H2("Shopper"),
            dmc.Autocomplete(
                id="shopper",
                value="",
                data=[],
                limit=30,
                debounce=350,
                clearable=True,
                label="By id",
                placeholder="New shopper",
                leftSection=html.Span("◍", className="quiet"),
            ),
            *finder_fields(OF),
        ],
        className="card form",
    )


def _timeline(page: Page) -> Any:
    """The history, newest first, which can be edited as in Search."""
    types = list(event_weights(page.workspace))
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Timeline"),
                    html.Div(
                        [
                            _button("Undo edits", "shopper-undo"),
                            _button("Empty", "shopper-empty"),
                        ]
                    ),
                ],
                className="head",
            ),
            dag.AgGrid(
                id="timeline",
                columnDefs=[_WHEN, event_column(types)],
                rowData=[],
                getRowId="params.data.id",
                className="grid history-grid timeline-grid",
                dashGridOptions=LIST
                | {
                    "rowHeight": 66,
                    "headerHeight": 0,
                    "localeText": {"noRowsToShow": "No events: a new shopper"},
                },
            ),
            html.Div(
                [
                    dmc.Select(
                        id="shopper-type",
                        data=types,
                        value=types[0],
                        allowDeselect=False,
                        size="xs",
                        w=96,
                        **aria(label="type of the event to add"),
                    ),
                    dmc.TextInput(
                        id="shopper-what",
                        size="xs",
                        placeholder="item id, or words searched",
                        className="grow",
                        **aria(label="item or words of the event to add"),
                    ),
                    dmc.Button("Add", id="shopper-add", size="xs", variant="light"),
                ],
                className="row",
            ),
        ],
        className="card",
    )


def _button(label: str, name: str) -> Any:
    return dmc.Button(label, id=name, variant="subtle", size="compact-xs", disabled=True)


def _foreseen() -> Any:
    return html.Div(
        [
            _card("Next action", "shopper-next"),
            _card("Leaving", "shopper-churn"),
            _card("What the model sees", "shopper-model"),
        ],
        className="shopper-cards",
    )


def _offered() -> Any:
    return html.Div(
        [
            _card("Recommendations", "shopper-recommendations"),
            _card("Cart of the newest visit", "shopper-cart"),
        ],
        className="shopper-cards",
    )


def _card(title: str, name: str) -> Any:
    waiting = html.P("…", className="quiet")
    return html.Section(
        [html.H2(title), html.Div(waiting, id=name, **aria(live="polite"))], className="card"
    )
