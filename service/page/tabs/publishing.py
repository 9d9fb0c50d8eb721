"""publishing.py: a chosen version -> what publishing it would change, asked once, then done."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import dash_mantine_components as dmc
import msgspec
from dash import Dash, Input, Output, State, ctx, html, no_update
from flask import request

from indexes.errors import Failure
from reranker.blends.blend import Blend
from reranker.blends.importance import UNITS, Importance, importances
from reranker.blends.log import changes
from reranker.blends.store import StoredBlend
from reranker.signals.registry import in_order
from service.access.sign_in import CALLER
from service.page.parts.callback_values import Name, Rows, labels
from service.page.parts.context import Page
from service.page.tabs.blend_rows import Blends
from service.page.tabs.blend_view import counted, signal_name

_SHOWN: Final = 8  # other changes than those of weights
_OWN_ROWS: Final = ("signals.", "note:")  # what the dialog shows elsewhere


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked. expect: the id of what was published then. of_sliders: asked in Search."""

    action: Literal["publish", "rollback"]
    label: Name
    expect: Name
    of_sliders: bool = False


def signed_in_name() -> str:
    """The name of the key that opened the page; empty where there are no keys."""
    return request.environ.get(CALLER) or ""


def publish_dialog() -> Any:
    """Closed until a button opens it. Who does it is asked only where no key tells it."""
    name = signed_in_name()
    return dmc.Modal(
        [
            html.Div(id="publish-what"),
            dmc.TextInput(
                id="who",
                label="Your name, for the log",
                placeholder="may be left empty",
                size="sm",
                mt="sm",
                style={"display": "none"} if name else {},
            ),
            html.P(f"Logged as {name}.", className="quiet small") if name else None,
            dmc.Group(
                [
                    dmc.Button("Cancel", id="publish-no", variant="default"),
                    dmc.Button("Publish", id="publish-yes"),
                ],
                justify="flex-end",
                mt="md",
            ),
        ],
        id="publish-ask",
        opened=False,
        size="xl",
        centered=True,
    )


def publishing_callbacks(app: Dash, page: Page, blends: Blends) -> None:
    """Which buttons do something, the question, the answer."""
    _buttons(app, blends)
    _asking(app, blends)
    _answering(app, page, blends)


def _buttons(app: Dash, blends: Blends) -> None:
    @app.callback(
        Output("publish", "disabled"),
        Output("rollback", "disabled"),
        Output("export", "disabled"),
        Input("blend-rows", "selectedRows"),
        Input("published-id", "data"),
    )
    def enable(chosen: Rows, served: Name | None) -> tuple[bool, bool, bool]:
        label = next(iter(labels(chosen)), None)
        rows = {row.label: row for row in blends.rows()}
        row = rows.get(label or "")
        return row is None or row.id == served, blends.previous() is None, row is None


def _asking(app: Dash, blends: Blends) -> None:
    @app.callback(
        Output("publish-ask", "opened"),
        Output("publish-ask", "title"),
        Output("publish-what", "children"),
        Output("publish-yes", "children"),
        Output("publish-plan", "data"),
        Output("blends-said", "children", allow_duplicate=True),
        Output("weights-said", "children", allow_duplicate=True),
        Input("publish", "n_clicks"),
        Input("rollback", "n_clicks"),
        Input("publish-saved", "n_clicks"),
        State("blend-rows", "selectedRows"),
        State("saved-blend", "data"),
        prevent_initial_call=True,
    )
    def ask(
        publish: int | None,
        rollback: int | None,
        of_sliders: int | None,
        chosen: Rows,
        saved: Name | None,
    ) -> tuple[Any, ...]:
        if not (publish or rollback or of_sliders):
            return (no_update,) * 7
        back = ctx.triggered_id == "rollback"
        rows = blends.rows()
        served = next((row for row in rows if row.published), None)
        from_search = ctx.triggered_id == "publish-saved"
        label = saved if from_search else next(iter(labels(chosen)), None)
        target = blends.previous() if back else next((r for r in rows if r.label == label), None)
        if target is None or target == served:
            words = "There is nothing to publish: choose another version."
            return (*(no_update,) * 5, *_notice(words, from_search))
        try:
            what = what_changes(blends, served, target)
        except Failure as failure:
            return (*(no_update,) * 5, *_notice(str(failure), from_search))
        verb = "Roll back to" if back else "Publish"
        action: Literal["publish", "rollback"] = "rollback" if back else "publish"
        plan = Plan(action, target.label, served.id if served else "", from_search)
        plain = msgspec.to_builtins(plan)
        asked = f"{verb} {target.label}"
        return True, f"{asked}?", what, asked, plain, *_notice("", from_search)


def _answering(app: Dash, page: Page, blends: Blends) -> None:
    @app.callback(
        Output("publish-ask", "opened", allow_duplicate=True),
        Output("blends-said", "children", allow_duplicate=True),
        Output("weights-said", "children", allow_duplicate=True),
        Output("blends-changed", "data", allow_duplicate=True),
        Output("saved-blend", "data", allow_duplicate=True),
        Input("publish-yes", "n_clicks"),
        Input("publish-no", "n_clicks"),
        State("publish-plan", "data"),
        State("who", "value"),
        prevent_initial_call=True,
    )
    def answer(
        yes: int | None, no: int | None, plan: Plan | None, typed: Name | None
    ) -> tuple[Any, ...]:
        if ctx.triggered_id != "publish-yes" or not yes or plan is None:
            return (False if no else no_update, *(no_update,) * 4)
        who = signed_in_name() or typed or ""
        try:
            if plan.action == "rollback":
                notice = blends.rollback(who, plan.expect)
            else:
                notice = blends.publish(plan.label, who, plan.expect)
        except Failure as failure:
            return False, *_notice(str(failure), plan.of_sliders), no_update, no_update
        page.served.refresh()
        remaining = None if plan.of_sliders else no_update
        return False, *_notice(notice, plan.of_sliders), notice, remaining


def _notice(words: str, in_search: bool) -> tuple[Any, Any]:
    """Where it was asked: what stands in Blends, and under the sliders of Search."""
    return (no_update, words) if in_search else (words, no_update)


def what_changes(blends: Blends, served: StoredBlend | None, target: StoredBlend) -> list[Any]:
    """What every search would see: weights before and after, the rest, what was measured."""
    after = blends.blend(target.label)
    before = blends.blend(served.label) if served else None
    return [
        html.P(
            [
                html.B(served.label if served else "Nothing"),
                " is served now. Every search is ranked with ",
                html.B(target.label),
                " within a second of your answer.",
            ]
        ),
        _measured(served, target),
        _weights_table(before, after, served.label if served else "", target.label),
        *_others(before, after),
    ]


def _measured(served: StoredBlend | None, target: StoredBlend) -> Any:
    href = f"?tab=compare&after={target.label}&before={served.label if served else 'engine'}"
    compare = html.A("Compare the two first", href=href)
    if target.recommended is None:
        words: list[Any] = ["No measurement is stored with it. ", compare, "."]
    elif target.recommended:
        words = [html.B("Recommended"), f": {target.note}."]
    else:
        words = [
            html.B("Not recommended"),
            f", since the interval of its gain includes zero: {target.note}. ",
            compare,
            ".",
        ]
    return dmc.Alert(words, variant="light", id="publish-measured")


def _weights_table(before: Blend | None, after: Blend, old: str, new: str) -> Any:
    was = {part.signal: part for part in importances(before)} if before else {}
    now = {part.signal: part for part in importances(after)}
    comparable = before is not None and before.kind == after.kind
    names = in_order(dict.fromkeys([*was, *now]))
    head = ["", f"{old}, {UNITS[before.kind]}" if before else "", f"{new}, {UNITS[after.kind]}"]
    head += ["change"] if comparable else []
    rows = [
        html.Tr(
            [
                html.Td(signal_name(name)),
                _number(counted(before, was[name]) if before and name in was else "–"),
                _number(counted(after, now[name]) if name in now else "–"),
                *([_number(_change(was.get(name), now.get(name)))] if comparable else ()),
            ],
            className="moved" if _moved(was.get(name), now.get(name)) else "",
        )
        for name in names
    ]
    heads = [html.Th(name, className="num" if place else "") for place, name in enumerate(head)]
    table = [html.Thead(html.Tr(heads)), html.Tbody(rows)]
    return html.Table(table, className="plain", id="publish-weights")


def _number(text: str) -> Any:
    return html.Td(text, className="num")


def _value(part: Importance | None) -> float:
    return part.value if part else 0.0


def _moved(was: Importance | None, now: Importance | None) -> bool:
    return _value(was) != _value(now)


def _change(was: Importance | None, now: Importance | None) -> str:
    return f"{_value(now) - _value(was):+.3g}" if _moved(was, now) else "="


def _others(before: Blend | None, after: Blend) -> Iterator[Any]:
    """What changes besides weights and the note."""
    lines = changes(before, after) if before else []
    if before is not None and before.kind != after.kind:
        yield html.P(
            "The two are of different kinds: their numbers are not on one scale.",
            className="quiet small",
        )
    others = [line for line in lines if not line.startswith(_OWN_ROWS)]
    if others:
        more = len(others) - _SHOWN
        shown = [html.Li(html.Code(line)) for line in others[:_SHOWN]]
        shown += [html.Li(f"and {more} more; see what differs below the buttons")] * (more > 0)
        yield html.Ul(shown, className="diff")
