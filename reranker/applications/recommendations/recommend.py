"""recommend.py: a wish -> candidates -> the ranking of /rerank -> recommendations with reasons."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Mask, Rows
from reranker.applications.recommendations.candidates import (
    MOST,
    Candidates,
    CatalogueLists,
    Listed,
    first,
    fused,
)
from reranker.applications.recommendations.reasons import reasons_of
from reranker.applications.recommendations.wishes import Recommendations, Recommended, Source, Wish
from reranker.blends.diversity import Diversity
from reranker.events.events import HistoryEvent
from reranker.ranking.ranking import Degraded, Ranking, rerank
from reranker.ranking.state import ServedState
from reranker.requests import Candidate, RerankRequest
from reranker.signals.columns import Missing
from reranker.signals.context import newest_time
from reranker.signals.user_history import UserHistory, shopper_events, user_history_of

_ALL_EVENTS: Final = 100_000  # of a shopper, in which is looked for what was bought


@dataclass(frozen=True, eq=False)
class Prepared:
    """Candidates that can be ranked, and what their reasons need.

    request: as POST /rerank would take it; the candidates' scores are those of the retrieval.
    state: with the wish's diversity in its blend. sources (n,): the list of each candidate.
    """

    wish: Wish
    request: RerankRequest
    state: ServedState
    lists: CatalogueLists
    sources: list[str]
    category: str
    source: Source
    history: UserHistory | None


def recommend(wish: Wish, state: ServedState, lists: CatalogueLists) -> Recommendations:
    """Without a deadline, for whoever may wait; UnknownBlend and BadRequest as `rerank`."""
    prepared = prepare(wish, state, lists)
    return recommended(prepared, rerank(prepared.request, prepared.state))


def prepare(
    wish: Wish, state: ServedState, lists: CatalogueLists, clock: Callable[[], float] = time.time
) -> Prepared:
    """Everything up to the ranking. Reads the stored history, which may take its time."""
    shopper = _timed(wish.shopper, state, clock)
    now = shopper.time
    assert isinstance(now, float)
    history = user_history_of(shopper, lambda: now, state.personal, state.index)
    shopper = msgspec.structs.replace(shopper, query=wish.context.query)
    allowed = _allowed(wish, shopper, state, lists)
    known = history if isinstance(history, UserHistory) else None
    return _prepared(wish, shopper, state, lists, allowed, known)


def without_history(
    wish: Wish, state: ServedState, lists: CatalogueLists, clock: Callable[[], float] = time.time
) -> Prepared:
    """The same of what is in memory alone: for whoever cannot wait for the stored history.

    What was bought is not left out then.
    """
    shopper = msgspec.structs.replace(
        wish.shopper, user=None, session=None, personalize=False, history=None, time=clock()
    )
    return _prepared(wish, shopper, state, lists, _allowed(wish, shopper, state, lists), None)


def recommended(prepared: Prepared, ranking: Ranking, late: str = "") -> Recommendations:
    """A ranking of the prepared candidates -> recommendations. late: why no history counted."""
    wish, state = prepared.wish, prepared.state
    results = ranking.results[: wish.top_n]
    reasons = reasons_of(
        results,
        [prepared.sources[result.index] for result in results],
        wish.context,
        prepared.category,
        prepared.history,
        state.index,
        state.personal.learned,
    )
    degraded = [*ranking.degraded, *([Degraded("history", late)] if late else [])]
    if not results:
        degraded.append(Degraded("filters", "nothing_passes"))
    return Recommendations(
        results=[
            Recommended(
                result.id,
                result.rank,
                result.score,
                reason,
                result.explanation if wish.shopper.explain else None,
            )
            for result, reason in zip(results, reasons, strict=True)
        ],
        blend=ranking.blend,
        versions=ranking.versions,
        degraded=degraded,
        source=prepared.source,
    )


def _timed(shopper: RerankRequest, state: ServedState, clock: Callable[[], float]) -> RerankRequest:
    """With the time at which is recommended: `as_of`, else right after the newest event known.

    Stored events may be years old. What a shopper did last always counts.
    """
    if shopper.time is not None:
        return msgspec.structs.replace(shopper, time=float(shopper.time))
    learned = state.personal.learned
    newest = learned.statistics.card.newest if learned else -math.inf
    if shopper.history is not None:
        newest = max(newest, newest_time(shopper.history) or -math.inf)
    elif shopper.user or shopper.session:
        events = shopper_events(shopper, clock, state.personal)
        if not isinstance(events, Missing):
            newest = max(newest, events[-1].time)
    now = math.nextafter(newest, math.inf) if math.isfinite(newest) and newest > 0 else clock()
    return msgspec.structs.replace(shopper, time=now)


def _allowed(
    wish: Wish, shopper: RerankRequest, state: ServedState, lists: CatalogueLists
) -> Mask | None:
    """Rows (items,) that may be recommended; None for all."""
    mask = lists.filters.passing(wish.filters)
    excluded = [*wish.exclude.items]
    if wish.context.item:
        excluded.append(wish.context.item)
    if wish.exclude.in_cart:
        excluded += wish.context.cart
    if wish.exclude.bought or wish.exclude.in_cart:
        events = _whole_history(shopper, state)
        if wish.exclude.bought:
            excluded += _last_was(events, "purchase", ("cancel",))
        if wish.exclude.in_cart:
            excluded += _last_was(events, "cart", ("purchase", "uncart"))
    rows = state.index.rows(excluded)
    rows = rows[rows >= 0]
    if not len(rows):
        return mask
    mask = np.ones(len(state.index), bool) if mask is None else mask.copy()
    mask[rows] = False
    return mask


def _whole_history(shopper: RerankRequest, state: ServedState) -> list[HistoryEvent]:
    long = dataclasses.replace(state.personal)
    long.__dict__["length"] = _ALL_EVENTS
    events = shopper_events(shopper, time.time, long)
    return [] if isinstance(events, Missing) else events


def _last_was(events: list[HistoryEvent], kind: str, undone: tuple[str, ...]) -> list[str]:
    """Items whose newest event of these types is the first of them."""
    newest = {
        event.item: event.type
        for event in events
        if event.item is not None and event.type in (kind, *undone)
    }
    return [item for item, last in newest.items() if last == kind]


def _prepared(
    wish: Wish,
    shopper: RerankRequest,
    state: ServedState,
    lists: CatalogueLists,
    allowed: Mask | None,
    history: UserHistory | None,
) -> Prepared:
    category = _category(wish, state)
    candidates, source = _candidates(wish, shopper, state, lists, allowed, history, category)
    ids = state.index.ids.ids(candidates.rows)
    request = msgspec.structs.replace(
        shopper,
        candidates=[
            Candidate(item, score)
            for item, score in zip(ids, candidates.scores.tolist(), strict=True)
        ],
        top_n=wish.top_n,
        explain=True,  # the reasons are read of it
    )
    return Prepared(
        wish,
        request,
        _diversified(state, shopper.blend, wish.diversity),
        lists,
        candidates.sources,
        category,
        source,
        history,
    )


def _diversified(state: ServedState, blend: str | None, strength: float | None) -> ServedState:
    """The state with a blend of this diversity, where one is asked for."""
    if strength is None:
        return state
    named, version = state.blend(blend)
    diversity = Diversity(strength=strength) if strength > 0 else None
    changed = msgspec.structs.replace(named, diversity=diversity)
    if blend is None or blend == state.published.name:
        return dataclasses.replace(state, published=changed, published_version=version)
    return dataclasses.replace(state, others={**state.others, blend: (changed, version)})


def _category(wish: Wish, state: ServedState) -> str:
    """That of the page, else of the filters, else of the page's item; "" without any."""
    asked = wish.context.category or wish.filters.category
    if asked or not wish.context.item:
        return asked or ""
    row = int(state.index.rows([wish.context.item])[0])
    return state.index.columns.item(row).category.split(" | ")[0] if row >= 0 else ""


def _candidates(
    wish: Wish,
    shopper: RerankRequest,
    state: ServedState,
    lists: CatalogueLists,
    allowed: Mask | None,
    history: UserHistory | None,
    category: str,
) -> tuple[Candidates, Source]:
    """What shopper and page bring; where that is too little, what comes next in the chain."""
    page = list(_page_lists(wish, state, lists, allowed))
    if history is not None:
        now = float(shopper.time or 0.0)
        own = list(lists.personal(history, now, state.query_vectors, allowed))
        own += [*page, Listed("popular", first(lists.popular, allowed, MOST), 0.2)]
        candidates = fused(own)
        alone = bool(shopper.session and not shopper.user and shopper.history is None)
        source: Source = "session" if alone else "personal"
    else:
        candidates, source = fused(page), "together"
    return filled(candidates, source, lists, allowed, category, wish.top_n)


def _page_lists(
    wish: Wish, state: ServedState, lists: CatalogueLists, allowed: Mask | None
) -> list[Listed]:
    """What the page brings: its item, its cart, its search."""
    rows = state.index.rows([item for item in (wish.context.item, *wish.context.cart) if item])
    rows = rows[rows >= 0]
    brought = [
        Listed("beside", lists.together(rows, np.ones(len(rows)), allowed)),
        Listed("alike", lists.alike(rows, allowed), 0.5),
    ]
    if wish.context.query:
        vector = state.query_vectors.query(wish.context.query)
        brought.append(Listed("query", lists.near_text(vector, allowed)))
    return brought


def filled(
    candidates: Candidates,
    source: Source,
    lists: CatalogueLists,
    allowed: Mask | None,
    category: str,
    top_n: int,
) -> tuple[Candidates, Source]:
    """At least top_n where so many may be named: popular in the category, popular, newest.

    source: of the candidates; where there are none, that of the first fallback with any is named.
    """
    named: Source | None = source if len(candidates.rows) else None
    for name, rows in _fallbacks(lists, allowed, category, top_n):
        if len(candidates.rows) >= top_n:
            break
        more = rows[~np.isin(rows, candidates.rows)][: max(MOST, top_n)]
        if len(more):
            named = named or name
            candidates = _appended(candidates, name, more)
    return candidates, named or "newest"


def _fallbacks(
    lists: CatalogueLists, allowed: Mask | None, category: str, top_n: int
) -> Iterator[tuple[Source, Rows]]:
    most = max(MOST, 2 * top_n)
    if category:
        popular = first(lists.popular, allowed, len(lists.popular))
        yield "popular_in_category", first(popular, lists.filters.in_category(category), most)
    yield "popular", first(lists.popular, allowed, most)
    yield "newest", first(lists.newest, allowed, most + top_n)


def _appended(candidates: Candidates, name: str, more: Rows) -> Candidates:
    """Behind all that are there."""
    lowest = float(candidates.scores.min()) if len(candidates.scores) else 1.0
    scores = lowest * 0.5 / (1 + np.arange(len(more)) / 60.0)
    return Candidates(
        np.concatenate([candidates.rows, more]),
        np.concatenate([candidates.scores, scores]),
        [*candidates.sources, *([name] * len(more))],
    )


def ranked_rows(ranking: Ranking, index: ItemIndex) -> Rows:
    """The rows (n,) of a ranking, best first."""
    return index.rows([result.id for result in ranking.results])
