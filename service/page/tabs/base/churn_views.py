"""churn_views.py: the base's churn figures -> distribution, calibration, segments."""

from typing import Any, Final

import plotly.graph_objects as go
from dash import dcc, html

from reranker.applications.customer_base import THIRDS, Calibrated, ChurnBase, Segment
from service.page.parts.widgets import BLUE, LIGHT, styled
from service.page.tabs.shoppers.reasons import marked, nothing

_HEIGHT: Final = 230
_LEAST, _MOST = 7.0, 17.0  # pixels across of a point of few examples, and of many


def churn_cards(churn: ChurnBase) -> list[Any]:
    """Three cards; one that says why where nothing is known."""
    if churn.missing:
        return [_card("Leaving", nothing(marked(churn.missing)))]
    return [
        _card(f"Chance to buy nothing within {churn.days:g} days", *_distribution(churn)),
        _card("Does the chance come true?", *_calibration(churn.calibrated, churn)),
        html.Section(
            [html.H2("Segments by value and risk"), *_segments(churn)], className="card whole-row"
        ),
    ]


def _card(title: str, *children: Any) -> Any:
    return html.Section([html.H2(title), *children], className="card")


def _distribution(churn: ChurnBase) -> list[Any]:
    figure = go.Figure()
    figure.add_bar(
        x=[(each.low + each.high) / 2 for each in churn.distribution],
        y=[each.customers for each in churn.distribution],
        width=[each.high - each.low for each in churn.distribution],
        marker={"color": BLUE, "line": {"width": 0}},
        customdata=[f"{each.low:.0%} to {each.high:.0%}" for each in churn.distribution],
        hovertemplate="%{customdata}: %{y:,} customers<extra></extra>",
    )
    styled(figure, height=_HEIGHT, bargap=0.08)
    figure.update_xaxes(range=[0, 1], tickformat=".0%", title="chance of leaving")
    figure.update_yaxes(title="customers")
    words = (
        f"{churn.customers:,} active customers; on average {churn.mean:.1%} leave, and "
        f"{churn.at_risk:,.0f} of what they spend is at risk. By {churn.model}, as of "
        f"{churn.as_of[:10]}."
    )
    return [_graph(figure), html.P(words, className="quiet small")]


def _calibration(calibrated: Calibrated, churn: ChurnBase) -> list[Any]:
    if calibrated.missing:
        return [nothing(marked(calibrated.missing))]
    bins = calibrated.bins
    largest = max(each.examples for each in bins)
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": LIGHT, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=[each.foreseen for each in bins],
        y=[each.observed for each in bins],
        mode="lines+markers",
        line={"color": BLUE, "width": 1.5},
        marker={
            "color": BLUE,
            "size": [_LEAST + (_MOST - _LEAST) * (each.examples / largest) ** 0.5 for each in bins],
        },
        customdata=[each.examples for each in bins],
        hovertemplate="foreseen %{x:.0%}, came %{y:.0%}, %{customdata:,} examples<extra></extra>",
    )
    styled(figure, height=_HEIGHT)
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%", title="foreseen")
    figure.update_yaxes(range=[0, 1.04], tickformat=".0%", title="came")
    words = (
        f"{calibrated.examples:,} examples at {calibrated.moments} past moments, foreseen by "
        f"{churn.model}, fitted anew on what had ended by then; {calibrated.base_rate:.1%} left. "
        f"Expected calibration error {calibrated.ece:.3f}; on the dotted line what is foreseen "
        "comes true."
    )
    return [_graph(figure), html.P(words, className="quiet small")]


def _graph(figure: go.Figure) -> Any:
    return dcc.Graph(figure=figure, config={"displayModeBar": False}, style={"height": _HEIGHT})


def _segments(churn: ChurnBase) -> list[Any]:
    """A row a third by value, a column a band of risk; the fuller the shade, the more at risk."""
    rows = {
        name: [segment for segment in churn.segments if segment.value == name] for name in THIRDS
    }
    bands = rows[THIRDS[0]]
    largest = max((segment.at_risk for segment in churn.segments), default=0.0) or 1.0
    heads = [
        "spends in 30 days",
        *(f"{segment.low:.0%} to {segment.high:.0%}" for segment in bands),
        "all",
    ]
    body = [
        html.Tr(
            [
                html.Th(_third(name, churn.thirds), scope="row"),
                *(_cell(segment, largest) for segment in rows[name]),
                _sum(rows[name]),
            ]
        )
        for name in reversed(THIRDS)
    ]
    columns = [[row[place] for row in rows.values()] for place in range(len(bands))]
    body.append(html.Tr([html.Th("all", scope="row"), *map(_sum, columns), _sum(churn.segments)]))
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th(name, scope="col") for name in heads])),
            html.Tbody(body),
        ],
        className="plain segments",
    )
    who: list[Any] = [
        "Customers, and below what is at risk: the chance times what they spend in as many days. "
        "Who they are: ",
        html.Code("reranker churn --all --out churn.csv"),
        ". Whom a letter would keep is another question: docs/churn.md.",
    ]
    return [table, html.P(who, className="quiet small")]


def _third(name: str, ends: list[float]) -> list[Any]:
    low, high = ends
    words = {"low": f"up to {low:,.2f}", "middle": f"to {high:,.2f}", "high": f"above {high:,.2f}"}
    return [html.B(name), html.Span(f" {words[name]}", className="quiet")]


def _cell(segment: Segment, largest: float) -> Any:
    return html.Td(_counts([segment]), style={"--share": f"{segment.at_risk / largest:.3f}"})


def _sum(parts: list[Segment]) -> Any:
    return html.Td(_counts(parts), className="sum")


def _counts(parts: list[Segment]) -> list[Any]:
    customers = sum(segment.customers for segment in parts)
    at_risk = sum(segment.at_risk for segment in parts)
    return [html.B(f"{customers:,}"), html.Div(f"{at_risk:,.0f} at risk", className="small")]
