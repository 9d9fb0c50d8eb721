"""chances_view.py: a shopper -> who leaves and why, and what is done next."""

from typing import Any, Final

from dash import html
from msgspec.json import encode

from reranker.applications.churn.churn import ChurnAnswer, Reason
from service.page.parts.context import Page
from service.page.parts.widgets import aria
from service.page.tabs.shoppers.moments import Moment
from service.page.tabs.shoppers.offers_view import PATIENCE_MS
from service.page.tabs.shoppers.reasons import left_out, marked, nothing, sentence

_MODELS: Final = {"sequence": "the sequence model", "logistic": "logistic regression on counts"}
_ACTIONS: Final = {"purchase": "buys", "cart": "fills the cart", "leave": "leaves"}
_OWN_WORDS: Final = frozenset(["not_active", "no_churn_model", "no_history"])


def churn_view(page: Page, moment: Moment) -> Any:
    """What GET /users/<id>/churn answers, of the edited history where it was edited."""
    history = moment.events if moment.edited or not moment.user else None
    answer = page.applications.churn.answer(
        moment.user, as_of=moment.now, history=history, budget_ms=PATIENCE_MS
    )
    if answer.probability is None:
        return html.Div([_unknown(part.reason, part.message) for part in answer.degraded])
    return html.Div([_chance(answer), _reasons(answer.reasons), _basis(answer)])


def _unknown(reason: str, message: str) -> Any:
    return nothing(marked(message) if reason in _OWN_WORDS else sentence(reason))


def _chance(answer: ChurnAnswer) -> Any:
    assert answer.probability is not None
    share = f"{answer.probability:.0%}"
    words = f"buys nothing within {answer.days:g} days"
    return html.Div(
        [
            html.Div(
                [html.B(share, className="figure"), html.Span(words)], className="figure-line"
            ),
            html.Div(
                html.Div(style={"width": share}),
                className="meter",
                role="img",
                **aria(label=f"{words}: {share}"),
            ),
        ]
    )


def _reasons(reasons: list[Reason]) -> Any:
    """In words; the bar is what each adds to the log-odds of leaving."""
    largest = max((abs(reason.effect) for reason in reasons), default=0.0) or 1.0
    rows = []
    for reason in reasons:
        side, name = ("right", "away") if reason.effect < 0 else ("left", "toward")
        width = f"{abs(reason.effect) / largest * 50:.1f}%"
        bar = html.Span(className=name, style={"width": width, side: "50%"})
        rows.append(
            html.Tr(
                [
                    html.Td(reason.text),
                    html.Td(f"{reason.effect:+.2f}", className="num"),
                    html.Td(bar, className="diverging"),
                ]
            )
        )
    return html.Table(html.Tbody(rows), className="plain churn-reasons")


def _basis(answer: ChurnAnswer) -> Any:
    at_risk = answer.value_at_risk
    value = "" if not at_risk else f"{at_risk:,.2f} is at risk in these days. "
    return html.P(
        f"{value}By {answer.model}. Right of the line: towards leaving.", className="quiet small"
    )


def next_action_view(page: Page, moment: Moment) -> Any:
    """What POST /next-action answers."""
    body = moment.shopper() | {"time": moment.now}
    answer = page.applications.next_action.answer(encode(body), PATIENCE_MS)
    lost = [(part["signal"], part["reason"]) for part in answer.degraded]
    if not answer.actions:
        return html.Div([nothing(sentence(reason)) for _, reason in lost])
    rows = [
        html.Tr(
            [
                html.Td(_ACTIONS.get(action, action)),
                html.Td(f"{chance:.0%}", className="num strong"),
                html.Td(
                    html.Span(className="toward", style={"width": f"{chance:.1%}"}),
                    className="bar",
                ),
            ]
        )
        for action, chance in sorted(answer.actions.items(), key=lambda pair: -pair[1])
    ]
    words = [part["message"] for part in answer.degraded if "message" in part]
    return html.Div(
        [
            html.Table(html.Tbody(rows), className="plain"),
            html.P(f"By {_MODELS.get(answer.model or '', answer.model)}.", className="quiet small"),
            nothing([" ".join(words)]) if words else left_out(lost),
        ]
    )
