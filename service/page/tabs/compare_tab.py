"""compare_tab.py: two blends and a request set -> a job, and its result as it comes."""

from collections.abc import Mapping
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from indexes.errors import Failure
from reranker.metrics.ranking import DEFAULT_METRICS, measures
from reranker.ranking.weights import check_weights, typed_weights, weights_text
from service.live.jobs import PER_QUERY
from service.page.parts.callback_values import Name, Names
from service.page.parts.context import Page
from service.page.parts.job_views import ended_view, job_list, progress_view
from service.page.parts.request_sets import set_choices, set_label, uploaded
from service.page.tabs.blend_rows import blend_choices
from service.page.tabs.compare_results import result_view

KIND: Final = "evaluate"
ENGINE: Final = "engine"
_POLL: Final = 700
_METRICS: Final = ["ndcg@10", "mrr", "precision@10", "recall@10", "hit@10", "map"]


def compare_tab(page: Page) -> Any:
    """The form and the runs on the left, the result on the right."""
    return html.Div(
        [
            html.Aside([_form(page), _runs()], className="side"),
            html.Main(_nothing(page.sets.names()), id="result", className="stage"),
            dcc.Interval(id="compare-clock", interval=_POLL, disabled=True),
            dcc.Store(id="job"),
            dcc.Store(id="opened"),
        ],
        className="search-body",
    )


def _form(page: Page) -> Any:
    blends, sets = blend_choices(page.state), page.sets.names()
    return html.Section(
        [
            html.H2("Is it better?"),
            dmc.Select(
                id="compare-after", label="Blend", data=blends, value="", allowDeselect=False
            ),
            dmc.TextInput(
                id="compare-weights",
                label="with its signals multiplied by",
                placeholder="semantic:0.5, popular:2",
                value="",
            ),
            dmc.Select(
                id="compare-before",
                label="against",
                data=[{"value": ENGINE, "label": "the engine's order"}, *blends],
                value=ENGINE,
                allowDeselect=False,
            ),
            dmc.Select(
                id="compare-set",
                label="on the requests",
                data=set_choices(sets),
                value=sets[0] if sets else None,
                placeholder="no set yet: upload one",
                allowDeselect=False,
            ),
            dcc.Upload(
                html.Button("Upload a .jsonl or .jsonl.gz", className="drop"),
                id="upload",
                max_size=5_000_000,
            ),
            html.Div(id="upload-said", className="said", role="status"),
            dmc.MultiSelect(
                id="compare-metrics",
                label="by",
                data=_METRICS,
                value=_METRICS[:4],
                hidePickedOptions=True,
            ),
            dmc.Button("Compare", id="compare-run", fullWidth=True),
            html.Div(id="compare-said", className="said", role="alert"),
        ],
        className="card form",
    )


def _runs() -> Any:
    return html.Section(
        [html.H2("Runs"), html.Div(id="compare-jobs", className="jobs")], className="card"
    )


def _nothing(sets: list[str]) -> Any:
    """What a comparison says, and what it needs where there is no request set yet."""
    said = (
        "A comparison ranks every request with both blends and says by how much they differ, with "
        "which certainty, and on which queries the new one is worse."
    )
    needed: list[Any] = [
        "It needs requests with ratings. Upload a file of them, or make one of what shoppers did: ",
        html.Code("reranker requests from-events"),
        ", and copy it to ",
        html.Code("HOME/requests/"),
        ".",
    ]
    first = "Choose a blend, what to hold it against and a request set, and press Compare."
    return html.Section(
        [
            html.H2("Nothing compared yet"),
            html.P(said, className="quiet"),
            html.P(first if sets else needed, className="teach"),
        ],
        className="card blank",
    )


def compare_callbacks(app: Dash, page: Page) -> None:
    """Start, watch, cancel, upload."""
    _starting(app, page)
    _watching(app, page)
    _uploading(app, page)
    app.clientside_callback(
        ClientsideFunction("compare", "open"),
        Output("address", "modified_timestamp"),  # nothing: assets/compare.js sets the address
        Input("per-query", "cellClicked"),
        State("opened", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("compare", "read"),
        Output("compare-after", "value"),
        Output("compare-before", "value"),
        Output("compare-set", "value", allow_duplicate=True),
        Output("compare-weights", "value"),
        Input("url", "search"),
        prevent_initial_call="initial_duplicate",
    )
    for button, chosen in (("compare-run", "compare-set"), ("tune-run", "tune-set")):
        app.clientside_callback(
            ClientsideFunction("compare", "without"),
            Output(button, "disabled"),
            Input(chosen, "value"),
        )
    app.clientside_callback(
        ClientsideFunction("compare", "filter"),
        Output("per-query", "dashGridOptions"),
        Input("per-query-filter", "value"),
        State("per-query", "dashGridOptions"),
        prevent_initial_call=True,
    )


def _starting(app: Dash, page: Page) -> None:
    @app.callback(
        Output("job", "data", allow_duplicate=True),
        Output("compare-said", "children"),
        Input("compare-run", "n_clicks"),
        State("compare-after", "value"),
        State("compare-before", "value"),
        State("compare-set", "value"),
        State("compare-metrics", "value"),
        State("compare-weights", "value"),
        prevent_initial_call=True,
    )
    def start(
        _clicks: Any,
        after: Name | None,
        before: Name | None,
        name: Name | None,
        metrics: Names | None,
        weights: Name | None,
    ) -> tuple[Any, Any]:
        try:
            typed = typed_weights(weights or "")
            return start_comparison(page, after, before, name, metrics or [], typed), ""
        except Failure as failure:
            return no_update, str(failure)

    @app.callback(
        Output("job", "data", allow_duplicate=True),
        Input({"job": ALL, "of": KIND}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> Any:
        chosen = ctx.triggered_id
        return chosen.get("job") if any(clicks) and isinstance(chosen, dict) else no_update

    @app.callback(
        Output("compare-said", "children", allow_duplicate=True),
        Input("cancel-compare", "n_clicks"),
        State("job", "data"),
        prevent_initial_call=True,
    )
    def cancel(clicks: int | None, job_id: Name | None) -> Any:
        if not clicks or not job_id:
            return no_update
        try:
            page.jobs.cancel(job_id)
        except Failure as failure:
            return str(failure)
        return "Cancelling."


def start_comparison(
    page: Page,
    after: str | None,
    before: str | None,
    name: str | None,
    metrics: list[str],
    weights: Mapping[str, float] | None = None,
) -> str:
    """Run `reranker evaluate` as a job; its id. Failure for what cannot be compared.

    after, before: blends, None or "" for the published one; before may be "engine". weights: what
    the signals of `after` are multiplied by, so that a blend can be held against itself.
    """
    weights = weights or {}
    check_weights(weights)
    published = page.state.published.name
    after, before = after or published, before or published
    if not name:
        raise Failure("There is no request set to compare on; upload one first.", field="set")
    if after == before and not weights:
        raise Failure(f"Both sides are {after}; choose two different ones.", field="against")
    for blend in {after, before} - {ENGINE}:
        page.state.blend(blend)
    measures(metrics or DEFAULT_METRICS)
    path = page.sets.path(name)
    arguments = ["evaluate", "--requests", str(path), "--blend", after]
    arguments += ["--compare", before] if before != ENGINE else []
    arguments += [part for metric in metrics for part in ("--metric", metric)]
    arguments += ["--per-query", PER_QUERY, "--json"]
    arguments += ["--weights", weights_text(weights)] if weights else []
    asked = {"after": after, "before": before, "set": name, "weights": weights_text(weights)}
    changed = f" with {weights_text(weights).replace(',', ', ')}" if weights else ""
    title = f"{after}{changed} against {before}, {set_label(name)}"
    return page.jobs.start(KIND, title, asked, arguments)


def _watching(app: Dash, page: Page) -> None:
    @app.callback(
        Output("result", "children"),
        Output("compare-clock", "disabled"),
        Output("compare-jobs", "children"),
        Output("opened", "data"),
        Input("job", "data"),
        Input("compare-clock", "n_intervals"),
        Input("tabs", "value"),
    )
    def watch(job_id: Name | None, _ticks: Any, tab: Name | None) -> tuple[Any, ...]:
        if tab != "compare":
            return no_update, True, no_update, no_update
        jobs = page.jobs.jobs(KIND)
        if job_id is None and jobs:
            job_id = jobs[0].id
        listed = job_list(jobs, job_id, KIND)
        try:
            job = page.jobs.job(job_id, KIND) if job_id else None
            if job is None:
                return _nothing(page.sets.names()), True, listed, None
            if job.state == "running":
                return progress_view(job, "cancel-compare"), False, listed, job.asked
            view = result_view(page.jobs, job) if job.state == "done" else ended_view(job)
            return view, True, listed, job.asked
        except Failure as failure:
            return dmc.Alert(str(failure), variant="light"), True, listed, None


def _uploading(app: Dash, page: Page) -> None:
    @app.callback(
        Output("compare-set", "data"),
        Output("compare-set", "value"),
        Output("upload-said", "children"),
        Input("upload", "contents"),
        State("upload", "filename"),
        prevent_initial_call=True,
    )
    def upload(content: str | None, name: Name | None) -> tuple[Any, Any, Any]:
        if not content or not name:
            return no_update, no_update, no_update
        try:
            saved = page.sets.save(name, uploaded(content))
            return set_choices(page.sets.names()), saved, f"{saved} is kept."
        except Failure as failure:
            return no_update, no_update, str(failure)
