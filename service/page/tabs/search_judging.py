"""search_judging.py: grades given by hand -> the home's file; the next query that got worse."""

from typing import Annotated, Any

import dash_mantine_components as dmc
import msgspec
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, no_update

from indexes.errors import Failure
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.worse_queries import MOST, next_worse
from service.page.tabs.search_weights import Slider, factors_of


class _Graded(msgspec.Struct, frozen=True):
    """One grade; None takes it back."""

    query: Annotated[str, msgspec.Meta(max_length=10_000)]
    item: Name
    grade: int | None = None


def judging_callbacks(app: Dash, page: Page) -> None:
    """Grades, their export, and the walk through a judged set."""
    app.clientside_callback(
        ClientsideFunction("grades", "judge"),
        Output("judge-file", "base64"),  # nothing: assets/grades.js writes where it has to
        Input("judge", "n_clicks"),
        Input("judge-end", "n_clicks"),
        prevent_initial_call=True,
    )
    _grading(app, page)
    _walking(app, page)


def _grading(app: Dash, page: Page) -> None:
    @app.callback(
        Output("grade-said", "children"),
        Output("notice", "children", allow_duplicate=True),
        Input("graded", "data"),
        prevent_initial_call=True,
    )
    def grade(graded: _Graded | None) -> tuple[Any, Any]:
        if graded is None:
            return no_update, no_update
        try:
            page.judgments.put(graded.query, graded.item, graded.grade)
        except Failure as failure:
            return str(failure), dmc.Alert(str(failure), title="The grade is not kept")
        return f"Kept in {page.judgments.path.relative_to(page.workspace.home)}.", no_update

    @app.callback(
        Output("judge-file", "data"),
        Input("judge-export", "n_clicks"),
        prevent_initial_call=True,
    )
    def export(_clicks: Any) -> Any:
        return {"content": page.judgments.export(), "filename": "judgments.csv"}


def _walking(app: Dash, page: Page) -> None:
    @app.callback(
        Output("request", "value", allow_duplicate=True),
        Output("worse-said", "children"),
        Input("next-worse", "n_clicks"),
        State("set", "value"),
        State("request", "value"),
        State("blend", "value"),
        State({"slider": ALL}, "value"),
        State({"slider": ALL}, "id"),
        prevent_initial_call=True,
    )
    def walk(
        _clicks: Any,
        name: Name | None,
        after: Name | None,
        blend: Name | None,
        values: list[float | None],
        sliders: list[Slider | None],
    ) -> tuple[Any, Any]:
        if not name:
            return no_update, "Choose a request set first."
        try:
            step = next_worse(page, name, after, blend or None, factors_of(values, sliders))
        except Failure as failure:
            return no_update, str(failure)
        if step.key is None:
            stopped = "press again to go on" if step.looked == MOST else "that is all of them"
            return no_update, f"None of {step.looked} judged queries got worse; {stopped}."
        return step.key, f"passed over {step.looked - 1}" if step.looked > 1 else ""
