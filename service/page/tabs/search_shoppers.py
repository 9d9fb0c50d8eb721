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

_DAY: Final = 86_400.0


def shopper_finder() -> Any:
    """A field for what a shopper did, and those who did it."""
    return dmc.Popover(
        [
            dmc.PopoverTarget(dmc.Button("Find", id="find", variant="subtle", size="compact-xs")),
            dmc.PopoverDropdown(
                dmc.Stack(
                    [
                        dmc.TextInput(
                            id="did",
                            debounce=300,
                            value="",
                            label="Who did what?",
                            placeholder="watch, purchase shoes, an item id",
                            **aria(label="what the shopper did"),
                        ),
                        html.Div(id="found-shoppers", className="found-shoppers"),
                    ],
                    gap="xs",
                ),
                style={"width": 340},
            ),
        ],
        id="finder",
        position="bottom-start",
        shadow="md",
        trapFocus=True,
    )


def shopper_callbacks(app: Dash, page: Page) -> None:
    """Find shoppers; choose one."""

    @app.callback(
        Output("found-shoppers", "children"),
        Input("finder", "opened"),
        Input("did", "value"),
        prevent_initial_call=True,
    )
    def find(opened: bool | None, words: Name | None) -> Any:
        if not opened:
            return no_update
        try:
            found = page.shoppers.search(words or "")
        except Failure as failure:
            return html.P(str(failure), className="small")
        if not found and not words:
            return html.P(
                ["No events yet: ", html.Code("reranker events import FILE"), " or POST /events."],
                className="quiet small",
            )
        if not found:
            return html.P(f"Nobody did anything with “{words}”.", className="quiet small")
        return [*([] if words else [_new()]), *(_shopper(one) for one in found)]

    @app.callback(
        Output("user", "value", allow_duplicate=True),
        Output("finder", "opened"),
        Input({"shopper": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> tuple[Any, Any]:
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            return no_update, no_update
        return chosen.get("shopper", ""), False


def _new() -> Any:
    return _choice("", "new", "nothing is known", [])


def _shopper(one: ShopperFound) -> Any:
    kind = f"{one.events:,} event{'s' if one.events != 1 else ''}"
    return _choice(one.user, kind, f"last visit {_ago(one.last)}", one.did)


def _choice(user: str, kind: str, more: str, did: list[str]) -> Any:
    head = [html.B(kind), html.Span(more, className="quiet")]
    if user:
        head.append(html.Code(user[:10], className="quiet"))
    return html.Button(
        [
            html.Div(head, className="found-head"),
            *(html.Div(text, className="did") for text in did),
        ],
        id={"shopper": user},
        className="job found",
    )


def _ago(moment: float) -> str:
    days = (time.time() - moment) / _DAY
    return "today" if days < 1 else f"{days:.0f} d ago"
