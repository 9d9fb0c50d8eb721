"""metric_tables.py: an evaluation's JSON -> tables of metrics and of segments, intervals drawn."""

from collections.abc import Iterable, Iterator
from typing import Any

from dash import html

from service.page.parts.widgets import aria


def metrics_table(result: dict[str, Any], after: str, before: str) -> Any:
    """Every metric with its difference, Holm's p and the effect; below, over judged items only."""
    more = result.get("comparison") or {}
    differences = result["difference"]
    head = ["metric", before, after, "difference", "95 % interval", "p", "effect"]
    rows = _metric_rows(result["metrics"], differences, more, after, before)
    return html.Section(
        [
            html.Div(
                [html.H2("Metrics"), html.Span("0 is no difference", className="quiet small")],
                className="head",
            ),
            html.Table(
                [
                    html.Thead(
                        html.Tr(
                            [
                                html.Th(name, className="num" if place and place != 4 else "")
                                for place, name in enumerate(head)
                            ]
                        )
                    ),
                    html.Tbody(rows),
                    *_judged_only(result, after, before, len(head)),
                ],
                className="plain metrics",
                id="metrics-table",
            ),
        ],
        className="card",
    )


def _metric_rows(
    metrics: dict[str, Any],
    differences: dict[str, Any],
    more: dict[str, Any],
    after: str,
    before: str,
) -> list[Any]:
    reach = reach_of(differences.values())
    return [
        html.Tr(
            [
                html.Td(name),
                html.Td(f"{metrics[before][name]:.4f}", className="num"),
                html.Td(f"{metrics[after][name]:.4f}", className="num strong"),
                html.Td(f"{difference['mean']:+.4f}", className="num"),
                html.Td(interval(difference, reach)),
                html.Td(_p(more.get(name, {}).get("p_holm", difference["p"])), className="num"),
                html.Td(_number(more[name]["effect"]) if name in more else "", className="num"),
            ]
        )
        for name, difference in differences.items()
    ]


def _judged_only(result: dict[str, Any], after: str, before: str, width: int) -> Iterator[Any]:
    """The same rows without unjudged items, unless there are none among the first ten."""
    share = result.get("judged_share") or {}
    differences = (result.get("judged_only_difference") or {}).get(after)
    if differences is None or min(share[before], share[after]) == 1:
        return
    said = (
        f"Of the first ten, {share[before]:.0%} are judged in {before}'s order and "
        f"{share[after]:.0%} in {after}'s. Above, an item without a rating counts as a bad one; "
        "here it is left out of both orders."
    )
    rows = _metric_rows(result["judged_only"], differences, {}, after, before)
    heading = html.Td(
        [html.B("Judged items only"), html.Div(said, className="quiet small")], colSpan=width
    )
    yield html.Tbody([html.Tr(heading, className="part-head"), *rows], id="judged-only")


def reach_of(differences: Iterable[dict[str, Any]]) -> float:
    """How far the farthest end of these intervals is from 0: half the width that is drawn."""
    ends = (difference[end] for difference in differences for end in ("low", "high"))
    return max((abs(end) for end in ends if end is not None), default=0.0)


def interval(difference: dict[str, Any], reach: float) -> Any:
    """An interval as a bar on a line with zero in the middle; its ends as text for readers."""
    if difference["low"] is None or not reach:
        return html.Span("too few queries", className="quiet small")
    low, high, mean = (50 + 48 * difference[end] / reach for end in ("low", "high", "mean"))
    words = f"{difference['low']:+.3f} to {difference['high']:+.3f}"
    sure = difference["low"] * difference["high"] > 0
    return html.Div(
        [
            html.Div(
                [
                    html.Span(
                        className="range sure" if sure else "range",
                        style={"left": f"{low:.1f}%", "width": f"{high - low:.1f}%"},
                    ),
                    html.Span(className="mean", style={"left": f"{mean:.1f}%"}),
                ],
                className="track",
                role="img",
                **aria(label=words),
            ),
            html.Span(words, className="quiet small num"),
        ],
        className="interval",
    )


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def segments_table(result: dict[str, Any], metric: str, after: str, before: str) -> Iterator[Any]:
    segments = result.get("segments") or []
    if not segments:
        return
    reach = reach_of(segment["difference"][metric] for segment in segments)
    rows = [
        html.Tr(
            [
                html.Td(
                    [
                        segment["segment"],
                        html.Span(" · the worst", className="quiet")
                        if segment.get("worst")
                        else "",
                        html.Span(f" · wholly below {before}", className="quiet")
                        if segment.get("below")
                        else "",
                    ]
                ),
                html.Td(f"{segment['queries']:,}", className="num"),
                html.Td(f"{segment['metrics'][before][metric]:.4f}", className="num"),
                html.Td(f"{segment['metrics'][after][metric]:.4f}", className="num strong"),
                html.Td(f"{segment['difference'][metric]['mean']:+.4f}", className="num"),
                html.Td(interval(segment["difference"][metric], reach)),
            ],
            className="worst" if segment.get("worst") else "",
        )
        for segment in segments
    ]
    head = ["kind of request", "queries", before, after, "difference", "95 % interval"]
    yield html.Section(
        [
            html.H2(f"Kinds of request, {metric}"),
            html.Table(
                [
                    html.Thead(
                        html.Tr(
                            [
                                html.Th(name, className="num" if 0 < place < 5 else "")
                                for place, name in enumerate(head)
                            ]
                        )
                    ),
                    html.Tbody(rows),
                ],
                className="plain",
                id="segments-table",
            ),
        ],
        className="card",
    )
