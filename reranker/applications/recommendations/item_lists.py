"""item_lists.py: an item, or what is taken up now -> items with reasons, the same for everyone."""

from typing import Literal

import numpy as np

from reranker.applications.recommendations.candidates import (
    MOST,
    Candidates,
    CatalogueLists,
    Listed,
    fused,
)
from reranker.applications.recommendations.reasons import page_reason
from reranker.applications.recommendations.recommend import filled
from reranker.applications.recommendations.trending import StoredEvents, trending_scores
from reranker.applications.recommendations.wishes import (
    PageContext,
    Recommendations,
    Recommended,
    Source,
)
from reranker.ranking.ranking import Degraded
from reranker.ranking.state import ServedState
from reranker.signals.looks import NO_VECTORS

By = Literal["text", "behaviour", "look", "both"]


def similar(
    state: ServedState, lists: CatalogueLists, item: str, by: By, top_n: int
) -> Recommendations:
    """Items like this one, which the index holds: by text, by who met both, by vectors that no text
    made, or (both) by all of these that there are."""
    row = state.index.rows([item])
    allowed = np.ones(len(state.index), bool)
    allowed[row] = False
    n = max(MOST, top_n)
    brought = []
    if by in ("behaviour", "both"):
        brought.append(Listed("beside", lists.together(row, np.ones(1), allowed, n)))
    if by in ("text", "both"):
        brought.append(Listed("alike", lists.alike(row, allowed, n)))
    if by in ("look", "both"):
        brought.append(Listed("look", lists.look_alike(row, np.ones(1), allowed, n)))
    category = state.index.columns.item(int(row[0])).category
    candidates, source = filled(fused(brought), "together", lists, allowed, category, top_n)
    degraded = []
    if by in ("behaviour", "both") and state.personal.learned is None:
        degraded.append(Degraded("together", state.personal.reason))
    if by == "look" and not len(brought[0].rows):
        degraded.append(Degraded("looks", _no_look(state)))
    return _answer(
        state, lists, candidates, PageContext(item=item), category, top_n, source, degraded
    )


def _no_look(state: ServedState) -> str:
    return "item_without_vector" if state.index.modalities else NO_VECTORS.reason


def trending(
    state: ServedState,
    lists: CatalogueLists,
    stored: StoredEvents | None,
    as_of: float | None,
    window_days: float,
    half_life_days: float,
    category: str,
    top_n: int,
) -> Recommendations:
    """What shoppers take up now. stored: None where they have not been read yet: then what the
    training counted day by day stands in, and the answer is `degraded`.

    "Now" is `as_of`, else the newest event. Where nothing happened in the window, the counts of the
    training say what is popular, and the answer is `degraded`, too.
    """
    allowed = lists.filters.in_category(category) if category else None
    rows, scores = np.empty(0, np.int64), np.empty(0)
    events = lists.trends if stored is None else stored
    if events is not None and events.newest is not None:
        now = events.newest if as_of is None else as_of
        rows, scores = trending_scores(events, lists.index, now, window_days, half_life_days)
        if allowed is not None:
            rows, scores = rows[allowed[rows]], scores[allowed[rows]]
    degraded = []
    if not len(rows):
        degraded.append(Degraded("trending", "nothing_in_window" if events else "history_slow"))
    elif stored is None:
        degraded.append(Degraded("trending", "as_of_training"))
    brought = Candidates(rows, scores, ["trending"] * len(rows))
    candidates, source = filled(brought, "popular", lists, allowed, "", top_n)
    return _answer(state, lists, candidates, PageContext(), "", top_n, source, degraded)


def _answer(
    state: ServedState,
    lists: CatalogueLists,
    candidates: Candidates,
    context: PageContext,
    category: str,
    top_n: int,
    source: Source,
    degraded: list[Degraded],
) -> Recommendations:
    rows, scores = candidates.rows[:top_n], candidates.scores[:top_n].tolist()
    results = [
        Recommended(
            item,
            rank + 1,
            score,
            page_reason(row, where, context, category, state.index, state.personal.learned),
        )
        for rank, (item, row, score, where) in enumerate(
            zip(state.index.ids.ids(rows), rows.tolist(), scores, candidates.sources, strict=False)
        )
    ]
    return Recommendations(results, None, state.versions, degraded, source)
