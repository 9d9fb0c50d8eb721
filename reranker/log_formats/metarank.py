"""metarank.py: Metarank's events -> events and rankings; facts on items are counted.

https://docs.metarank.ai/reference/event-schema
"""

from typing import Any, Final

from reranker.events.cleaning import BadEvent
from reranker.log_formats.actions import IMPRESSION, action_type
from reranker.log_formats.translated import (
    Log,
    LogFormat,
    Translate,
    Translated,
    no_event,
    present,
)
from reranker.log_formats.values import Row, value_at

_FACTS: Final = frozenset({"item", "metadata", "user"})
_KINDS: Final = _FACTS | {"ranking", "interaction"}
_ALLOWED: Final = "item, metadata, user, ranking or interaction"


def _is_of(row: Row) -> bool:
    return row.get("event") in _KINDS and "timestamp" in row


def _opened(log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        kind = row.get("event")
        if kind == "user" and row.get("fields"):
            return Translated(attributes=[_attributes(row)])
        if kind in _FACTS:
            return Translated(passed_over=f"{kind} events")
        if kind == "interaction":
            return _interaction(row, log)
        if kind == "ranking":
            return _ranking(row)
        raise no_event("event", str(kind)[:80], _ALLOWED)

    return translate


def _about(row: Row) -> Row:
    return {
        "id": row.get("id"),
        "time": row.get("timestamp"),
        "user": row.get("user"),
        "session": row.get("session"),
    }


def _attributes(row: Row) -> Row:
    """What is known of a user; a field without a name or value says nothing."""
    fields = row["fields"] if isinstance(row["fields"], list) else []
    named = {
        field["name"]: field["value"]
        for field in fields
        if isinstance(field, dict) and field.get("name") and field.get("value") is not None
    }
    return {"user": row.get("user"), "time": row.get("timestamp"), "fields": named}


def _interaction(row: Row, log: Log) -> Translated:
    word = row.get("type")
    kind = action_type(word, log.own) if isinstance(word, str) else None
    if kind == IMPRESSION:
        return Translated(passed_over="impressions (their ranking says the same)")
    return Translated(
        [
            present(
                _about(row)
                | {
                    "type": kind or word,
                    "item": row.get("item"),
                    "ranking": row.get("ranking"),
                    "price": field_of(row, "price"),
                    "quantity": field_of(row, "quantity"),
                }
            )
        ]
    )


def _ranking(row: Row) -> Translated:
    """What was shown, in the order sent; with every item's relevancy the engine's order, too."""
    items = row.get("items")
    if not isinstance(items, list) or not items:
        raise BadEvent("items", "items is missing or empty; a ranking has at least one")
    if not all(isinstance(item, dict) and item.get("id") is not None for item in items):
        raise BadEvent("items", "items has an entry without an id")
    about = _about(row)
    query = field_of(row, "query")
    query = query if isinstance(query, str) else None
    ranking = present(about | {"query": query, "items": [item["id"] for item in items]})
    shopper = row.get("user") or row.get("session")
    search = present(about | {"type": "search", "query": query, "ranking": row.get("id")})
    return Translated([search] if query and shopper else [], [ranking | _engine_order(items)])


def _engine_order(items: list[Row]) -> Row:
    scores = [_relevancy(item) for item in items]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return {}
    places = sorted(range(len(items)), key=lambda place: -known[place])
    order = [0] * len(items)
    for rank, place in enumerate(places):
        order[place] = rank
    return {"order": order, "scores": [known[place] for place in places]}


def _relevancy(item: Row) -> float | None:
    score = item.get("relevancy")
    score = field_of(item, "relevancy") if score is None else score
    known = isinstance(score, int | float) and not isinstance(score, bool)
    return float(score) if known else None


def field_of(row: Row, name: str) -> Any:
    """The value of a field in Metarank's list of {"name", "value"}; None where there is none."""
    fields = row.get("fields")
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, dict) and field.get("name") == name:
            return value_at(field, "value")
    return None


METARANK: Final = LogFormat(
    "metarank",
    "Metarank",
    "of interactions timestamp is the time, and user, session, item, type and ranking are called "
    "as here; rankings are logged rankings",
    _is_of,
    _opened,
)
