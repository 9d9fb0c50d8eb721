"""unexplained.py: the recommendations of `recommend` for whoever asks for many and explains none.

The same numbers with less work: scores are added up at once, only what reasons are read of is taken
apart, and the stored history is read once.
"""

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np

from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.recommend import (
    Speaking,
    prepare,
    recommend,
    recommended,
)
from reranker.applications.recommendations.wishes import Recommendations, Wish
from reranker.events.events import HistoryEvent
from reranker.ranking.ranking import PartialRanking, Ranked, rerank
from reranker.ranking.scoring import contributions, factors_of
from reranker.ranking.state import ServedState
from reranker.signals.columns import Column
from reranker.signals.registry import SIGNALS, Columns


def recommend_unexplained(wish: Wish, state: ServedState, lists: CatalogueLists) -> Recommendations:
    """As `recommend`; by it, where explanations are asked for or trees rank."""
    prepared = prepare(wish, read_once(state), lists)
    blend, _ = prepared.state.blend(prepared.request.blend)
    if wish.shopper.explain or blend.kind == "trees":
        return recommend(wish, state, lists)
    begun: list[PartialRanking] = []
    request = msgspec.structs.replace(prepared.request, explain=False)
    ranking = rerank(request, prepared.state, begun=begun.append)
    return recommended(prepared, ranking, speaking=lambda results: _speaking(begun[0], results))


def read_once(state: ServedState) -> ServedState:
    """The state whose stored history of one shopper is read but once; for one answer."""
    recent = state.personal.recent
    if recent is None:
        return state
    read: dict[tuple[str | None, str | None, int], list[HistoryEvent]] = {}

    def once(
        user: str | None = None,
        session: str | None = None,
        n: int = 50,
        before: float | None = None,
    ) -> list[HistoryEvent]:
        whole = read.get((user, session, n))
        if whole is not None and (before is None or not whole or whole[-1].time < before):
            return whole
        events = recent(user, session, n, before)
        if before is None:
            read[user, session, n] = events
        return events

    return dataclasses.replace(state, personal=dataclasses.replace(state.personal, recent=once))


def _speaking(partial: PartialRanking, results: Sequence[Ranked]) -> Speaking:
    """The personal signal that adds most to each result (n,), where one adds anything."""
    places = [result.index for result in results]
    columns: Columns = {
        name: column
        for name, column in partial.columns.items()
        if SIGNALS[name].personal and isinstance(column, Column)
    }
    gate = 1.0 if partial.gate is None else partial.gate
    factors = factors_of(partial.blend, columns, partial.context.request.weights, gate)
    parts = contributions(partial.blend, columns, factors)
    if not parts or not places:
        return Speaking([None] * len(places))
    amounts = np.stack([part.amounts[places] for part in parts])
    best = amounts.argmax(axis=0).tolist()
    largest = amounts.max(axis=0).tolist()
    signals = [
        parts[at].signal if amount > 0 else None for at, amount in zip(best, largest, strict=True)
    ]
    nearnesses = partial.context.nearnesses()[places] if "near" in columns else None
    return Speaking(signals, nearnesses)
