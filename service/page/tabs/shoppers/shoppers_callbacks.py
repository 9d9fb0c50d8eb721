"""shoppers_callbacks.py: what is set in the Shoppers tab -> its cards, each asked for by itself."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update
from msgspec.json import encode

from indexes.errors import Failure
from reranker.ranking.state import ServedState
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.item_views import describe
from service.page.tabs.search_shoppers import found_view
from service.page.tabs.shoppers.chances_view import churn_view, next_action_view
from service.page.tabs.shoppers.model_view import model_view
from service.page.tabs.shoppers.moments import Moment, ShopperCase, key_of, moment_of
from service.page.tabs.shoppers.offers_view import cart_view, recommendations
from service.page.tabs.shoppers.reasons import failed, nothing, sentence
from service.page.tabs.shoppers.shoppers_tab import OF

log = logging.getLogger("reranker")

_LONGEST: Final = 4000  # characters of a history in a link, as assets/url.js has it


def shoppers_callbacks(app: Dash, page: Page) -> None:
    """Find and choose; look; edit, in the browser."""
    _choosing(app, page)
    _looking(app, page)
    _cards(app, page)
    _browser(app)


def _choosing(app: Dash, page: Page) -> None:
    @app.callback(
        Output(f"{OF}-found", "children"),
        Output("shopper", "data"),
        Input("tabs", "value"),
        Input(f"{OF}-did", "value"),
    )
    def find(tab: Name | None, words: Name | None) -> tuple[Any, Any]:
        if tab != OF:
            return no_update, no_update
        try:
            return found_view(page, words or "", OF), page.shoppers.names()
        except Failure as failure:
            return failed(failure), []

    @app.callback(
        Output("shopper", "value", allow_duplicate=True),
        Input({"shopper": ALL, "of": OF}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> Any:
        chosen = ctx.triggered_id
        return chosen.get("shopper", "") if any(clicks) and isinstance(chosen, dict) else no_update


def _looking(app: Dash, page: Page) -> None:
    @app.callback(
        Output("shopper-seen", "data"),
        Output("shopper-head", "children"),
        Input("shopper-case", "data"),
        prevent_initial_call=True,
    )
    def look(case: ShopperCase | None) -> tuple[Any, Any]:
        if case is None:
            return no_update, no_update
        try:
            moment = moment_of(case, page)
        except Failure as failure:
            return {"history": [], "now": 0}, failed(failure)
        return {"history": _events(moment, page), "now": moment.now}, _head(moment, page.state)


def _cards(app: Dash, page: Page) -> None:
    """A request each: a slow one holds up no other, and one that fails says so itself."""

    @app.callback(
        Output("shopper-recommendations", "children"),
        Output("shopper-model", "children"),
        Input("shopper-case", "data"),
        prevent_initial_call=True,
    )
    def recommend(case: ShopperCase | None) -> tuple[Any, Any]:
        def both(page: Page, moment: Moment) -> tuple[Any, Any]:
            offered = recommendations(page, moment)
            return offered.view, model_view(page, moment, offered.gate)

        shown = _shown(both, page, case)
        return shown if isinstance(shown, tuple) else (shown, shown)

    views = (
        ("shopper-cart", cart_view),
        ("shopper-churn", churn_view),
        ("shopper-next", next_action_view),
    )
    for name, view in views:
        _card(app, page, name, view)


def _card(app: Dash, page: Page, name: str, view: Callable[[Page, Moment], Any]) -> None:
    @app.callback(
        Output(name, "children"), Input("shopper-case", "data"), prevent_initial_call=True
    )
    def show(case: ShopperCase | None) -> Any:
        return _shown(view, page, case)


def _shown(view: Callable[[Page, Moment], Any], page: Page, case: ShopperCase | None) -> Any:
    """The view, or in its place what went wrong."""
    if case is None:
        return no_update
    try:
        return view(page, moment_of(case, page))
    except Failure as failure:
        return failed(failure)
    except Exception:  # a card that fails must not leave another shopper's figures standing
        log.exception("a card of the Shoppers tab failed")
        return nothing(sentence("internal_error"))


def _browser(app: Dash) -> None:
    """What needs no server: assets/shoppers.js."""
    app.clientside_callback(
        ClientsideFunction("shoppers", "case"),
        Output("shopper-case", "data"),
        Input("tabs", "value"),
        Input("shopper", "value"),
        Input("shopper-edits", "data"),
        State("shopper-case", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("shoppers", "show"),
        Output("timeline", "rowData"),
        Output("shopper-undo", "disabled"),
        Output("shopper-empty", "disabled"),
        Input("shopper-seen", "data"),
        State("shopper-edits", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("shoppers", "edit"),
        Output("shopper-edits", "data", allow_duplicate=True),
        Output("shopper-what", "value"),
        Input("timeline", "cellRendererData"),
        Input("shopper-add", "n_clicks"),
        Input("shopper-what", "n_submit"),
        Input("shopper-empty", "n_clicks"),
        Input("shopper-undo", "n_clicks"),
        Input("shopper", "value"),
        Input({"whatif": ALL, "kind": ALL, "of": ALL}, "n_clicks"),
        State("shopper-seen", "data"),
        State("shopper-edits", "data"),
        State("shopper-type", "value"),
        State("shopper-what", "value"),
        prevent_initial_call=True,
    )


def _events(moment: Moment, page: Page) -> list[dict[str, Any]]:
    """Newest first, with titles and pictures of items; `begins`: the newest of its visit."""
    events = moment.events
    items = [event.item for event in events if event.item]
    described = describe(page.state.index, items, page.thumbnails.thumbnail_of)
    by_id = {item["id"]: item for item in described}
    visits = [*moment.visits(), -1]
    rows = []
    for place, event in enumerate(events):
        key, at = key_of(event), datetime.fromtimestamp(event.time, UTC)
        item = by_id[event.item] if event.item else None
        rows.append(
            {
                "key": key,
                "stored": key in moment.stored,
                "type": event.type,
                "item": event.item,
                "query": event.query,
                "time": event.time,
                "price": event.price,
                "quantity": event.quantity,
                "title": item["title"] if item else "",
                "image": item["image"] if item else None,
                "begins": visits[place] != visits[place + 1],
                "date": f"{at:%d %b %Y}",
                "clock": f"{at:%H:%M}",
            }
        )
    return rows[::-1]


def _head(moment: Moment, state: ServedState) -> Any:
    """Who it is, how much is known, and as of when everything here is meant."""
    events = len(moment.events)
    visits = len(set(moment.visits()))
    facts = [
        f"{events:,} event{'s' if events != 1 else ''} in {visits:,} visit{'s' * (visits != 1)}",
        f"as of {datetime.fromtimestamp(moment.now, UTC):%d %b %Y %H:%M} UTC",
    ]
    if moment.cut:
        facts.insert(1, f"older events are kept, and not read here beyond {events:,}")
    if moment.edited:
        facts.append(f"what if: {moment.added:,} added, {moment.taken:,} taken away")
    name = moment.user or "New shopper"
    return html.Section(
        [
            html.Div(
                [
                    html.H2(name, className="shopper-name", title=name),
                    html.Span(" · ".join(facts), className="quiet small"),
                    html.A("Search as this shopper", href=_search(moment), className="step"),
                ],
                className="head",
            ),
            *_warnings(moment, state),
        ],
        className="card",
    )


def _search(moment: Moment) -> str:
    """The same shopper in Search."""
    address = {"user": moment.user} if moment.user else {}
    if moment.edited:
        history = encode(moment.shopper()["history"]).decode()
        address |= {"h": history} if len(history) <= _LONGEST else {}
    return f"?{urlencode(address)}"


def _warnings(moment: Moment, state: ServedState) -> list[Any]:
    lines: list[list[Any]] = []
    if moment.user and not moment.stored:
        lines.append(
            [
                f"No event of a shopper “{moment.user}” is kept. What stands below is what a new "
                "shopper gets. “Who did what?” finds those that are kept; ids are the shop's own, "
                "or the pseudonyms that stand there."
            ]
        )
    if state.model is None:
        lines.append(["Nothing learned is served: ", *sentence(state.personal.reason)])
    return [dmc.Alert(html.Span(line), variant="light", color="tide") for line in lines]
