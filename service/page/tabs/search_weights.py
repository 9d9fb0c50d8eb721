"""search_weights.py: the sliders' weights -> a comparison, or a stored blend to be published."""

from typing import Any, Final

import dash_mantine_components as dmc
import msgspec
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from indexes.errors import Failure
from service.page.parts.callback_values import Name
from service.page.parts.context import Page
from service.page.parts.request_sets import set_choices
from service.page.parts.slider_blends import stored
from service.page.parts.widgets import aria
from service.page.tabs.blend_rows import blend_choices
from service.page.tabs.compare_tab import ENGINE, start_comparison
from service.page.tabs.publishing import signed_in_name

_METRICS: Final = ["ndcg@10", "mrr", "precision@10", "recall@10"]
_SAME: Final = "same"


class Slider(msgspec.Struct, frozen=True):
    slider: Name


def weight_actions(page: Page) -> Any:
    """Under the sliders; off while every slider stands at 1."""
    return html.Div(
        [
            html.Div([_compare(page), _save()], className="row"),
            html.Div(id="weights-said", className="said", role="status"),
            html.Div(
                dmc.Button("Publish …", id="publish-saved", size="compact-xs", variant="light"),
                id="saved-actions",
                style={"display": "none"},
            ),
            dcc.Store(id="saved-blend"),
        ],
        className="weight-actions",
    )


def _compare(page: Page) -> Any:
    sets = page.sets.names()
    return _popover(
        "Compare these weights",
        "weights-compare",
        [
            dmc.Select(
                id="weights-set",
                label="On the requests",
                data=set_choices(sets),
                value=sets[0] if sets else None,
                placeholder="no set yet: upload one in Compare",
                allowDeselect=False,
                comboboxProps={"withinPortal": False},
            ),
            dmc.Select(
                id="weights-against",
                label="Against",
                data=[
                    {"value": _SAME, "label": "the blend as it is"},
                    {"value": ENGINE, "label": "the engine's order"},
                ],
                value=_SAME,
                allowDeselect=False,
                comboboxProps={"withinPortal": False},
            ),
            dmc.Button("Compare", id="weights-run", size="sm"),
        ],
    )


def _save() -> Any:
    return _popover(
        "Save as blend",
        "save-weights",
        [
            dmc.TextInput(
                id="save-name",
                label="Name",
                placeholder="small letters, digits, - and _",
                **aria(label="name of the blend"),
            ),
            dmc.Textarea(
                id="save-note",
                label="Note",
                placeholder="why; else what the sliders say",
                autosize=True,
                minRows=2,
                **aria(label="note of the blend"),
            ),
            html.P("It is stored, not published.", className="quiet small"),
            dmc.Button("Save", id="save-run", size="sm"),
        ],
    )


def _popover(label: str, name: str, inside: list[Any]) -> Any:
    button = dmc.Button(label, id=name, size="compact-xs", variant="light", disabled=True)
    return dmc.Popover(
        [
            dmc.PopoverTarget(button),
            dmc.PopoverDropdown(dmc.Stack(inside, gap="xs"), style={"width": 300}),
        ],
        id=f"{name}-open",
        position="bottom-start",
        shadow="md",
        trapFocus=True,
    )


def weight_callbacks(app: Dash, page: Page) -> None:
    """Compare, save, offer to publish."""
    app.clientside_callback(
        ClientsideFunction("weights", "moved"),
        Output("weights-compare", "disabled"),
        Output("save-weights", "disabled"),
        Output("reset", "disabled"),
        Input({"slider": ALL}, "value"),
        Input("matrix", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("weights", "set_of"),
        Output("weights-set", "value"),
        Input("set", "value"),
        State("weights-set", "value"),
    )
    _comparing(app, page)
    _saving(app, page)
    _publishing(app)


def _comparing(app: Dash, page: Page) -> None:
    @app.callback(
        Output("job", "data", allow_duplicate=True),
        Output("tabs", "value", allow_duplicate=True),
        Output("weights-said", "children", allow_duplicate=True),
        Output("weights-compare-open", "opened"),
        Input("weights-run", "n_clicks"),
        State({"slider": ALL}, "value"),
        State({"slider": ALL}, "id"),
        State("blend", "value"),
        State("weights-set", "value"),
        State("weights-against", "value"),
        prevent_initial_call=True,
    )
    def compare(
        _clicks: Any,
        values: list[float | None],
        sliders: list[Slider | None],
        base: Name | None,
        name: Name | None,
        against: Name | None,
    ) -> tuple[Any, ...]:
        try:
            before = ENGINE if against == ENGINE else base
            factors = factors_of(values, sliders)
            moved = {name: factor for name, factor in factors.items() if factor != 1.0}
            job = start_comparison(page, base, before, name, _METRICS, moved)
        except Failure as failure:
            return no_update, no_update, str(failure), False
        return job, "compare", "", False


def _saving(app: Dash, page: Page) -> None:
    @app.callback(
        Output("saved-blend", "data"),
        Output("blend", "data", allow_duplicate=True),
        Output("blend", "value", allow_duplicate=True),
        Output("weights-said", "children", allow_duplicate=True),
        Output("save-weights-open", "opened"),
        Input("save-run", "n_clicks"),
        State({"slider": ALL}, "value"),
        State({"slider": ALL}, "id"),
        State("blend", "value"),
        State("save-name", "value"),
        State("save-note", "value"),
        prevent_initial_call=True,
    )
    def save(
        _clicks: Any,
        values: list[float | None],
        sliders: list[Slider | None],
        base: Name | None,
        name: Name | None,
        note: str | None,
    ) -> tuple[Any, ...]:
        try:
            if not (name or "").strip():
                raise Failure("A blend needs a name, such as warmer.", field="name")
            factors = factors_of(values, sliders)
            label = stored(
                page.state,
                base or None,
                factors,
                name=name or "",
                note=note or "",
                who=signed_in_name(),
            )
        except Failure as failure:
            return no_update, no_update, no_update, str(failure), True
        said = f"Stored as {label}, not published. It is what you see, with every slider at 1."
        return label, blend_choices(page.state), label, said, False


def _publishing(app: Dash) -> None:
    """Once there is something: its button opens the dialog of Blends (publishing.py)."""

    @app.callback(Output("saved-actions", "style"), Input("saved-blend", "data"))
    def offer(label: Name | None) -> dict[str, str]:
        return {} if label else {"display": "none"}


def factors_of(values: list[float | None], sliders: list[Slider | None]) -> dict[str, float]:
    """Each slider's factor by the name of its signal."""
    return {
        one.slider: 1.0 if value is None else float(value)
        for one, value in zip(sliders, values, strict=False)
        if one is not None
    }
