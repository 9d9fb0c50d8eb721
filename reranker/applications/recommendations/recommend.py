"""recommend.py: a wish -> candidates -> the ranking of /rerank -> recommendations with reasons."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Mask, Rows, Vectors
from reranker.applications.recommendations.candidates import (
    FUSION,
    MOST,
    Candidates,
    CatalogueLists,
    Listed,
    first,
    fused,
)
from reranker.applications.recommendations.reasons import largest_personal, reasons_of
from reranker.applications.recommendations.recommend_blend import NAME, for_page
from reranker.applications.recommendations.wishes import Recommendations, Recommended, Source, Wish
from reranker.blends.diversity import Diversity
from reranker.events.events import HistoryEvent
from reranker.ranking.ranking import Degraded, Ranked, Ranking, rerank
from reranker.ranking.state import ServedState
from reranker.requests import Candidate, RerankRequest
from reranker.signals.columns import Missing
from reranker.signals.context import newest_time
from reranker.signals.user_history import UserHistory, shopper_events, user_history_of

_BEHIND: Final = 100.0  # more than any other signal makes up for
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


def prepare_exact(wish: Wish, state: ServedState, lists: CatalogueLists) -> Prepared:
    """The same with every item that may be named as a candidate, whatever the lists bring: what
    the candidates are held against. Every signal of every item is worked out."""
    prepared = prepare(wish, state, lists)
    allowed = _allowed(wish, prepared.request, state, lists)
    rows = np.arange(len(state.index)) if allowed is None else np.flatnonzero(allowed)
    every = Candidates(rows, np.zeros(len(rows)), ["next"] * len(rows))
    page = fused(_page_lists(wish, state, lists, allowed))
    focus = _focus(wish, state, prepared.history)
    return _asked(prepared, retrieved(every, page, focus, lists))


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


class Speaking(NamedTuple):
    """What reasons read of a ranking's results (n,): see `reasons_of`."""

    signals: list[str | None]
    cosines: Vectors | None = None


def _explained(results: Sequence[Ranked]) -> Speaking:
    return Speaking([largest_personal(result.explanation) for result in results])


def recommended(
    prepared: Prepared,
    ranking: Ranking,
    late: str = "",
    speaking: Callable[[Sequence[Ranked]], Speaking] = _explained,
) -> Recommendations:
    """A ranking of the prepared candidates -> recommendations. late: why no history counted."""
    wish, state = prepared.wish, prepared.state
    results = shown(ranking, wish.top_n).results
    speaks = speaking(results)
    reasons = reasons_of(
        results,
        speaks.signals,
        [prepared.sources[result.index] for result in results],
        wish.context,
        prepared.category,
        prepared.history,
        state.index,
        state.personal.learned,
        speaks.cosines,
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


def shown(ranking: Ranking, top_n: int) -> Ranking:
    """What of a ranking is answered."""
    return msgspec.structs.replace(ranking, results=ranking.results[:top_n])


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
    if _fitted(wish, lists):
        shopper = msgspec.structs.replace(shopper, blend=NAME)
    prepared = Prepared(
        wish, shopper, _blended(wish, state, lists), lists, [], category, source, history
    )
    return _asked(prepared, candidates)


def _asked(prepared: Prepared, candidates: Candidates) -> Prepared:
    """With these candidates."""
    ids = prepared.lists.ids(candidates.rows)
    request = msgspec.structs.replace(
        prepared.request,
        candidates=[
            Candidate(item, score)
            for item, score in zip(ids, candidates.scores.tolist(), strict=True)
        ],
        top_n=prepared.wish.top_n,
        explain=True,  # the reasons are read of it
    )
    return dataclasses.replace(prepared, request=request, sources=candidates.sources)


def _fitted(wish: Wish, lists: CatalogueLists) -> bool:
    """Whether the blend that a training fitted for recommendations ranks."""
    return wish.shopper.blend in (None, NAME) and lists.recommend is not None


def _blended(wish: Wish, state: ServedState, lists: CatalogueLists) -> ServedState:
    """The state with the blend that ranks, and the diversity that is asked for."""
    name = wish.shopper.blend
    if _fitted(wish, lists):
        assert lists.recommend is not None and state.model is not None
        blend = for_page(lists.recommend.blend, wish.context.query)
        others = {**state.others, NAME: (blend, _number(state.model.version))}
        state, name = dataclasses.replace(state, others=others), NAME
    return _diversified(state, name, wish.diversity)


def _number(version: str) -> int:
    """That of a model version: 12 of 0012-20260101T000000Z."""
    digits = version.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


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
    if _fitted(wish, lists):
        candidates = retrieved(candidates, fused(page), _focus(wish, state, history), lists)
        return filled(candidates, source, lists, allowed, category, wish.top_n, _BEHIND)
    return filled(candidates, source, lists, allowed, category, wish.top_n)


def _focus(wish: Wish, state: ServedState, history: UserHistory | None) -> Rows:
    """Rows (h,) of what is looked at: the page's item and cart, else the newest item met."""
    rows = state.index.rows([item for item in (wish.context.item, *wish.context.cart) if item])
    rows = rows[rows >= 0]
    return rows if len(rows) or history is None else history.rows[:1]


def retrieved(
    candidates: Candidates, page: Candidates, focus: Rows, lists: CatalogueLists
) -> Candidates:
    """The same with the retrieval's own score, best first: how often an item is met with what is
    looked at, plus up to 1 for a first place on each of the page's lists. It does not depend on
    which candidates there are."""
    scores = lists.after(focus, candidates.rows)
    if len(page.rows):
        order = np.argsort(page.rows)
        at = np.minimum(np.searchsorted(page.rows[order], candidates.rows), len(order) - 1)
        on_page = page.rows[order[at]] == candidates.rows
        scores = scores + np.where(on_page, FUSION * page.scores[order[at]], 0.0)
    best = np.argsort(-scores, kind="stable")
    sources = [candidates.sources[at] for at in best.tolist()]
    return Candidates(candidates.rows[best], scores[best], sources)


def _page_lists(
    wish: Wish, state: ServedState, lists: CatalogueLists, allowed: Mask | None
) -> list[Listed]:
    """What the page brings: its item, its cart, its search."""
    rows = state.index.rows([item for item in (wish.context.item, *wish.context.cart) if item])
    rows = rows[rows >= 0]
    brought = [
        Listed("beside", lists.together(rows, np.ones(len(rows)), allowed)),
        Listed("alike", lists.alike(rows, allowed), 0.5),
        Listed("look", lists.look_alike(rows, np.ones(len(rows)), allowed), 0.5),
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
    behind: float = 0.0,
) -> tuple[Candidates, Source]:
    """At least top_n where so many may be named: popular in the category, popular, newest.

    source: of the candidates; where there are none, that of the first fallback with any is named.
    behind: by how much the scores of what is filled up with are below all others.
    """
    named: Source | None = source if len(candidates.rows) else None
    for name, rows in _fallbacks(lists, allowed, category, top_n):
        if len(candidates.rows) >= top_n:
            break
        more = rows[~np.isin(rows, candidates.rows)][: max(MOST, top_n)]
        if len(more):
            named = named or name
            candidates = _appended(candidates, name, more, behind)
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


def _appended(candidates: Candidates, name: str, more: Rows, behind: float) -> Candidates:
    """Behind all that are there."""
    lowest = float(candidates.scores.min()) if len(candidates.scores) else 1.0
    scores = lowest * 0.5 / (1 + np.arange(len(more)) / 60.0)
    if behind and len(candidates.scores):
        scores = lowest - behind - np.arange(len(more)) / 1e6
    return Candidates(
        np.concatenate([candidates.rows, more]),
        np.concatenate([candidates.scores, scores]),
        [*candidates.sources, *([name] * len(more))],
    )


def ranked_rows(ranking: Ranking, index: ItemIndex) -> Rows:
    """The rows (n,) of a ranking, best first."""
    return index.rows([result.id for result in ranking.results])
