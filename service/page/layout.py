"""layout.py: what is published -> the page: header, tabs, the stores between them."""

from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html
from flask import request

from service.access.sign_in import CALLER
from service.live.reload import blend_label
from service.page.parts.context import Page
from service.page.parts.widgets import aria
from service.page.tabs.base.base_tab import base_tab
from service.page.tabs.blends_tab import blends_tab
from service.page.tabs.compare_tab import compare_tab
from service.page.tabs.search_tab import search_tab
from service.page.tabs.shoppers.shoppers_tab import shoppers_tab
from service.page.tabs.system_tab import system_tab

TABS: Final = ("search", "shoppers", "base", "compare", "blends", "system")
THEME: Final[dict[str, Any]] = {
    "primaryColor": "tide",
    "primaryShade": {"light": 7, "dark": 6},
    "fontFamily": "Inter, ui-sans-serif, system-ui, 'Segoe UI', Roboto, sans-serif",
    "fontFamilyMonospace": "ui-monospace, 'SF Mono', Menlo, Consolas, monospace",
    "defaultRadius": "md",
    "colors": {
        # Mantine's own dark greys are warm; these go with the page's.
        "dark": [
            "#e6eef6",
            "#c3d0dc",
            "#93a7bb",
            "#8296aa",
            "#3b4f63",
            "#2c3e50",
            "#1c2b39",
            "#14202c",
            "#101a24",
            "#0d161f",
        ],
        "tide": [
            "#eff6fc",
            "#dcebf7",
            "#b7d5ee",
            "#8dbde3",
            "#65a4d7",
            "#4289c4",
            "#2c70ab",
            "#1f598d",
            "#17436c",
            "#0f2d4a",
        ],
    },
}


def layout(page: Page) -> Any:
    """The page as it is when it is opened; the address then fills it in."""
    return dmc.MantineProvider(
        theme=THEME,
        defaultColorScheme="light",
        children=[
            dcc.Location(id="url", refresh=False),
            *(dcc.Store(id=name) for name in ("address", "case", "matrix", "order", "chosen")),
            dcc.Store(id="edited"),
            dmc.Tabs(
                [
                    _header(page),
                    dmc.TabsPanel(search_tab(page), value="search"),
                    dmc.TabsPanel(shoppers_tab(page), value="shoppers"),
                    dmc.TabsPanel(base_tab(), value="base"),
                    dmc.TabsPanel(compare_tab(page), value="compare"),
                    dmc.TabsPanel(blends_tab(page), value="blends"),
                    dmc.TabsPanel(system_tab(page), value="system"),
                ],
                id="tabs",
                value="search",
                keepMounted=True,
                variant="pills",
                radius="xl",
            ),
        ],
    )


def _who() -> list[Any]:
    """Who opened the page, and the way out; or that everybody on this machine may."""
    name = request.environ.get(CALLER)
    if name is None:
        return [html.Span("no keys: open on this machine only", className="quiet")]
    button = html.Button("Sign out", type="submit", className="link")
    return [html.Span(["key ", html.B(name)]), html.Form(button, action="/sign-out", method="post")]


def _header(page: Page) -> Any:
    state = page.state
    return html.Header(
        [
            html.Div([html.Span(className="mark"), "reranker"], className="brand"),
            dmc.TabsList(
                [dmc.TabsTab(name.capitalize(), value=name, id=f"tab-{name}") for name in TABS],
                className="tab-list",
            ),
            html.Div(
                [
                    html.Span(["blend ", html.B(blend_label(state), id="published-label")]),
                    html.Span([html.B(f"{len(state.index):,}"), " items"]),
                    *_who(),
                    dmc.ColorSchemeToggle(
                        lightIcon=html.Span("◐"),
                        darkIcon=html.Span("◑"),
                        variant="subtle",
                        size="md",
                        **aria(label="light or dark"),
                    ),
                ],
                className="facts",
            ),
        ],
        className="top",
    )
