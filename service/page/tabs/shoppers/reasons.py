"""reasons.py: why a part of an answer is missing -> a sentence that says what would mend it."""

from collections.abc import Iterable
from typing import Any, Final

import dash_mantine_components as dmc
from dash import html

from indexes.errors import Failure

_MADE_BY: Final[dict[str, tuple[str, str]]] = {  # what is said, and the command that mends it
    "no_model": ("No model is served yet.", "reranker train"),
    "model_outdated": ("The model does not fit this release any more.", "reranker train"),
    "model_mismatch": ("The model does not fit this index.", "reranker train"),
    "no_encoder": (
        "This model has no sequence encoder: with it the blend was not shown to be better.",
        "reranker train",
    ),
    "no_baskets": (
        "The model has read too few baskets.",
        "reranker train",
    ),
    "too_few_visits": ("The model has read too few visits.", "reranker train"),
}
_PLAIN: Final[dict[str, str]] = {
    "no_history": "Nothing is known of this shopper.",
    "unknown_history": "The index holds none of the items of this history.",
    "not_asked": "Nothing personal was asked for.",
    "history_slow": "The histories did not answer in time: this is without them.",
    "history_unavailable": "The histories cannot be read: this is without them.",
    "deadline": "It was not done in time.",
    "overloaded": "The service is overloaded: it was not begun.",
    "internal_error": "It failed; the service's log has the reason.",
    "encoder_failed": "The text encoder failed; the service's log has the reason.",
    "breaker_open": "It failed several times, and is not asked for a moment.",
    "not_in_index": "Some of these items are not in the index.",
    "no_unordered_carts": (
        "The model has seen no cart that was left, so that it cannot tell an order from one."
    ),
    "nothing_passes": "No item passes the filters.",
}


def left_out(parts: Iterable[tuple[str, str]]) -> Any:
    """Of (signal, reason) pairs, each reason once with what it costs; None without any."""
    signals: dict[str, list[str]] = {}
    for signal, reason in parts:
        signals.setdefault(reason, []).append(signal.replace("_", " "))
    if not signals:
        return None
    lines = [
        html.Li([html.B(", ".join(dict.fromkeys(names))), ": ", *sentence(reason)])
        for reason, names in signals.items()
    ]
    return html.Div([html.Span("Left out", className="quiet"), html.Ul(lines)], className="lacking")


def sentence(reason: str) -> list[Any]:
    """A reason in words, with the command that mends it."""
    if reason in _MADE_BY:
        words, command = _MADE_BY[reason]
        return [words, " ", html.Code(command), " makes one."]
    return [_PLAIN.get(reason, f"{reason.replace('_', ' ')}.")]


def marked(text: str) -> list[Any]:
    """A message with what stands in backticks as code."""
    parts = text.split("`")
    return [html.Code(part) if place % 2 else part for place, part in enumerate(parts)]


def nothing(words: list[Any]) -> Any:
    """In place of what is missing: never an empty box."""
    return html.P(words, className="small teach")


def failed(failure: Failure) -> Any:
    """What went wrong, in the card that it is missing from."""
    return dmc.Alert(str(failure), color="tide", variant="light", title="That did not work")
