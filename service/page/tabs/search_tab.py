"""search_tab.py: blends and request sets -> the Search tab's layout."""

from typing import Any

import dash_mantine_components as dmc
from dash import html

from service.page.parts.context import Page
from service.page.parts.request_sets import set_choices
from service.page.parts.widgets import aria
from service.page.tabs.blend_rows import blend_choices
from service.page.tabs.search_lists import lists, why
from service.page.tabs.search_side import shopper_card, signals_card


def search_tab(page: Page) -> Any:
    """Toolbar, sliders and shopper on the left, the two orders, and why."""
    return html.Div(
        [
            _toolbar(page),
            html.Div(
                [
                    html.Aside([signals_card(page), shopper_card(page)], className="side"),
                    html.Main([lists(), why()], className="stage"),
                ],
                className="search-body",
            ),
        ],
        className="search",
    )


def _toolbar(page: Page) -> Any:
    """What is searched, for whom, with which blend; and which request, where it is one of a set."""
    sets, shop = page.sets.names(), page.engine.available
    source = "shop" if shop else "set"
    return html.Div(
        [
            html.Div(
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
                        placeholder="New shopper",
                        leftSection=html.Span("◍", className="quiet"),
                        className="user-field",
                        **aria(label="user"),
                    ),
                    dmc.Select(
                        id="blend",
                        data=blend_choices(page.state),
                        value="",
                        allowDeselect=False,
                        className="blend-field",
                        **aria(label="blend"),
                    ),
                ],
                className="toolbar-row",
            ),
            html.Div(
                _set_fields(sets),
                id="set-fields",
                className="toolbar-row",
                style={} if source == "set" else {"display": "none"},
            ),
        ],
        className="toolbar",
    )


def _set_fields(sets: list[str]) -> list[Any]:
    return [
        dmc.Select(
            id="set",
            data=set_choices(sets),
            value=sets[0] if sets else None,
            placeholder="no set yet",
            className="set-field",
            **aria(label="request set"),
        ),
        dmc.Select(
            id="request",
            data=[],
            searchable=True,
            limit=60,
            placeholder="choose a request",
            nothingFoundMessage="No such request",
            className="grow",
            **aria(label="request"),
        ),
        dmc.Button("Next query that got worse", id="next-worse", variant="default", size="sm"),
        html.Span(id="worse-said", className="said", role="status"),
        _paste(),
    ]


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
