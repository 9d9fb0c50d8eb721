"""churn.py: a published churn model and one customer's events -> who leaves, and why, in words."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats
from reranker.applications.churn.churn_examples import (
    NAMES,
    PURCHASE,
    ChurnEvents,
    Inputs,
    churn_events,
    inputs_at,
)
from reranker.applications.churn.churn_models import BgNbd, ChurnModel, probabilities
from reranker.events.events import HistoryEvent

CHURN: Final = "churn.json"
REASONS: Final = 3
MAX_DAYS: Final = 730.0
NOT_ACTIVE, NO_MODEL, NO_HISTORY = "not_active", "no_churn_model", "no_history"


class ChurnCard(msgspec.Struct, frozen=True, kw_only=True):
    """The churn model of one model version, as it is kept: plain numbers and LightGBM's text.

    name: the model that foresees `days`; of any other horizon bg_nbd does. newest: time of the
    newest event learned from. user_events: newest events that are read of a customer.
    log_loss: of each model on the moments on which the shipped one was chosen.
    """

    format: int = 1
    name: str
    model: ChurnModel
    bg_nbd: BgNbd
    days: float
    active_days: float
    user_events: int
    newest: float
    examples: int
    base_rate: float
    log_loss: dict[str, float]

    def model_of(self, days: float) -> tuple[str, ChurnModel]:
        """Name and model for this horizon."""
        if days == self.days:
            return self.name, self.model
        return "bg-nbd", msgspec.structs.replace(self.bg_nbd, days=days)


class Reason(msgspec.Struct, frozen=True):
    """effect: what the input adds to the log-odds of leaving, exactly; above 0 it raises the risk.

    value: the input's main number, in the unit that the text names; null where it is not known.
    """

    input: str
    value: float | None
    effect: float
    text: str


class ChurnDegraded(msgspec.Struct, frozen=True):
    """Why there is no probability."""

    signal: str
    reason: str
    message: str


class ChurnAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """probability: of no purchase within `days` after as_of; null where degraded says why.

    value_at_risk: probability x what the customer spends in as many days, by their prices.
    """

    user: str
    probability: float | None
    days: float
    as_of: str | None
    reasons: list[Reason]
    value_at_risk: float | None
    model: str | None
    degraded: list[ChurnDegraded]


def load_churn(folder: Path) -> ChurnCard | None:
    """Of a model version's folder, which never changes; None where it was trained without."""
    path = folder / CHURN
    return _decoded(path) if path.is_file() else None


@lru_cache(maxsize=2)
def _decoded(path: Path) -> ChurnCard:
    return msgspec.json.decode(path.read_bytes(), type=ChurnCard)


def churn_answers(
    card: ChurnCard, events: ChurnEvents, now: float, days: float
) -> list[ChurnAnswer]:
    """Of each active customer, in one pass; `now` is the moment before which events are read."""
    inputs = inputs_at(events, now, card.active_days)
    if not len(inputs.customers):
        return []
    name, model = card.model_of(days)
    chances = probabilities(model, inputs.columns)
    at_risk = chances * inputs.values * days / 30.0
    reasons = _reasons(model, inputs)
    as_of = iso(now)
    return [
        ChurnAnswer(
            user=events.customers[customer],
            probability=float(chances[row]),
            days=days,
            as_of=as_of,
            reasons=reasons[row],
            value_at_risk=float(at_risk[row]),
            model=name,
            degraded=[],
        )
        for row, customer in enumerate(inputs.customers.tolist())
    ]


def churn_of(
    user: str, card: ChurnCard, events: Sequence[HistoryEvent], now: float, days: float
) -> ChurnAnswer:
    """Of one customer, by their stored events."""
    columns = churn_events((user, event) for event in events)
    answers = churn_answers(card, columns, now, days)
    if answers:
        return answers[0]
    if not (columns.kinds[columns.times < now] == PURCHASE).any():
        return unknown(user, days, NO_HISTORY, "No purchase of this user is kept.", now)
    message = (
        f"The last purchase is more than {card.active_days:g} days ago: who has left is not "
        "somebody who may leave."
    )
    return unknown(user, days, NOT_ACTIVE, message, now)


def unknown(
    user: str, days: float, reason: str, message: str, now: float | None = None
) -> ChurnAnswer:
    """The answer without a probability."""
    return ChurnAnswer(
        user=user,
        probability=None,
        days=days,
        as_of=None if now is None else iso(now),
        reasons=[],
        value_at_risk=None,
        model=None,
        degraded=[ChurnDegraded("churn", reason, message)],
    )


def after(newest: float) -> float:
    """The moment right after an event, which then counts as past."""
    return math.nextafter(newest, math.inf)


def iso(seconds: float) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _reasons(model: ChurnModel, inputs: Inputs) -> list[list[Reason]]:
    """Of each customer the three groups of inputs that move the log-odds most."""
    shares = model.shares(inputs.columns)
    groups = list(shares)
    effects = np.column_stack([shares[group] for group in groups])
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :REASONS]
    return [
        [_reason(groups[at], float(effects[row, at]), inputs.columns[row]) for at in places]
        for row, places in enumerate(order.tolist())
    ]


def _reason(group: str, effect: float, columns: Floats) -> Reason:
    own = dict(zip(NAMES, columns.tolist(), strict=False))
    main, words = _WORDS[group]
    value = own[main] if main else None
    if group == "rhythm" and not math.isfinite(own["mean_gap"]):
        value, words = None, "has bought on one day alone"
    direction = "raises" if effect > 0 else "lowers"
    text = _MANY_OF_ONE.sub(r"1\1", words.format(**own))
    return Reason(group, value, effect, f"{text[0].upper()}{text[1:]}: {direction} the risk.")


_MANY_OF_ONE: Final = re.compile(r"\b1((?: different)? (?:day|order|item|line|view))s\b")
_WORDS: Final = {  # of each group its main input, and what is said of it
    "recency": ("recency", "the last purchase was {recency:.0f} days ago"),
    "tenure": ("tenure", "the first purchase was {tenure:.0f} days ago"),
    "rhythm": (
        "overdue",
        "buys every {mean_gap:.0f} days, and the last purchase was {overdue:.1f} times as long ago",
    ),
    "frequency": (
        "purchase_days",
        "bought on {purchase_days:.0f} days in all, {orders_90:.0f} orders in the last 90 days",
    ),
    "spend": ("monetary", "an order is worth {monetary:.2f}, the last one was {last_value:.2f}"),
    "variety": ("items", "bought {items:.0f} different items"),
    "cancellations": ("cancels", "cancelled {cancels:.0f} lines"),
    "visits": ("seen", "was last seen {seen:.0f} days ago, {views_30:.0f} views in 30 days"),
}
