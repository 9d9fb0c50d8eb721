"""blend_view.py: a blend -> its weights, its curves, its rules, drawn."""

from collections.abc import Iterator
from typing import Any

import msgspec
import plotly.graph_objects as go
from dash import dcc, html
from plotly.subplots import make_subplots

from reranker.blends.blend import Blend
from service.page.parts.widgets import BLUE, styled

_RULES = ("segments", "guards", "diversity", "gate")
_ACROSS = 3


def blend_view(blend: Blend) -> list[Any]:
    """One card a part; parts that a blend does not have are left out."""
    return [card for card in (_weights(blend), *_curves(blend), *_rules(blend)) if card]


def _weights(blend: Blend) -> Any:
    largest = max((abs(part.weight) for part in blend.signals.values()), default=0.0) or 1.0
    rows = [
        html.Tr(
            [
                html.Td([html.Span(className=f"swatch sg-{name}"), name], className="signal-name"),
                html.Td(part.normalise, className="quiet"),
                html.Td(f"{part.weight:g}", className="num strong"),
                html.Td(
                    html.Span(
                        className="away" if part.weight < 0 else "toward",
                        style={"width": f"{abs(part.weight) / largest * 100:.1f}%"},
                    ),
                    className="bar",
                ),
            ]
        )
        for name, part in blend.signals.items()
    ]
    return html.Section(
        [
            html.H2(f"Weights, {blend.kind}"),
            html.P(blend.note, className="quiet small") if blend.note else None,
            html.Table(html.Tbody(rows), className="plain"),
        ],
        className="card",
    )


def curves_of(blend: Blend) -> dict[str, Any]:
    """signal, input -> a table {"x", "y"}; empty for a blend of another kind."""
    plain: dict[str, Any] = msgspec.to_builtins(blend).get("curves") or {}
    return {
        f"{signal} · {column}" if column != "scaled" else signal: table
        for signal, tables in plain.items()
        for column, table in tables.items()
    }


def _curves(blend: Blend) -> Iterator[Any]:
    tables = curves_of(blend)
    if not tables:
        return
    down = -(-len(tables) // _ACROSS)
    figure = make_subplots(
        rows=down, cols=_ACROSS, subplot_titles=list(tables), vertical_spacing=0.32 / down
    )
    for place, table in enumerate(tables.values()):
        figure.add_trace(
            go.Scatter(
                x=table["x"],
                y=table["y"],
                mode="lines",
                line={"color": BLUE, "width": 2},
                hovertemplate="at %{x:.3f}: %{y:+.3f}<extra></extra>",
            ),
            row=place // _ACROSS + 1,
            col=place % _ACROSS + 1,
        )
    figure.update_annotations(font_size=11)
    yield html.Section(
        [
            html.H2("Curves: what a signal's value is worth"),
            dcc.Graph(
                figure=styled(figure, height=60 + 130 * down),
                config={"displayModeBar": False},
                id="curves",
            ),
        ],
        className="card",
    )


def _rules(blend: Blend) -> Iterator[Any]:
    plain = msgspec.to_builtins(blend)
    for name in _RULES:
        if plain.get(name):
            text = msgspec.json.format(msgspec.json.encode(plain[name]), indent=2).decode()
            yield html.Section(
                [html.H2(name.capitalize()), html.Pre(text, className="json")], className="card"
            )
