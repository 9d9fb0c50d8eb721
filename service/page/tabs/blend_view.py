"""blend_view.py: a blend -> its weights, its curves, its rules, drawn."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import plotly.graph_objects as go
from dash import dcc, html
from plotly.subplots import make_subplots

from reranker.blends.blend import Blend
from reranker.blends.importance import Importance, importances
from service.page.parts.widgets import BLUE, styled

_RULES = ("segments", "guards", "diversity", "gate")
_ACROSS = 3
_HEADS: Final = {"linear": "Weights", "curves": "How much each counts", "trees": "Importance"}
_MEANINGS: Final = {
    "linear": "What each signal, made comparable within the request, is multiplied by.",
    "curves": "How far a signal can move the score: highest minus lowest knot of its curves.",
    "trees": "Each signal's share of what the splits gained while the trees grew, and the inputs "
    "that they read. Search shows what it does to a single item.",
}


def blend_view(blend: Blend) -> list[Any]:
    """One card a part; parts that a blend does not have are left out."""
    return [card for card in (_weights(blend), *_curves(blend), *_rules(blend)) if card]


def _weights(blend: Blend) -> Any:
    parts = importances(blend)
    largest = max((abs(part.value) for part in parts), default=0.0) or 1.0
    rows = [
        html.Tr(
            [
                html.Td(signal_name(part.signal)),
                html.Td(_reads(blend, part), className="quiet small"),
                html.Td(counted(blend, part), className="num strong"),
                html.Td(
                    html.Span(
                        className="away" if part.value < 0 else "toward",
                        style={"width": f"{abs(part.value) / largest * 100:.1f}%"},
                    ),
                    className="bar",
                ),
            ]
        )
        for part in parts
    ]
    return html.Section(
        [
            html.H2(f"{_HEADS[blend.kind]}, {blend.kind}"),
            html.P(blend.note, className="quiet small") if blend.note else None,
            html.P(_MEANINGS[blend.kind], className="quiet small"),
            html.Table(html.Tbody(rows), className="plain", id="blend-weights"),
        ],
        className="card",
    )


def signal_name(name: str) -> Any:
    """A signal's colour and name."""
    return html.Span([html.Span(className=f"swatch sg-{name}"), name], className="signal-name")


def counted(blend: Blend, part: Importance) -> str:
    """How much a signal counts, in the unit of the blend's kind."""
    return f"{part.value:.1%}" if blend.kind == "trees" else f"{part.value:.3g}"


def _reads(blend: Blend, part: Importance) -> str:
    if blend.kind == "linear":
        return blend.signals[part.signal].normalise
    reads = ", ".join(_read(blend, name, value) for name, value in part.reads.items() if value)
    times = f" · times {part.weight:g}" if part.weight != 1 else ""
    return f"{reads or 'never read'}{times}"


def _read(blend: Blend, name: str, value: float) -> str:
    """An input, with its part of what the signal counts where that is not next to nothing."""
    if blend.kind == "trees":
        return f"{name} {value:.0%}" if value >= 0.005 else name
    return f"{name} {value:.2g}"


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
