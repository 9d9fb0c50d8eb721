"""guard_rails.py: the order of the scores -> the order that is shown, and every move in between.

Rules that hold whatever a blend thinks. Those of a later line are stronger: max_move and
exact_stays, bought_last, unavailable_last, buried, pinned. What they move is listed beside the
arithmetic of the scores, never mixed into it.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.items.words import words
from indexes.storage.arrays import Mask
from reranker.signals.columns import Missing
from reranker.signals.context import RankingContext

Order = npt.NDArray[np.int64]  # candidates, best first
Item = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Placed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Items that go first, or last, in this order; for some queries only, or for all."""

    items: Annotated[list[Item], msgspec.Meta(min_length=1)]
    queries: list[str] = []


class Guards(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """max_move: most places that an item may leave the engine's order by. exact_stays: the item
    whose title or id is the query never moves down."""

    pinned: list[Placed] = []
    buried: list[Placed] = []
    max_move: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    exact_stays: bool = False
    unavailable_last: bool = False
    bought_last: bool = False


class Move(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """One rule changed an item's rank, counted from 1."""

    guard: str
    from_: int
    to: int


Moves = dict[int, list[Move]]  # by candidate


def guarded(guards: Guards, context: RankingContext, order: Order) -> tuple[Order, Moves]:
    """The order after every rule, and what each rule moved."""
    moves: Moves = {}
    for name, rule in _RULES.items():
        after = rule(guards, context, order)
        if after is not None:
            note_moves(moves, name, order, after)
            order = after
    return order, moves


def note_moves(moves: Moves, guard: str, before: Order, after: Order) -> None:
    """Add a move for each candidate whose place changed."""
    old, new = np.argsort(before), np.argsort(after)
    for candidate in np.flatnonzero(old != new).tolist():
        move = Move(guard, int(old[candidate]) + 1, int(new[candidate]) + 1)
        moves.setdefault(candidate, []).append(move)


def within_limits(order: Order, earliest: Order, latest: Order) -> Order:
    """The order nearest to this one in which each candidate stands within its places.

    Place by place the best candidate is taken that may stand there, unless so many must come by
    some later place that one of them is due now. The engine's order has to fit the limits.
    """
    n = len(order)
    left = np.ones(n, dtype=bool)
    result = np.empty(n, dtype=np.int64)
    for place in range(n):
        due = np.bincount(latest[left], minlength=n).cumsum()[place:]  # have to come by each place
        tight = np.flatnonzero(due == np.arange(1, n - place + 1))
        limit = place + int(tight[0]) if len(tight) else n
        free = order[left[order] & (earliest[order] <= place) & (latest[order] <= limit)]
        result[place] = free[0]
        left[free[0]] = False
    return result


def _limits(guards: Guards, context: RankingContext, order: Order) -> Order | None:
    if guards.max_move is None and not guards.exact_stays:
        return None
    exact = np.zeros(len(order))
    if guards.exact_stays and context.query_words:
        exact = context.named_exactly
    if guards.max_move is None and not exact.any():  # as nearly always
        return None
    n = len(order)
    places = np.arange(n)
    away = n if guards.max_move is None else guards.max_move
    latest = np.minimum(places + away, n - 1)
    if exact.any():
        latest = np.where(exact > 0, places, latest)
    if (np.argsort(order) <= latest).all() and guards.max_move is None:
        return order
    return within_limits(order, np.maximum(places - away, 0), latest)


def _bought_last(guards: Guards, context: RankingContext, order: Order) -> Order | None:
    if not guards.bought_last or isinstance(history := context.history, Missing):
        return None
    bought: dict[str | None, bool] = {}
    for event in history.events:  # oldest first: a purchase may be cancelled later
        if event.type in ("purchase", "cancel"):
            bought[event.item] = event.type == "purchase"
    return _last(order, np.array([bought.get(item, False) for item in context.ids], dtype=bool))


def _unavailable_last(guards: Guards, context: RankingContext, order: Order) -> Order | None:
    if not guards.unavailable_last:
        return None
    gone = np.zeros(len(order), dtype=bool)
    gone[context.indexed] = context.index.columns.available[context.rows[context.indexed]] == 0
    return _last(order, gone)


def _buried(guards: Guards, context: RankingContext, order: Order) -> Order | None:
    placed = _placed(guards.buried, context)
    return np.concatenate([_others(order, placed), placed]) if len(placed) else None


def _pinned(guards: Guards, context: RankingContext, order: Order) -> Order | None:
    placed = _placed(guards.pinned, context)
    return np.concatenate([placed, _others(order, placed)]) if len(placed) else None


def _placed(rules: list[Placed], context: RankingContext) -> Order:
    """Candidates that these rules name for this query, in the order of the rules."""
    if not rules:
        return np.zeros(0, np.int64)
    places = {item: place for place, item in enumerate(context.ids)}
    named = dict.fromkeys(
        places[item]
        for rule in rules
        if not rule.queries or context.query_words in [words(query) for query in rule.queries]
        for item in rule.items
        if item in places
    )
    return np.array(list(named), np.int64)


def _others(order: Order, placed: Order) -> Order:
    return order[~np.isin(order, placed)]


def _last(order: Order, doomed: Mask) -> Order:
    """The same order with these candidates (n,) behind all others."""
    return order[np.argsort(doomed[order], kind="stable")]


_RULES: dict[str, Callable[[Guards, RankingContext, Order], Order | None]] = {
    "limits": _limits,
    "bought_last": _bought_last,
    "unavailable_last": _unavailable_last,
    "buried": _buried,
    "pinned": _pinned,
}
