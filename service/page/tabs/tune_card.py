"""tune_card.py: a request set -> `reranker tune` as a job, and what came of it."""

import re
from collections.abc import Iterator
from typing import Any, Final

import dash_mantine_components as dmc
import msgspec
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from indexes.errors import Failure
from reranker.blends.blend import NAME
from reranker.errors import BadRequest
from reranker.evaluation.report import verdict
from reranker.metrics.intervals import Difference
from service.live.jobs import BadJob, Job
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.job_views import ended_view, progress_view, warnings_of
from service.page.parts.metric_tables import interval, reach_of
from service.page.parts.request_sets import set_choices
from service.page.parts.widgets import BLUE, LIGHT, aria, styled
from service.page.tabs.publishing import signed_in_name

KIND: Final = "tune"
CHOSEN: Final = "chosen"  # as `reranker tune --json` calls what validation chose


def tune_card(page: Page) -> Any:
    """The form, and below it the newest tuning."""
    sets = page.sets.names()
    return html.Section(
        [
            html.H2("Tune"),
            html.P(
                "Fits blends to judged requests and proves them on others. One is stored, and "
                "nothing is published.",
                className="quiet small",
            ),
            html.Div(
                [
                    dmc.Select(
                        id="tune-set",
                        data=set_choices(sets),
                        value=sets[0] if sets else None,
                        placeholder="no request set yet",
                        size="xs",
                        className="grow",
                        **aria(label="requests to tune on"),
                    ),
                    dmc.TextInput(
                        id="tune-name",
                        value="tuned",
                        size="xs",
                        w=130,
                        **aria(label="store as"),
                    ),
                    dmc.Button("Tune", id="tune-run", size="xs"),
                ],
                className="row",
            ),
            html.Div(
                id="tune-said",
                className="said",
                role="alert",
            ),
            html.Div(id="tune-result"),
            dcc.Interval(id="tune-clock", interval=900, disabled=True),
            dcc.Store(id="tune-job"),
        ],
        className="card",
    )


def tune_callbacks(app: Dash, page: Page) -> None:
    """Start, watch, cancel, open what was stored."""
    _starting(app, page)
    _watching(app, page)
    app.clientside_callback(
        ClientsideFunction("blends", "pick"),
        Output("blend-rows", "selectedRows", allow_duplicate=True),
        Input("tuned-open", "n_clicks"),
        State("tuned-label", "data"),
        prevent_initial_call=True,
    )


def _starting(app: Dash, page: Page) -> None:
    @app.callback(
        Output("tune-job", "data"),
        Output("tune-said", "children"),
        Input("tune-run", "n_clicks"),
        State("tune-set", "value"),
        State("tune-name", "value"),
        prevent_initial_call=True,
    )
    def start(_clicks: Any, name: Name | None, save: Name | None) -> tuple[Any, Any]:
        try:
            if not name or not save:
                raise Failure("A request set and a name to store the blend under are needed.")
            check_blend_name(save)
            path = page.sets.path(name)
            command = ["tune", "--requests", str(path), "--save", save, "--json"]
            command += ["--author", who] if (who := signed_in_name()) else []
            return page.jobs.start(KIND, f"tune {save}", {"set": name}, command), ""
        except Failure as failure:
            return no_update, str(failure)

    @app.callback(
        Output("tune-said", "children", allow_duplicate=True),
        Input("cancel-tune", "n_clicks"),
        prevent_initial_call=True,
    )
    def cancel(clicks: int | None) -> Any:
        if clicks:
            running: list[Job] = [job for job in page.jobs.jobs(KIND) if job.state == "running"]
            for job in running:
                page.jobs.cancel(job.id)
            return "Cancelling."
        return no_update


def check_blend_name(name: str) -> None:
    """BadRequest unless a blend can be stored under it."""
    if not re.fullmatch(NAME, name):
        raise BadRequest(
            f"{name!r} is no name of a blend: a-z, 0-9, '-' and '_', beginning with a letter or a "
            "digit.",
            field="save",
        )


def _watching(app: Dash, page: Page) -> None:
    @app.callback(
        Output("tune-result", "children"),
        Output("tune-clock", "disabled"),
        Output("blends-changed", "data", allow_duplicate=True),
        Input("tune-job", "data"),
        Input("tune-clock", "n_intervals"),
        Input("tabs", "value"),
        prevent_initial_call="initial_duplicate",
    )
    def watch(job_id: Name | None, ticks: int | None, tab: Name | None) -> tuple[Any, Any, Any]:
        if tab != "blends":
            return no_update, True, no_update
        try:
            jobs = page.jobs.jobs(KIND)
            job = page.jobs.job(job_id, KIND) if job_id else (jobs[0] if jobs else None)
            if job is None:
                return _nothing(page.sets.names()), True, no_update
            if job.state == "running":
                return progress_view(job, "cancel-tune"), False, no_update
            view = _result_view(page, job) if job.state == "done" else ended_view(job)
            return view, True, job.id if ticks else no_update
        except Failure as failure:
            return dmc.Alert(str(failure), variant="light"), True, no_update


def _nothing(sets: list[str]) -> Any:
    """What a tuning needs, where nothing was tuned yet."""
    if sets:
        said = "Nothing was tuned yet. It takes a minute for some hundred requests."
        return html.P(said, className="small teach")
    return html.P(
        [
            "It needs requests with ratings: upload a file in Compare, or make one with ",
            html.Code("reranker requests from-events"),
            ".",
        ],
        className="small teach",
    )


def _result_view(page: Page, job: Job) -> Any:
    """What a tuning left; BadJob where that is not what a tuning leaves."""
    result = page.jobs.result(job.id)
    try:
        return tuned_view(result)
    except (KeyError, TypeError, ValueError):
        raise BadJob(f"What job {job.id} left cannot be read; run it again.") from None


def tuned_view(result: dict[str, Any]) -> Any:
    """What is stored and its gain, in the number that its note has; why; the next two steps."""
    metric, saved = result["metric"], result.get("saved")
    gain = msgspec.convert(result["difference"][metric], Difference)
    name = saved or f"a blend of {result['chosen']}"
    advice = "Recommended" if result["recommended"] else "Not recommended"
    return html.Div(
        [
            html.P(
                [
                    html.B(f"{advice}: {name}"),
                    f" ({result['chosen']}), {_gain(result, gain)} on "
                    f"{result['held_out']:,} queries held out.",
                ],
                className="verdict",
                id="tuned-verdict",
            ),
            html.P(_why(result, gain), className="quiet small"),
            _next_steps(result, saved) if saved else None,
            *warnings_of(result),
            *(_clicks(result) if result.get("clicks") else [_kinds_table(result, metric)]),
            html.P(
                "chosen: each held-out request ranked by the kind that validation picked without "
                "it. That is what the choice is worth, and what the stored note says; a kind's own "
                "row is what it would have been worth if it had been picked every time.",
                className="quiet small",
            ),
            *_pareto(result),
        ]
    )


def _why(result: dict[str, Any], gain: Difference) -> str:
    """Recommended, or why not, in the words of the verdict."""
    against = result.get("proof") or result["against_published"][result["metric"]]
    published = verdict(
        "what validation chooses",
        f"{result['published']} (published then)",
        msgspec.convert(against, Difference),
    )
    more = "" if result["recommended"] else " Only what is shown to be better is recommended."
    if result.get("clicks"):
        return f"{_sentence(published)}{more}"
    return f"{_sentence(published)} {_sentence(verdict('it', result['compared_with'], gain))}{more}"


def _gain(result: dict[str, Any], gain: Difference) -> str:
    """What is gained in one number: of clicks by estimate, against what was published."""
    if result.get("clicks"):
        mean = result["clicks"]["difference"]["value"]
        return f"clicks {mean:+.4f} a search (estimate) against {result['published']}"
    return f"{result['metric']} {gain.mean:+.4f} against {result['compared_with']}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _next_steps(result: dict[str, Any], saved: str) -> Any:
    """Hold it against what is served, then publish it."""
    compare = f"?tab=compare&after={saved}&before={result['published']}"
    return html.Div(
        [
            html.A(f"Compare with {result['published']}", href=compare, className="step"),
            html.Button(f"Look at {saved} and publish", id="tuned-open", className="step"),
            dcc.Store(id="tuned-label", data=saved),
        ],
        className="steps",
    )


def _kinds_table(result: dict[str, Any], metric: str) -> Any:
    """What validation chose, then each kind: the metric, the gain, its interval."""
    by_kind = {name: metrics[metric] for name, metrics in result.get("differences", {}).items()}
    rows = {CHOSEN: result["difference"][metric]} | by_kind
    reach = reach_of(rows.values())
    head = ["", metric, f"against {result['compared_with']}", "95 % interval"]
    heads = [html.Th(name, className="num" if 0 < at < 3 else "") for at, name in enumerate(head)]
    body = [
        html.Tr(
            [
                html.Td(html.B(name) if name == CHOSEN else name),
                html.Td(f"{result['metrics'].get(name, {}).get(metric, 0):.4f}", className="num"),
                html.Td(f"{difference['mean']:+.4f}", className="num"),
                html.Td(interval(difference, reach)),
            ]
        )
        for name, difference in rows.items()
    ]
    return html.Table([html.Thead(html.Tr(heads)), html.Tbody(body)], className="plain")


def _clicks(result: dict[str, Any]) -> Iterator[Any]:
    """Of requests with clicks: what each order would have had, by estimate."""
    clicks = result["clicks"]
    rows = [
        html.Tr(
            [
                html.Td(name),
                html.Td(f"{order['clicks']['value']:.4f}", className="num"),
                html.Td(f"{order['clicks']['low']:.4f} .. {order['clicks']['high']:.4f}"),
            ]
        )
        for name, order in clicks["orders"].items()
    ]
    yield html.P("Estimated clicks per search, of requests held out.", className="quiet small")
    yield html.Table(html.Tbody(rows), className="plain")
    yield html.P(clicks["note"], className="quiet small")


def _pareto(result: dict[str, Any]) -> Iterator[Any]:
    """What is gained against how much lists change: each point is a strength of the blend."""
    points = sorted(result.get("pareto") or [], key=lambda point: point["changed"])
    if not points:
        return
    figure = go.Figure()
    for front, color in ((False, LIGHT), (True, BLUE)):
        shown = [point for point in points if point["front"] == front]
        figure.add_scatter(
            x=[point["changed"] for point in shown],
            y=[point["value"] for point in shown],
            mode="lines+markers" if front else "markers",
            marker={"color": color},
            line={"color": color},
            hovertemplate="%{x:.0%} replaced: %{y:.4f}<extra></extra>",
        )
    figure.update_xaxes(title="share of the engine's first 10 that is replaced", tickformat=".0%")
    figure.update_yaxes(title=result["metric"])
    yield dcc.Graph(
        figure=styled(figure, height=220),
        config={"displayModeBar": False},
        className="less-first",
    )
