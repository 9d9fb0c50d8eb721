"""reasons.py: a recommended item and what speaks for it -> the reason, as data and in words."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from indexes.cached import lazily
from indexes.items.categories import split_paths
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Rows, Vectors
from reranker.applications.recommendations.wishes import Kind, PageContext, Reason
from reranker.events.events import HistoryEvent
from reranker.model.learned import Learned
from reranker.ranking.explanations import Explanation
from reranker.ranking.ranking import Ranked
from reranker.signals.looks import look_nearness, weighed
from reranker.signals.registry import SIGNALS
from reranker.signals.user_history import UserHistory
from reranker.signals.user_profiles import RECENT

_DONE: Final[dict[str, tuple[Kind, str]]] = {
    "view": ("viewed", "you looked at"),
    "cart": ("carted", "you put {} in the cart"),
    "purchase": ("bought", "you bought"),
}
_OTHER: Final[tuple[Kind, str]] = ("viewed", "you were interested in")
_LONGEST: Final = 80  # characters of a title in a reason


def reasons_of(
    results: Sequence[Ranked],
    signals: Sequence[str | None],
    sources: Sequence[str],
    context: PageContext,
    category: str,
    history: UserHistory | None,
    index: ItemIndex,
    learned: Learned | None,
    cosines: Vectors | None = None,
) -> list[Reason]:
    """One reason for each result (n,).

    signals (n,): the personal one that speaks most for each. sources (n,): the list that does.
    cosines (n, h): with the newest items met, where they are known already.
    """
    rows = index.rows([result.id for result in results])
    personal = _Personal(history, rows, index, learned, cosines) if history is not None else None
    reasons = []
    each = zip(results, signals, sources, rows.tolist(), strict=True)
    for place, (result, signal, source, row) in enumerate(each):
        reason = personal.reason(result.id, place, signal, source) if personal else None
        reasons.append(reason or page_reason(row, source, context, category, index, learned))
    return reasons


def largest_personal(explanation: Explanation | None) -> str | None:
    """The personal signal with the largest contribution, where one is above 0."""
    if explanation is None:
        return None
    amounts = {
        name: amount
        for name, amount in explanation.contributions.items()
        if amount > 0 and name in SIGNALS and SIGNALS[name].personal
    }
    return max(amounts, key=lambda name: amounts[name]) if amounts else None


class _Personal:
    """Reasons from a history, for rows (n,)."""

    def __init__(
        self,
        history: UserHistory,
        rows: Rows,
        index: ItemIndex,
        learned: Learned | None,
        cosines: Vectors | None,
    ) -> None:
        self._cosines = cosines
        self._titles: dict[int, str] = {}
        self.profile, self.index, self.learned = history.profile, index, learned
        met = history.profile.met
        there = index.rows([event.item or "" for event in met]) >= 0
        self.met = [event for event, known in zip(met, there.tolist(), strict=True) if known]
        self.met = self.met[:RECENT]
        self.rows, self._wanted = history.rows[:RECENT], rows

    @lazily
    def _amounts(self) -> Floats:
        """How often those who met the wanted rows met each of the history (n, h)."""
        return met_with(self.learned, self.rows, self._wanted)

    @lazily
    def _nearness(self) -> Vectors:
        """Cosines (n, h) of the wanted rows with those of the history."""
        if self._cosines is not None:
            return self._cosines
        others, own = self.index.vectors(self.rows), self.index.vectors(self._wanted)
        if self.learned is not None:
            white = self.learned.model.whitening
            others, own = white(others), white(own)
        return np.asarray(own @ others.T)

    @lazily
    def _look_nearness(self) -> Floats:
        """The same by vectors that no text made; -1 where one of both has none."""
        return looks_between(self.index, self._wanted, self.rows)

    @lazily
    def _places(self) -> dict[str, list[int]]:
        return self.profile.places

    def reason(self, item: str, place: int, signal: str | None, source: str) -> Reason | None:
        """Of the wanted row at this place; None where nothing of the history speaks for it."""
        if signal is None and source not in ("repeat", "together", "next", "look"):
            return None
        places = self._places.get(item)
        if places and (signal in (None, "repeat") or source == "repeat"):
            event = self.profile.events[places[-1]]
            return _done(event, "it", item)
        if not self.met:
            return self._searched()
        if signal == "together" or (signal is None and source == "together"):
            best = _largest(self._amounts[place])
            if best is not None:
                text = f"often chosen together with {self._title(best)}"
                return Reason("together", text, self.met[best].item)
        if signal == "looks" or (signal is None and source == "look"):
            like = _largest(self._look_nearness[place])
            if like is not None:
                return Reason("similar", f"similar to {self._title(like)}", self.met[like].item)
        near = int(np.argmax(self._nearness[place]))
        event = self.met[near]
        return _done(event, self._title(near), event.item)

    def _title(self, place: int) -> str:
        """Of the item of the history at this place (h,)."""
        title = self._titles.get(place)
        if title is None:
            title = self._titles[place] = _title(self.index, int(self.rows[place]))
        return title

    def _searched(self) -> Reason | None:
        for event in reversed(self.profile.events):
            if event.query:
                return Reason("searched", f"because you searched for {_short(event.query)}")
        return None


def looks_between(index: ItemIndex, wanted: Rows, rows: Rows) -> Floats:
    """Cosines (n, h) of vectors that no text made, of wanted (n,) with rows (h,); -1: not known."""
    nearness = look_nearness(weighed(index), wanted, rows)
    if nearness is None:
        return np.full((len(wanted), len(rows)), -1.0)
    return np.nan_to_num(nearness.cosines, nan=-1.0)


def _done(event: HistoryEvent, name: str, item: str | None) -> Reason:
    kind, words = _DONE.get(event.type, _OTHER)
    did = words.format(name) if "{}" in words else f"{words} {name}"
    return Reason(kind, f"because {did}", item)


def met_with(learned: Learned | None, rows: Rows, wanted: Rows) -> Floats:
    """How often those who met each of rows (h,) met each of the wanted (n,): (n, h)."""
    if learned is None:
        return np.zeros((len(wanted), len(rows)))
    return learned.statistics.shares_with(rows, wanted)


def _largest(amounts: Floats) -> int | None:
    """The place of the largest, where it is above 0."""
    best = int(np.argmax(amounts)) if len(amounts) else 0
    return best if len(amounts) and amounts[best] > 0 else None


def page_reason(
    row: int,
    source: str,
    context: PageContext,
    category: str,
    index: ItemIndex,
    learned: Learned | None,
) -> Reason:
    """Why an item is there that this list brought, whoever looks."""
    return _Page(context, category, index, learned).reason(row, source)


class _Page:
    """Reasons without a history."""

    def __init__(
        self, context: PageContext, category: str, index: ItemIndex, learned: Learned | None
    ) -> None:
        self.context, self.category = context, category
        self.index, self.learned = index, learned

    def reason(self, row: int, source: str) -> Reason:
        """Of an item that this list brought."""
        if source in ("beside", "alike", "look"):
            return self._beside(row, source)
        if source == "query":
            return Reason("searched", f"because it fits {_short(self.context.query)}")
        if source == "popular_in_category":
            leaf = split_paths(self.category)[0].split(">")[-1].strip()
            return Reason("popular", f"popular in {leaf}")
        if source == "trending":
            return Reason("popular", "many shoppers take it up now")
        if source == "newest":
            return Reason("new", "new in the shop")
        return Reason("popular", "popular with other shoppers")

    def _beside(self, row: int, source: str) -> Reason:
        ids = [item for item in (self.context.item, *self.context.cart) if item]
        rows = self.index.rows(ids)
        ids = [item for item, at in zip(ids, rows.tolist(), strict=True) if at >= 0]
        rows = rows[rows >= 0]
        if source == "beside":
            best = _largest(met_with(self.learned, rows, np.array([row]))[0])
            if best is not None:
                title = _title(self.index, int(rows[best]))
                return Reason("together", f"often chosen together with {title}", ids[best])
        nearest = self._nearest(row, rows, source)
        return Reason(
            "similar", f"similar to {_title(self.index, int(rows[nearest]))}", ids[nearest]
        )

    def _nearest(self, row: int, rows: Rows, source: str) -> int:
        """Which of these rows (h,) the item is nearest to."""
        if source == "look":
            return int(np.argmax(looks_between(self.index, np.array([row]), rows)[0]))
        return int(np.argmax(self.index.vectors(rows) @ self.index.vectors(np.array([row]))[0]))


def _title(index: ItemIndex, row: int) -> str:
    return _short(index.columns.item(int(row)).title)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= _LONGEST else f'"{text[: _LONGEST - 1]}…"'
