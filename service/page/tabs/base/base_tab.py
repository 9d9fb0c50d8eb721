"""base_tab.py: the kept figures of all customers -> the Base tab; a job works them out."""

from datetime import UTC, datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update

from indexes.errors import Failure
from reranker.applications.customer_base import (
    ChurnBase,
    CoverageBase,
    CustomerBase,
    churn_basis,
    coverage_basis,
    stored_figures,
)
from service.live.jobs import Job
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.job_views import ended_view, progress_view
from service.page.tabs.base.churn_views import churn_cards
from service.page.tabs.base.coverage_view import coverage_cards
from service.page.tabs.search_shoppers import no_events

KIND: Final = "customers"
_POLL: Final = 900
_TITLE: Final = "figures of the customer base"


def base_tab() -> Any:
    """Filled when it is looked at."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div(
                        [
                            html.H2("The whole customer base"),
                            dmc.Button("Work out", id="base-run", size="xs", disabled=True),
                        ],
                        className="head",
                    ),
                    html.Div(id="base-said", className="small", role="status"),
                ],
                className="card",
            ),
            html.Div(id="base-job-view"),
            html.Div(id="base-cards", className="base-cards"),
            dcc.Interval(id="base-clock", interval=_POLL, disabled=True),
            dcc.Store(id="base-job"),
            dcc.Store(id="base-shown"),
        ],
        className="base",
    )


def base_callbacks(app: Dash, page: Page) -> None:
    """Look, start, stop."""
    _looking(app, page)
    _starting(app, page)


def _looking(app: Dash, page: Page) -> None:
    @app.callback(
        Output("base-said", "children"),
        Output("base-run", "children"),
        Output("base-run", "disabled"),
        Output("base-job-view", "children"),
        Output("base-cards", "children"),
        Output("base-shown", "data"),
        Output("base-clock", "disabled"),
        Input("tabs", "value"),
        Input("base-job", "data"),
        Input("base-clock", "n_intervals"),
        State("base-shown", "data"),
    )
    def look(
        tab: Name | None, started: Name | None, _ticks: Any, shown: list[float] | None
    ) -> tuple[Any, ...]:
        if tab != "base":
            return (*(no_update,) * 6, True)
        try:
            job = newest_job(page)
            newest = page.applications.churn.newest()
        except Failure as failure:
            alert = dmc.Alert(str(failure), variant="light")
            return "", no_update, True, alert, no_update, no_update, True
        running = job is not None and job.state == "running"
        figures = stored_figures(page.workspace.home)
        fresh = is_fresh(page, figures, newest)
        parts = [part for part in (figures.churn, figures.coverage) if part is not None]
        now = [part.computed for part in parts]
        return (
            _status(figures, newest, fresh, running),
            _label(figures),
            fresh or running or newest is None,
            _job(job, started),
            _cards(page, figures) if now != shown else no_update,
            now,
            not running,
        )


def _starting(app: Dash, page: Page) -> None:
    @app.callback(
        Output("base-job", "data"),
        Output("base-said", "children", allow_duplicate=True),
        Input("base-run", "n_clicks"),
        prevent_initial_call=True,
    )
    def start(_clicks: Any) -> tuple[Any, Any]:
        try:
            return start_figures(page), no_update
        except Failure as failure:
            return no_update, str(failure)

    @app.callback(
        Output("base-said", "children", allow_duplicate=True),
        Input("base-cancel", "n_clicks"),
        State("base-job", "data"),
        prevent_initial_call=True,
    )
    def cancel(clicks: int | None, _job_id: Any) -> Any:
        job = newest_job(page)
        if not clicks or job is None:
            return no_update
        try:
            page.jobs.cancel(job.id)
        except Failure as failure:
            return str(failure)
        return "Cancelling; parts that are done are kept."


def newest_job(page: Page) -> Job | None:
    """The newest job of this kind, running or not."""
    return next(iter(page.jobs.jobs(KIND)), None)


def start_figures(page: Page) -> str:
    """The id of the job that works out what is not kept of today's versions and events.

    The one under way where there is one. Failure without any event, and where nothing has changed
    since.
    """
    job = newest_job(page)
    if job is not None and job.state == "running":
        return job.id
    newest = page.applications.churn.newest()
    if newest is None:
        raise Failure("There is no event yet, so there is no customer.")
    if is_fresh(page, stored_figures(page.workspace.home), newest):
        raise Failure("Nothing was published or stored since; the figures stand as they are.")
    return page.jobs.start(KIND, _TITLE, {}, ["customers", "--json"])


def is_fresh(page: Page, figures: CustomerBase, newest: float | None) -> bool:
    """Whether both parts are of what is served and stored now."""
    churn, reach, state = figures.churn, figures.coverage, page.state
    return (
        churn is not None
        and reach is not None
        and churn.basis == churn_basis(state, newest)
        and reach.basis == coverage_basis(state, newest)
    )


def _status(figures: CustomerBase, newest: float | None, fresh: bool, running: bool) -> Any:
    """When each part was worked out, and whether it is of what is served now."""
    if newest is None:
        return no_events()
    parts = [
        f"{name} worked out {_when(part)} in {part.seconds:.0f} s"
        for name, part in (("Churn", figures.churn), ("Coverage", figures.coverage))
        if part is not None
    ]
    if not parts:
        return html.Span(
            "Nothing is worked out yet. It goes on beside the service, at low priority; some "
            "minutes for 20,000 shoppers.",
            className="quiet",
        )
    if fresh:
        parts.append("of what is served and stored now")
    elif figures.coverage is None:
        parts.append("coverage is to come")
    elif not running:
        parts.append("something was published or stored since")
    return html.Span(" · ".join(parts), className="quiet")


def _when(part: ChurnBase | CoverageBase) -> str:
    return f"{datetime.fromtimestamp(part.computed, UTC):%d %b %Y %H:%M} UTC"


def _label(figures: CustomerBase) -> str:
    if figures.churn is None:
        return "Work out"
    return "Work out the rest" if figures.coverage is None else "Work out again"


def _job(job: Job | None, started: str | None) -> Any:
    """How far it is; or, of one that was started from here, why it gave nothing."""
    if job is not None and job.state == "running":
        return progress_view(job, "base-cancel")
    if job is not None and job.state != "done" and job.id == started:
        return ended_view(job)
    return None


def _cards(page: Page, figures: CustomerBase) -> list[Any]:
    if figures == CustomerBase():
        return [html.Section([html.H2("What stands here then"), _teach()], className="card blank")]
    cards = [] if figures.churn is None else churn_cards(figures.churn)
    if figures.coverage is not None:
        cards += coverage_cards(page, figures.coverage)
    return cards


def _teach() -> Any:
    return html.P(
        "How likely customers are to buy nothing soon, whether that came true in the past, what is "
        "at risk with whom, and which share of the catalogue recommendations reach. Figures of "
        "groups are kept, no row of a customer.",
        className="teach",
    )
