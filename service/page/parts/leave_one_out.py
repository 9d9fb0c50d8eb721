"""leave_one_out.py: a request with a history, and an item -> how far each past event moved it."""

from typing import Any

import msgspec

from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState
from reranker.requests import Event, RerankRequest
from service.page.parts.cases import history_of
from service.page.parts.matrix import describe


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
    titles = {one["id"]: one["title"] for one in describe(state.index, _items(events))}
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


def _items(events: list[Event]) -> list[str]:
    return [event.item for event in events if event.item]


def _of(
    request: RerankRequest, events: list[Event], item: str, state: ServedState
) -> tuple[float, int]:
    asked = msgspec.structs.replace(request, user=None, session=None, history=events)
    found = next(result for result in rerank(asked, state).results if result.id == item)
    return found.score, found.rank
