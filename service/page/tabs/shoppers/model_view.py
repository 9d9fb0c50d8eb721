"""model_view.py: a history and the model -> what the model sees in it: nearest items, tastes."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from dash import html

from indexes.items.categories import split_paths
from indexes.items.records import Item
from indexes.storage.arrays import Values
from reranker.ranking.state import ServedState
from reranker.requests import Event, RerankRequest
from reranker.runtime.budget import Unavailable
from reranker.signals.columns import Missing
from reranker.signals.user_history import UserHistory, user_history_of
from service.page.parts.context import Page
from service.page.parts.widgets import aria
from service.page.tabs.shoppers.item_rows import ItemLine, item_list
from service.page.tabs.shoppers.moments import Moment
from service.page.tabs.shoppers.reasons import left_out, nothing, sentence

_NEAREST: Final = 6
_NEAREST_BY: Final = {
    True: (
        "Nearest to the user vector: what the model expects next",
        "User vector · item vector of the sequence encoder, without what is in the timeline.",
    ),
    False: (
        "Nearest to what was met",
        "Cosine with the mean of the newest items: there is no sequence encoder to foresee more.",
    ),
}
_TASTES: Final = 4  # brands and categories that are named


def model_view(page: Page, moment: Moment, gate: float | None) -> list[Any]:
    """gate: of the recommendations; None where no personal signal counts."""
    state = page.state
    history = history_of(moment, state)
    if isinstance(history, Missing):
        return [nothing(_without(history.reason))]
    return [
        *_gate(gate, state),
        *_tastes(history),
        *_nearest(page, history, moment, state),
    ]


def history_of(moment: Moment, state: ServedState) -> UserHistory | Missing:
    """The events as the signals read them."""
    events = [Event(event.type, event.item, event.query, event.time) for event in moment.events]
    request = RerankRequest([], history=events, time=moment.now)
    return user_history_of(request, lambda: moment.now, state.personal, state.index)


def _without(reason: str) -> list[Any]:
    if reason == "no_history":
        return ["Nothing: there is no event. Add one to the timeline, and see what it changes."]
    return sentence(reason)


def _gate(gate: float | None, state: ServedState) -> list[Any]:
    """How much personal signals count, as Search has it."""
    if gate is None:
        no_gate = "The blend of these recommendations has no gate: the history counts in what is "
        return [
            nothing(
                [f"{no_gate}retrieved."]
                if state.model is not None
                else sentence(state.personal.reason)
            )
        ]
    share = f"{gate:.0%}"
    return [
        html.Div([html.Span("gate"), html.B(f"{gate:.3f}")], className="gate-line"),
        html.Div(
            html.Div(style={"width": share}),
            className="meter",
            role="img",
            **aria(label=f"gate {share}"),
        ),
        html.Div(f"Personal signals count {share} of their weight here.", className="quiet small"),
    ]


def _tastes(history: UserHistory) -> list[Any]:
    """Brands, categories and prices by how much they count: the newest items most."""
    profile = history.profile
    items = [profile.index.columns.item(row) for row in profile.rows.tolist()]
    if not items:
        return []
    brands = _shares(profile.worth, [[item.brand] for item in items])
    leaves = _shares(profile.worth, [_leaves(item) for item in items])
    rows = [_taste(name, shares) for name, shares in (("brands", brands), ("categories", leaves))]
    if profile.price is not None:
        rows.append(html.Tr([html.Td("price"), html.Td(f"about {math.exp(profile.price):.2f}")]))
    return [
        html.H3("Tastes"),
        html.Table(html.Tbody([row for row in rows if row]), className="plain tastes"),
    ]


def _leaves(item: Item) -> list[str]:
    return [path.split(">")[-1].strip() for path in split_paths(item.category)]


def _shares(worth: Values, names: Sequence[list[str]]) -> list[tuple[str, float]]:
    shares: dict[str, float] = {}
    for amount, each in zip(worth.tolist(), names, strict=True):
        for name in filter(None, each):
            shares[name] = shares.get(name, 0.0) + amount
    return sorted(shares.items(), key=lambda pair: -pair[1])[:_TASTES]


def _taste(name: str, shares: list[tuple[str, float]]) -> Any:
    if not shares:
        return None
    chips = [
        html.Span([value, html.Span(f" {share:.0%}", className="quiet")], className="chip")
        for value, share in shares
    ]
    return html.Tr([html.Td(name), html.Td(chips)])


def _nearest(
    page: Page, history: UserHistory, moment: Moment, state: ServedState
) -> tuple[Any, ...]:
    """Of the whole catalogue but what the history has, by the space that /recommend looks in."""
    space = page.applications.recommend.lists.of(state).space
    try:
        vector = space.user_vector(history, moment.now, state.query_vectors)
    except Unavailable as unavailable:
        return (left_out([("nearest items", unavailable.reason)]),)
    if vector is None:
        return (nothing(["The index holds none of these items."]),)
    others = np.ones(len(state.index), bool)
    others[history.rows] = False
    scores, rows = space.nearest(vector[None], _NEAREST, others)
    there = rows[0] >= 0
    ids = state.index.ids.ids(rows[0][there])
    lines = [
        ItemLine(item, figure=f"{score:.2f}")
        for item, score in zip(ids, scores[0][there].tolist(), strict=True)
    ]
    title, by = _NEAREST_BY[space.has_encoder]
    below = html.P(by, className="quiet small")
    return html.H3(title), item_list(page, lines, what_if="nearest"), below
