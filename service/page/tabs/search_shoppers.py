"""search_shoppers.py: words -> the shoppers who did that, to be chosen."""

import time
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, ctx, html, no_update

from indexes.errors import Failure
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.shoppers import ShopperFound
from service.page.parts.widgets import aria

OF: Final = "search"
_DAY: Final = 86_400.0


def shopper_finder() -> Any:
    """A button for a field for what a shopper did, and those who did it."""
    return dmc.Popover(
        [
            dmc.PopoverTarget(dmc.Button("Find", id="find", variant="subtle", size="compact-xs")),
            dmc.PopoverDropdown(dmc.Stack(finder_fields(OF), gap="xs"), style={"width": 340}),
        ],
        id="finder",
        position="bottom-start",
        shadow="md",
        trapFocus=True,
    )


def finder_fields(of: str) -> list[Any]:
    """The field and the list under it. of: the tab that they are in."""
    return [
        dmc.TextInput(
            id=f"{of}-did",
            debounce=300,
            value="",
            label="Who did what?",
            placeholder="watch, purchase shoes, an item id",
            **aria(label="what the shopper did"),
        ),
        html.Div(id=f"{of}-found", className="found-shoppers"),
    ]


def shopper_callbacks(app: Dash, page: Page) -> None:
    """Find shoppers; choose one."""

    @app.callback(
        Output(f"{OF}-found", "children"),
        Input("finder", "opened"),
        Input(f"{OF}-did", "value"),
        prevent_initial_call=True,
    )
    def find(opened: bool | None, words: Name | None) -> Any:
        if not opened:
            return no_update
        try:
            return found_view(page, words or "", OF)
        except Failure as failure:
            return html.P(str(failure), className="small")

    @app.callback(
        Output("user", "value", allow_duplicate=True),
        Output("finder", "opened"),
        Input({"shopper": ALL, "of": OF}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> tuple[Any, Any]:
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            return no_update, no_update
        return chosen.get("shopper", ""), False


def found_view(page: Page, words: str, of: str) -> list[Any]:
    """Who did this, each to be chosen, and how many were looked through. Failure of the store."""
    found = page.shoppers.search(words)
    if not found.shoppers and not words:
        return [no_events()]
    listed = [_shopper(one, of) for one in found.shoppers]
    if not words:
        listed.insert(0, _choice("", "new", "nothing is known", [], of))
    elif not found.shoppers:
        listed.append(html.P(f"Nobody did anything with “{words}”.", className="quiet small"))
    if not found.everybody:
        said = (
            f"Looked through {found.looked:,} shoppers of more. Anybody is found by the whole id."
        )
        listed.append(html.P(said, className="quiet small"))
    return listed


def no_events() -> Any:
    """Where no shopper did anything: how to change that."""
    command = html.Code("reranker events import FILE")
    return html.P(["No events yet: ", command, " or POST /events."], className="quiet small")


def _shopper(one: ShopperFound, of: str) -> Any:
    kind = f"{one.events:,} event{'s' if one.events != 1 else ''}"
    return _choice(one.user, kind, f"last visit {_ago(one.last)}", one.did, of)


def _choice(user: str, kind: str, more: str, did: list[str], of: str) -> Any:
    head = [html.B(kind), html.Span(more, className="quiet")]
    if user:
        head.append(html.Code(user[:10], className="quiet"))
    return html.Button(
        [
            html.Div(head, className="found-head"),
            *(html.Div(text, className="did") for text in did),
        ],
        id={"shopper": user, "of": of},
        className="job found",
    )


def _ago(moment: float) -> str:
    days = (time.time() - moment) / _DAY
    return "today" if days < 1 else f"{days:.0f} d ago"
