"""compare_tab.py: -> the tab."""

from typing import Any

from dash import Dash, html

from service.page.page import Page


def compare_tab(page: Page) -> Any:
    return html.Div("soon")


def compare_callbacks(app: Dash, page: Page) -> None:
    pass
