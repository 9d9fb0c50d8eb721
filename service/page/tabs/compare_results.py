"""compare_results.py: the JSON and the single queries of an evaluation -> what a person reads."""

from collections.abc import Iterator
from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
import msgspec
from dash import dcc, html

from reranker.evaluation.report import verdict
from reranker.metrics.intervals import Difference
from service.live.jobs import BadJob, Job, Jobs
from service.page.parts.job_views import warnings_of
from service.page.parts.metric_tables import metrics_table, segments_table
from service.page.parts.widgets import LIST, aria, delta_chart

_EQUAL: Final = 1e-12
_MOST_ROWS: Final = 50_000
_WRAPPED: Final = {"wrapText": True, "autoHeight": True, "cellClass": "wrapped"}
RIGHT: Final = {"cellClass": "num", "headerClass": "right"}


class _Query(msgspec.Struct):
    id: str
    query: str
    user: str | None
    metrics: dict[str, dict[str, float]]
    left_out: bool = False


def result_view(jobs: Jobs, job: Job) -> Any:
    """The verdict first, then coverage, the metrics, who wins, kinds of request, single queries."""
    result = jobs.result(job.id)
    try:
        metric = next(iter(result["difference"]))
        after, before = next(iter(result["blends"])), result["compared_with"]
        rows = list(query_rows(jobs, job, metric, after, before))
    except (OSError, msgspec.DecodeError, KeyError, StopIteration, TypeError):
        raise BadJob(f"What job {job.id} left cannot be read; run it again.") from None
    return [
        _verdict(result, job, metric, after, before),
        html.Div(
            [metrics_table(result, after, before), _wins(result, rows, metric)], className="two"
        ),
        *segments_table(result, metric, after, before),
        _queries(rows, metric),
        _basis(result),
    ]


def query_rows(
    jobs: Jobs, job: Job, metric: str, after: str, before: str
) -> Iterator[dict[str, Any]]:
    """One row a query, most hurt first."""
    decoder = msgspec.json.Decoder(_Query)
    rows: list[dict[str, Any]] = []
    with jobs.per_query(job.id).open("rb") as file:
        for line in file:
            query = decoder.decode(line)
            if query.left_out or len(rows) >= _MOST_ROWS:
                continue
            was, now = query.metrics[before][metric], query.metrics[after][metric]
            rows.append(
                {
                    "id": query.id,
                    "query": query.query,
                    "user": query.user or "",
                    "before": was,
                    "after": now,
                    "delta": now - was,
                }
            )
    yield from sorted(rows, key=lambda row: row["delta"])


def _verdict(result: dict[str, Any], job: Job, metric: str, after: str, before: str) -> Any:
    difference = msgspec.convert(result["difference"][metric], Difference)
    coverage = result["coverage"]
    return html.Section(
        [
            html.Div(job.title, className="quiet small"),
            html.P([html.B(metric), ": ", verdict(after, before, difference)], className="verdict"),
            html.Div(
                f"{result['queries']:,} queries, {result['left_out']:,} left out (no rating above "
                f"0) · {coverage['judged_share']:.1%} of the candidates are judged · "
                f"{result['seconds']:.1f} s",
                className="quiet small",
            ),
            *warnings_of(result),
        ],
        className="card",
    )


def _wins(result: dict[str, Any], rows: list[dict[str, Any]], metric: str) -> Any:
    counted = (result.get("comparison") or {}).get(metric)
    wins = counted["wins"] if counted else sum(row["delta"] > _EQUAL for row in rows)
    losses = counted["losses"] if counted else sum(row["delta"] < -_EQUAL for row in rows)
    ties = counted["ties"] if counted else len(rows) - wins - losses
    total = (wins + ties + losses) or 1
    parts = [("better", wins, "won"), ("equal", ties, "tied"), ("worse", losses, "lost")]
    return html.Section(
        [
            html.H2(f"Query by query, {metric}"),
            html.Div(
                [
                    html.Span(className=style, style={"width": f"{100 * count / total:.2f}%"})
                    for _, count, style in parts
                ],
                className="wins",
                role="img",
                **aria(label=f"{wins} better, {ties} equal, {losses} worse"),
            ),
            html.Div(
                [
                    html.Span([html.B(f"{count:,}"), f" {word}"], className=f"key {style}")
                    for word, count, style in parts
                ],
                className="keys",
                id="wins",
            ),
            dcc.Graph(
                figure=delta_chart(rows),
                config={"displayModeBar": False},
                className="chart less-first",
                style={"height": 190},
            ),
        ],
        className="card",
    )


def _queries(rows: list[dict[str, Any]], metric: str) -> Any:
    columns: list[dict[str, Any]] = [
        {"field": "query", "headerName": "query", "flex": 3, "minWidth": 150, **_WRAPPED},
        {"field": "id", "headerName": "request", "width": 84, "tooltipField": "id"},
        {"field": "user", "headerName": "shopper", "width": 88, "tooltipField": "user"},
        *(
            {
                "field": name,
                "headerName": name,
                "width": 72,
                **RIGHT,
                "valueFormatter": {"function": "threeDigits(params.value)"},
            }
            for name in ("before", "after")
        ),
        {"field": "delta", "headerName": "difference", "width": 170, "cellRenderer": "DeltaCell"},
    ]
    return html.Section(
        [
            html.Div(
                [
                    html.H2(f"Every query, {metric}"),
                    html.Span(
                        "most hurt first; a click opens it in Search", className="quiet small"
                    ),
                    dmc.TextInput(
                        id="per-query-filter",
                        placeholder="filter",
                        size="xs",
                        debounce=150,
                        w=200,
                        **aria(label="filter queries"),
                    ),
                ],
                className="head",
            ),
            dag.AgGrid(
                id="per-query",
                columnDefs=[column | {"resizable": False} for column in columns],
                rowData=rows,
                className="grid per-query",
                dashGridOptions=LIST | {"rowHeight": 32, "animateRows": False},
            ),
        ],
        className="card",
    )


def _basis(result: dict[str, Any]) -> Any:
    """What the result follows from: equal hashes, equal figures."""
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items() if value)
    blends = ", ".join(f"{name} v{number}" for name, number in result["blends"].items())
    hashes = result.get("hashes") or {}
    lines: list[Any] = [html.Div(f"{blends} · {versions}")]
    if hashes:
        text = msgspec.json.format(msgspec.json.encode(hashes), indent=2).decode()
        lines.append(
            html.Details([html.Summary("what it follows from"), html.Pre(text, className="hashes")])
        )
    lost = [
        f"{part['signal']} ({part['reason'].replace('_', ' ')}): {part['requests']:,} requests"
        for part in result.get("degraded") or []
    ]
    if lost:
        lines.append(html.Div("left out: " + "; ".join(lost)))
    return html.Footer(lines, className="quiet small basis")
