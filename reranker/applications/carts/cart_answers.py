"""cart_answers.py: a cart and its shopper -> what completes it, what is next, is it ordered."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Ints, Rows
from reranker.applications.carts.cart_model import (
    COMPONENTS,
    CartCard,
    CartReader,
    Pool,
    best_first,
    contributions,
    load,
)
from reranker.applications.carts.carts import cart_of, past_baskets
from reranker.applications.carts.ordered import VisitState, chance_of
from reranker.events.events import HistoryEvent
from reranker.model.card import NONE
from reranker.ranking.ranking import Degraded
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.signals.columns import Missing
from reranker.signals.user_history import shopper_events

TOP_N: Final = 10
HISTORY: Final = 500  # newest events of a shopper that are read
PRICE: Final = "price"
WEIGHED: Final = (*COMPONENTS, PRICE)
BLENDS: Final = ("fitted", *COMPONENTS)  # what the training chose, or one component alone
_TIES: Final = {"popular": 1e-3}  # beside a component alone
_LONGEST: Final = 80  # characters of a title in a reason
MOST: Final = 1_000  # items of a list
_NEWEST: Final = 4 * MOST  # items that are at hand to fill a list up


class CartReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item is offered. item: the one that led to it."""

    kind: Literal["together", "carted", "bought", "popular", "new"]
    text: str
    item: str | None = None


_POPULAR: Final = CartReason("popular", "often bought")
_NEW: Final = CartReason("new", "new in the shop")
_NO_ROWS: Final[Rows] = np.zeros(0, np.int64)


class CartExplanation(msgspec.Struct, frozen=True):
    """The score is the sum of the contributions."""

    contributions: dict[str, float]


class CartResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One item. rank: from 1."""

    id: str
    rank: int
    score: float
    reason: CartReason
    explanation: CartExplanation | None = None


class Line(NamedTuple):
    """An item in the cart."""

    item: str
    quantity: float = 1.0


class CartQuestion(NamedTuple):
    """shopper: who, with what history, explained or not, as a search without candidates; its blend
    is one of BLENDS, None for the first.

    cart: None for what the history left in it.
    """

    shopper: RerankRequest
    cart: list[Line] | None = None
    top_n: int = TOP_N


class CartSuggestions(NamedTuple):
    """Both lists, the chance of the order, the cart that they are of."""

    complete: list[CartResult]
    next: list[CartResult]
    ordered: float | None
    cart: list[Line]
    degraded: list[Degraded]


class Opened:
    """The cart model of one version over the rows of one index; without one, the newest items.

    rows (m,): of the items that it counts, -1 for one that left the index. newest: rows.
    """

    def __init__(self, index: ItemIndex, loaded: tuple[CartCard, CartReader] | None) -> None:
        self.card: CartCard | None = None
        self.reader: CartReader | None = None
        self.newest = _newest(index)
        self.rows: Rows = np.zeros(0, np.int64)
        self.popular: Rows = self.rows
        self._numbers = np.full(len(index) + 1, NONE, np.int64)  # the last: of row -1, outside
        if loaded:
            self.card, self.reader = card, reader = loaded
            self.rows = index.rows(card.item_ids)
            self.popular = self.rows[reader.order]
            indexed = np.flatnonzero(self.rows >= 0)
            self._numbers[self.rows[indexed]] = indexed

    def numbers(self, rows: Rows) -> Ints:
        """Of rows, those that were bought by enough shoppers, by their number."""
        numbers = self._numbers[rows]
        return np.asarray(numbers[numbers >= 0])


def _newest(index: ItemIndex) -> Rows:
    """Rows of the newest items, newest first; equal ones, and those without a time, by row."""
    times = -np.nan_to_num(index.columns.updated, nan=-1e15)
    few = np.arange(len(times))
    if len(times) > _NEWEST:
        few = np.sort(np.argpartition(times, _NEWEST)[:_NEWEST])
    return np.asarray(few[np.argsort(times[few], kind="stable")], np.int64)


class CartModels:
    """Opens the cart model of what is served, once for each version. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: tuple[tuple[str, str], Opened] | None = None

    def of(self, state: ServedState) -> Opened:
        """That of the served model and index."""
        model = state.model
        key = str(model.folder) if model else "", state.index.version
        with self._lock:
            if self._served is None or self._served[0] != key:
                self._served = key, Opened(state.index, load(model.folder) if model else None)
            return self._served[1]


def suggestions(
    question: CartQuestion, state: ServedState, models: CartModels, now: Callable[[], float]
) -> CartSuggestions:
    """now: epoch seconds; where the request has a time, only the shopper's events before it count.

    Raises Left where nobody waits any more; what is missing is named in `degraded`.
    """
    opened = models.of(state)
    shopper = question.shopper
    events, degraded = _history(question, now, state)
    lines = question.cart
    if lines is None:
        lines = [Line(line.item, line.quantity) for line in cart_of(events)]
    degraded += _outside(lines, state.index)
    lists = _Lists(state.index, opened, shopper, lines)
    card = opened.card
    if card is None:
        return _without(lists, question.top_n, lines, degraded, _reason(state))
    past = [
        opened.numbers(state.index.rows(basket))
        for basket in past_baskets(events, card.session_minutes)
    ]
    chance = None
    if card.ordered is None:
        degraded.append(Degraded("ordered", "no_unordered_carts"))
    elif lines:
        chance = chance_of(card.ordered, _visit(events, lines, card))
    return CartSuggestions(
        lists.complete(past, question.top_n),
        lists.next(past, question.top_n),
        chance,
        lines,
        degraded,
    )


def plain_suggestions(
    question: CartQuestion, state: ServedState, models: CartModels, reason: str
) -> CartSuggestions:
    """What everyone buys, without a look at the shopper: where the rest is not done in time."""
    lines = question.cart or []
    lists = _Lists(state.index, models.of(state), question.shopper, lines)
    return _without(lists, question.top_n, lines, [], reason)


def _without(
    lists: "_Lists", top_n: int, lines: list[Line], degraded: list[Degraded], reason: str
) -> CartSuggestions:
    degraded += [Degraded(name, reason) for name in ("complete", "next", "ordered")]
    complete = lists.filled([], top_n, but=lists.in_cart)
    return CartSuggestions(complete, lists.filled([], top_n), None, lines, degraded)


def _reason(state: ServedState) -> str:
    """Why there is no cart model."""
    return state.personal.reason if state.model is None else "no_baskets"


def _outside(lines: list[Line], index: ItemIndex) -> list[Degraded]:
    unknown = int((index.rows([line.item for line in lines]) < 0).sum())
    return [Degraded("cart", "not_in_index", unknown)] if unknown else []


def _history(
    question: CartQuestion, now: Callable[[], float], state: ServedState
) -> tuple[list[HistoryEvent], list[Degraded]]:
    """The shopper's events; a cart of nobody who is known is no degradation."""
    if not question.shopper.personalize and question.cart is not None:
        return [], []
    read = shopper_events(question.shopper, now, state.personal, HISTORY)
    if not isinstance(read, Missing):
        return read, []
    if read.reason == "no_history" and question.cart is not None:
        return [], []
    return [], [Degraded("history", read.reason)]


def _visit(events: Sequence[HistoryEvent], lines: Sequence[Line], card: CartCard) -> list[float]:
    """What is known of the visit; a cart that came alone is a visit that only filled it."""
    state = VisitState(card.session_minutes)
    for event in events:
        state.add(event.type, event.item, event.time)
    if not events:
        for line in lines:
            state.add("cart", line.item, 0.0)
    return state.inputs(len(lines))


class _Lists:
    """Ranks what may be offered beside one cart."""

    def __init__(
        self, index: ItemIndex, opened: Opened, shopper: RerankRequest, lines: Sequence[Line]
    ) -> None:
        self.index, self.opened, self.shopper = index, opened, shopper
        in_cart = index.rows([line.item for line in lines])
        self.in_cart = in_cart[in_cart >= 0]
        self.cart = opened.numbers(self.in_cart)

    def complete(self, past: list[Ints], top_n: int) -> list[CartResult]:
        """Nothing that is in the cart; what only replaces it comes after everything else."""
        card, reader = self._model()
        pool = reader.pool(self.cart, past).without(self.cart)
        every = np.arange(len(reader.counts.counts))
        instead = every[reader.substitutes(self.cart, every, np.array(card.same_shelf, np.int64))]
        ranked = self._ranked("complete", pool.without(instead), past, top_n)
        return self.filled(ranked, top_n, self.in_cart, self.opened.rows[instead])

    def next(self, past: list[Ints], top_n: int) -> list[CartResult]:
        """The cart is the newest basket; what is in it may be bought again."""
        _, reader = self._model()
        baskets = [*past, self.cart] if len(self.cart) else past
        pool = reader.pool(baskets[-1] if baskets else self.cart, baskets)
        return self.filled(self._ranked("next", pool, baskets, top_n), top_n)

    def _model(self) -> tuple[CartCard, CartReader]:
        assert self.opened.card is not None and self.opened.reader is not None
        return self.opened.card, self.opened.reader

    def _ranked(self, task: str, pool: Pool, past: list[Ints], top_n: int) -> list[CartResult]:
        card, reader = self._model()
        rows = self.opened.rows[pool.numbers]
        offered = (rows >= 0) & (self.index.columns.available[rows] != 0)
        pool, rows = Pool(pool.numbers[offered], pool.columns[offered]), rows[offered]
        weights = card.weights[task]
        if self.shopper.blend not in (None, BLENDS[0]):
            weights = _TIES | {str(self.shopper.blend): 1.0}
        parts = np.column_stack([contributions(pool, weights), self._prices(rows)])
        parts *= np.array([self._factor(name) for name in WEIGHED])
        scores = parts.sum(axis=1)
        order = best_first(pool.numbers, scores, reader.counts.counts)[:top_n]
        owned = np.concatenate(past) if past else np.zeros(0, np.int64)
        ids = self.index.ids.ids(rows[order])
        return [
            CartResult(
                item,
                rank,
                float(scores[at]),
                self._reason(int(pool.numbers[at]), parts[at], owned),
                self._explanation(parts[at]),
            )
            for rank, (item, at) in enumerate(zip(ids, order.tolist(), strict=True), 1)
        ]

    def _factor(self, name: str) -> float:
        """`weights` of the request multiply; that of `price`, which has none, counts as it is."""
        return self.shopper.weights.get(name, 0.0 if name == PRICE else 1.0)

    def _prices(self, rows: Rows) -> Floats:
        """log(1 + price) minus its mean over the items; 0 where no price is known."""
        prices = self.index.columns.price[rows].astype(np.float64)
        known = np.isfinite(prices) & (prices > 0)
        logs = np.zeros(len(rows))
        logs[known] = np.log1p(prices[known])
        logs[known] -= logs[known].mean() if known.any() else 0.0
        return logs

    def _explanation(self, parts: Floats) -> CartExplanation | None:
        if not self.shopper.explain:
            return None
        named = zip(WEIGHED, parts.tolist(), strict=True)
        return CartExplanation({name: part for name, part in named if part != 0})

    def _reason(self, number: int, parts: Floats, owned: Ints) -> CartReason:
        """What speaks most for it, in words."""
        card, reader = self._model()
        of = dict(zip(WEIGHED, parts.tolist(), strict=True))
        item = card.item_ids[number]
        beside = sum(of[name] for name in ("together", "lift", "cosine", "ease"))
        if number in self.cart:
            return CartReason("carted", "in the cart now, and often bought again", item)
        if number in owned and of["personal"] >= beside:
            return CartReason("bought", "bought before", item)
        for others in (self.cart, owned[::-1]):
            other = reader.strongest(others, number)
            if other is not None:
                text = f"bought together with {self._title(other)}"
                return CartReason("together", text, card.item_ids[other])
        return CartReason("bought", "bought before", item) if number in owned else _POPULAR

    def _title(self, number: int) -> str:
        card, _ = self._model()
        row = int(self.opened.rows[number])
        title = card.item_ids[number] if row < 0 else self.index.columns.item(row).title
        return title if len(title) <= _LONGEST else title[: _LONGEST - 3] + "..."

    def filled(
        self,
        ranked: list[CartResult],
        top_n: int,
        but: Rows = _NO_ROWS,
        last: Rows = _NO_ROWS,
    ) -> list[CartResult]:
        """Up to top_n, with what is bought most, then the newest items, then `last`.

        Their score is that of the last one ranked, which they come after. but: rows never offered.
        """
        results = list(ranked)
        if len(results) >= top_n:
            return results
        score = results[-1].score if results else 0.0
        explanation = CartExplanation({"filled": score}) if self.shopper.explain else None
        taken = np.concatenate([self.index.rows([result.id for result in results]), but])
        later = np.setdiff1d(last, but)
        sources = (self.opened.popular, _POPULAR), (self.opened.newest, _NEW), (later, _POPULAR)
        for at, (rows, reason) in enumerate(sources):
            closed = taken if at == 2 else np.concatenate([taken, later])
            free = rows[(rows >= 0) & ~np.isin(rows, closed)]
            free = free[self.index.columns.available[free] != 0][: top_n - len(results)]
            taken = np.concatenate([taken, free])
            for item in self.index.ids.ids(free):
                results.append(CartResult(item, len(results) + 1, score, reason, explanation))
        return results
