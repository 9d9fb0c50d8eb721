"""search_empty.py: nothing searched, or nothing found -> what to try, and what is to be made."""

from itertools import islice
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, ctx, html, no_update

from indexes.errors import Failure
from service.page.parts.cases import OWN
from service.page.parts.context import Page

SHOP: Final = "/"  # no name of a request set
_EXAMPLES: Final = 3
_LOOKED: Final = 400  # requests of a set from which examples are taken


def example_callbacks(app: Dash, page: Page) -> None:
    """A click on an example searches it."""

    @app.callback(
        Output("source", "value", allow_duplicate=True),
        Output("query", "value", allow_duplicate=True),
        Output("set", "value", allow_duplicate=True),
        Output("request", "value", allow_duplicate=True),
        Output("user", "value", allow_duplicate=True),
        Input({"example": ALL, "of": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def example(clicks: list[int | None]) -> tuple[Any, ...]:
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            return (no_update,) * 5
        what, of = chosen.get("example"), chosen.get("of")
        if of == SHOP:
            return "shop", what, no_update, no_update, no_update
        return "set", no_update, of, what, OWN


def nothing_searched(page: Page) -> Any:
    """Three searches to try, and what is still to be done where no model is there."""
    return html.Section(
        [
            html.H2("Search as a shopper would, and see what each signal changes"),
            html.P(
                "Left stands the engine's order, right the blend's. Move a slider, choose a "
                "shopper, or click an item to see why it stands where it does.",
                className="quiet",
            ),
            html.Div(
                [
                    dmc.Button(
                        label,
                        id={"example": value, "of": of},
                        variant="light",
                        size="sm",
                    )
                    for value, label, of in _examples(page)
                ],
                className="row examples",
            ),
            *_without_model(page),
        ],
        className="card blank",
    )


def nothing_found(query: str) -> Any:
    """The engine had nothing to re-rank."""
    return html.Section(
        [
            html.H2(f"The engine found nothing for “{query}”"),
            html.P(
                "A re-ranker orders what the engine finds and adds nothing. Try fewer words, or "
                "others.",
                className="quiet",
            ),
        ],
        className="card blank",
    )


def _without_model(page: Page) -> list[Any]:
    if page.state.model is not None:
        return []
    words: list[Any] = [
        "No model yet: personal signals rest. ",
        html.Code("reranker train"),
        " makes one.",
    ]
    return [html.P(words, className="quiet no-model")]


def _examples(page: Page) -> list[tuple[str, str, str]]:
    """Of different queries: what is searched, its label, and the set, or SHOP for the engine."""
    shop = page.engine.available
    for name in page.sets.names():
        try:
            rows = list(islice(page.sets.summaries(name), _LOOKED))
        except Failure:
            continue
        unique = list({row.query: row for row in reversed(rows) if row.query}.values())
        chosen = unique[:: max(1, len(unique) // _EXAMPLES)][:_EXAMPLES]
        if chosen:
            of = SHOP if shop else name
            return [(row.query if shop else row.key, row.query, of) for row in chosen]
    return []
