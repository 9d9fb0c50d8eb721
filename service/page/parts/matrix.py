"""matrix.py: a request -> every item's contributions, sent once, so that sliders need no server."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from indexes.items.index import ItemIndex
from reranker.events.events import HistoryEvent
from reranker.ranking.explanations import Explanation
from reranker.ranking.ranking import Ranked, Ranking, rank, rerank
from reranker.ranking.state import ServedState
from reranker.requests import Event, RerankRequest
from reranker.signals.registry import SIGNALS, in_order
from service.page.parts.cases import history_of, now_of
from service.page.parts.item_views import Thumbnail, describe, no_picture


def matrix(
    request: RerankRequest, state: ServedState, show: Thumbnail = no_picture
) -> dict[str, Any]:
    """The ranking with its arithmetic, as the browser re-adds it.

    Items stand in the engine's order; each has one number a signal in the order of `signals`, which
    is the order in which the service adds them up. `shown` has their places in the order of the
    registry, in which every list of signals stands. show: an item's picture.
    """
    began = time.perf_counter()
    blend, number = state.blend(request.blend)
    whole = msgspec.structs.replace(request, explain=True, top_n=None)
    ranking = rank(whole, state, blend, number)
    took = (time.perf_counter() - began) * 1000
    names = _names(ranking)
    return {
        "request": msgspec.to_builtins(request),
        "query": request.query,
        "blend": {"name": blend.name, "version": number, "kind": blend.kind, "note": blend.note},
        "signals": [_signal(name, ranking) for name in names],
        "shown": [names.index(name) for name in in_order(names)],
        "resting": [name for name, part in blend.signals.items() if part.weight == 0],
        "items": _items(request, ranking, state.index, names, show),
        "gate": ranking.gate,
        "segment": _segment(ranking),
        "degraded": msgspec.to_builtins(ranking.degraded),
        "versions": ranking.versions,
        "history": _events(request, state, show),
        "now": now_of(request),
        "took_ms": round(took, 2),
    }


def _names(ranking: Ranking) -> list[str]:
    explanation = ranking.results[0].explanation if ranking.results else None
    return list(explanation.contributions) if explanation else []


def _signal(name: str, ranking: Ranking) -> dict[str, Any]:
    """weight: with the gate in it, as the service multiplies."""
    signal = SIGNALS.get(name)
    explanation = ranking.results[0].explanation
    part = explanation.signals.get(name) if explanation else None
    return {
        "name": name,
        "meaning": signal.meaning if signal else "",
        "personal": bool(signal and signal.personal),
        "weight": part.weight if part else None,
    }


def _segment(ranking: Ranking) -> Any:
    """Which of the blend's segments this request fell into."""
    explanation = ranking.results[0].explanation if ranking.results else None
    return getattr(explanation, "segment", None)


def _items(
    request: RerankRequest,
    ranking: Ranking,
    index: ItemIndex,
    names: list[str],
    show: Thumbnail,
) -> list[dict[str, Any]]:
    described = describe(index, [candidate.id for candidate in request.candidates], show)
    results = sorted(ranking.results, key=lambda result: result.index)
    texts = [candidate.text for candidate in request.candidates]
    return [
        described[result.index]
        | (
            {"title": texts[result.index]}
            if _nameless(described[result.index], texts, result)
            else {}
        )
        | {"rank": result.rank, "score": result.score}
        | _numbers(result.explanation, names)
        for result in results
    ]


def _nameless(item: dict[str, Any], texts: list[str | None], result: Ranked) -> bool:
    return not item["known"] and bool(texts[result.index])


def _numbers(explanation: Explanation | None, names: list[str]) -> dict[str, Any]:
    if explanation is None:
        return {}
    parts = [explanation.signals.get(name) for name in names]
    return {
        "c": [explanation.contributions[name] for name in names],
        "n": [part.normalised if part else None for part in parts],
        "r": [part.raw if part else None for part in parts],
        "moves": msgspec.to_builtins(getattr(explanation, "moves", [])),
    }


def _events(request: RerankRequest, state: ServedState, show: Thumbnail) -> list[dict[str, Any]]:
    """Newest first, with the titles and the pictures of their items."""
    events = history_of(request, state)[::-1]
    items = {item["id"]: item for item in describe(state.index, _event_items(events), show)}
    return [
        {
            "type": event.type,
            "item": event.item,
            "query": event.query,
            "time": event.time,
            "title": items[event.item]["title"] if event.item else "",
            "image": items[event.item]["image"] if event.item else None,
        }
        for event in events
    ]


def with_factors(request: RerankRequest, factors: Mapping[str, float]) -> RerankRequest:
    """The same request with each signal's weight multiplied, as the sliders do."""
    weights = dict(request.weights)
    for name, factor in factors.items():
        if factor != 1.0:
            weights[name] = weights.get(name, 1.0) * factor
    return msgspec.structs.replace(request, weights=weights)


def leave_one_out(request: RerankRequest, item: str, state: ServedState) -> list[dict[str, Any]]:
    """For each event: the item's score and rank with it, less those without it; largest first.

    Every row is a ranking of its own on the main path, with a history that lacks one event.
    """
    events = [
        Event(event.type, event.item, event.query, event.time)
        for event in history_of(request, state)
    ]
    plain = msgspec.structs.replace(request, explain=False, top_n=None)
    score, rank = _of(plain, events, item, state)
    titles = {
        described["id"]: described["title"]
        for described in describe(state.index, _event_items(events))
    }
    rows = []
    for place, event in enumerate(events):
        without = events[:place] + events[place + 1 :]
        other_score, other_rank = _of(plain, without, item, state)
        rows.append(
            {
                "type": event.type,
                "what": titles.get(event.item or "", "") or event.query or event.item or "",
                "time": event.time,
                "score": score - other_score,
                "rank": other_rank - rank,
            }
        )
    return sorted(rows, key=lambda row: -abs(row["score"]))


def _event_items(events: Sequence[Event | HistoryEvent]) -> list[str]:
    return [event.item for event in events if event.item]


def _of(
    request: RerankRequest, events: list[Event], item: str, state: ServedState
) -> tuple[float, int]:
    asked = msgspec.structs.replace(request, user=None, session=None, history=events)
    ranked = next(result for result in rerank(asked, state).results if result.id == item)
    return ranked.score, ranked.rank
