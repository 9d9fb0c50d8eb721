"""system_tab.py: what is served and what it does -> versions, training, events, latency."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, no_update

from reranker.ranking.state import ServedState
from service.formats.format_routes import SEARCHES
from service.live.reload import blend_label
from service.observability.figures import Figures, figures, percentile
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.widgets import BLUE, LIGHT, styled

_NOTHING_LOST: Final = (
    "Every answer had all signals of its blend. One that could not say all it might have is "
    "counted here, with the reason."
)
NO_MODEL: Final = "no_model"  # as `degraded` says it in answers
_EVERY: Final = 5_000
_RATES: Final = ((1, BLUE, "events", "solid"), (2, LIGHT, "searches", "dot"))
_CARDS: Final = ("versions", "latency", "events", "training", "degraded")
_KEPT: Final = 360  # samples in the browser: half an hour
_PAGE: Final = ("/_", "/assets")  # the page's own traffic is no search


# Time, events and searches, as they were counted then.
_Samples = Annotated[list[tuple[float, float, float]], msgspec.Meta(max_length=_KEPT)]


class _Epoch(msgspec.Struct):
    epoch: int
    loss: float
    ndcg_at_10: float = msgspec.field(name="ndcg@10")


def system_tab(page: Page) -> Any:
    """Cards; those with figures are filled every few seconds while the tab is looked at."""
    return html.Div(
        [
            *(html.Section(id=f"system-{name}", className="card") for name in _CARDS),
            dcc.Interval(id="system-clock", interval=_EVERY, disabled=True),
            dcc.Store(id="system-samples", data=[]),
        ],
        className="cards system",
    )


def system_callbacks(app: Dash, page: Page) -> None:
    """One callback a look."""

    @app.callback(
        Output("system-versions", "children"),
        Output("system-latency", "children"),
        Output("system-events", "children"),
        Output("system-training", "children"),
        Output("system-degraded", "children"),
        Output("system-samples", "data"),
        Input("tabs", "value"),
        Input("system-clock", "n_intervals"),
        State("system-samples", "data"),
    )
    def look(tab: Name | None, _ticks: Any, samples: _Samples | None) -> tuple[Any, ...]:
        if tab != "system":
            return (no_update,) * 6
        sums = figures(page.metrics)
        now = (time.time(), sums.events.get("accepted", 0.0), _searches(sums))
        samples = [*(samples or []), now][-_KEPT:]
        return (
            _versions(page),
            _latency(sums),
            _events(sums, samples),
            _training(page.workspace.home / "model" / "work" / "training.jsonl"),
            _degraded(sums),
            samples,
        )


def _searches(sums: Figures) -> float:
    """In every format."""
    return sum(count for (route, _), count in sums.requests.items() if route in SEARCHES)


def _card(title: str, *children: Any) -> list[Any]:
    return [html.H2(title), *children]


def _facts(rows: list[tuple[str, str]]) -> Any:
    return html.Table(
        html.Tbody(
            [
                html.Tr([html.Td(name, className="quiet"), html.Td(value, className="num")])
                for name, value in rows
            ]
        ),
        className="plain",
    )


def _versions(page: Page) -> list[Any]:
    state = page.state
    rows = [
        ("blend", blend_label(state)),
        ("index", state.index.version),
        ("items", f"{len(state.index):,}"),
        ("dimensions", f"{state.index.dimensions}"),
        *(
            (f"{name} vectors", f"{vectors.covered:,} items, {vectors.dimensions} numbers")
            for name, vectors in state.index.modalities.items()
        ),
        ("model", state.versions["model"] or "none"),
    ]
    return _card("Served now", _facts(rows), *_without_model(state))


def _without_model(state: ServedState) -> Iterator[Any]:
    """What it costs that no model is served, why, and the command that mends it."""
    if state.model is not None:
        return
    why = state.personal.reason
    if why == NO_MODEL:
        first = "No model is trained yet, so personal signals stay silent. "
    else:
        first = (
            f"The model is left out ({why.replace('_', ' ')}), so personal signals stay silent. "
        )
    yield html.P([first, html.Code("reranker train"), " makes one."], className="small teach")


def _latency(sums: Figures) -> list[Any]:
    routes = [route for route in sums.buckets if route != "/" and not route.startswith(_PAGE)]
    rows = [
        html.Tr(
            [
                html.Td(route),
                html.Td(f"{int(max(sums.buckets[route].values())):,}", className="num"),
                *(
                    html.Td(_milliseconds(percentile(sums.buckets[route], share)), className="num")
                    for share in (0.5, 0.95, 0.99)
                ),
            ]
        )
        for route in sorted(routes)
    ]
    if not rows:
        return _card(
            "Latency",
            html.P(
                [
                    "No answer yet since the service started. Each route stands here with its "
                    "first request, for example ",
                    html.Code("curl -s URL/rerank -d '{\"candidates\": []}'"),
                    ".",
                ],
                className="small teach",
            ),
        )
    head = html.Tr(
        [
            html.Th(name, className="num" if place else "")
            for place, name in enumerate(("route", "answers", "p50 ms", "p95 ms", "p99 ms"))
        ]
    )
    return _card(
        "Latency, all workers since their start",
        html.Table([html.Thead(head), html.Tbody(rows)], className="plain"),
    )


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f}"


def _events(sums: Figures, samples: _Samples) -> list[Any]:
    if len(samples) < 2:
        return _card(
            "Per minute",
            html.P("Counting; the first figures come in 5 s.", className="quiet small"),
        )
    counts = [(name, f"{int(value):,}") for name, value in sorted(sums.events.items())]
    figure = go.Figure()
    for place, color, name, dash in _RATES:
        times, rates = _rates(samples, place)
        figure.add_scatter(
            x=times,
            y=rates,
            mode="lines",
            name=name,
            line={"color": color, "width": 2, "shape": "hv", "dash": dash},
        )
    now = samples[-1][0] * 1000
    figure.update_xaxes(type="date", range=[min(samples[0][0] * 1000, now - 300_000), now])
    figure.update_yaxes(rangemode="tozero")
    styled(figure, height=190)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.15})
    return _card(
        "Per minute, since this tab was opened",
        dcc.Graph(figure=figure, config={"displayModeBar": False}),
        _facts(counts) if counts else _no_events(),
    )


def _no_events() -> Any:
    return html.P(
        [
            "No event came since the service started. A shop sends them to ",
            html.Code("POST /events"),
            "; files go in with ",
            html.Code("reranker events import FILE"),
            ".",
        ],
        className="small teach",
    )


def _rates(samples: _Samples, place: int) -> tuple[list[float], list[float]]:
    """Counter steps as a rate; a restart, which sets counters back, is no negative rate."""
    pairs = list(zip(samples, samples[1:], strict=False))
    times = [after[0] * 1000 for _, after in pairs]
    return times, [
        max(after[place] - before[place], 0.0) * 60 / max(after[0] - before[0], 0.001)
        for before, after in pairs
    ]


def _training(path: Path) -> list[Any]:
    epochs = _epochs(path)
    if not epochs:
        return _card(
            "Training",
            html.P(
                [
                    "No training is logged in this home. ",
                    html.Code("reranker train"),
                    " learns from the imported events what shoppers do next; its epochs are drawn "
                    "here.",
                ],
                className="small teach",
            ),
        )
    figure = go.Figure()
    places = [epoch.epoch for epoch in epochs]
    figure.add_scatter(
        x=places, y=[epoch.ndcg_at_10 for epoch in epochs], line={"color": BLUE}, name="NDCG@10"
    )
    figure.add_scatter(
        x=places,
        y=[epoch.loss for epoch in epochs],
        line={"color": LIGHT, "dash": "dot"},
        name="loss (right)",
        yaxis="y2",
    )
    styled(figure, height=230)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.15},
        yaxis2={"overlaying": "y", "side": "right", "showgrid": False},
        margin={"r": 40},
    )
    best = max(epochs, key=lambda epoch: epoch.ndcg_at_10)
    return _card(
        "Training, by epoch",
        dcc.Graph(figure=figure, config={"displayModeBar": False}, id="training-curve"),
        html.P(
            f"Best held-out NDCG@10: {best.ndcg_at_10:.4f} in epoch {best.epoch} of {len(epochs)}.",
            className="quiet small",
        ),
    )


def _epochs(path: Path) -> list[_Epoch]:
    """The last training of the log: from the last time that its epochs began anew."""
    decoder = msgspec.json.Decoder(_Epoch)
    epochs: list[_Epoch] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            epoch = decoder.decode(line)
        except msgspec.DecodeError:
            continue
        if epochs and epoch.epoch <= epochs[-1].epoch:
            epochs = []
        epochs.append(epoch)
    return epochs


def _degraded(sums: Figures) -> list[Any]:
    rows = sorted(sums.degraded.items(), key=lambda pair: -pair[1])
    if not rows:
        return _card("Left out", html.P(_NOTHING_LOST, className="small teach"))
    named = [
        (f"{signal}: {reason.replace('_', ' ')}", f"{int(count):,}")
        for (signal, reason), count in rows
    ]
    return _card("Left out, by signal and reason", _facts(named))
