"""ubi.py: OpenSearch User Behavior Insights -> events; its queries -> rankings and searches.

Schema 1.3.0, https://o19s.github.io/ubi: `ubi_queries` say what was answered, `ubi_events` what was
done, tied by `query_id`. Without an `object_id_field` the plugin notes Lucene's own document
numbers as query_response_hit_ids: they name no items, and change with every merge.
"""

from typing import Any, Final

from reranker.events.cleaning import BadEvent
from reranker.log_formats.actions import IMPRESSION, action_type
from reranker.log_formats.translated import (
    Impression,
    Log,
    LogFormat,
    Translate,
    Translated,
    present,
)
from reranker.log_formats.values import Row, first_of, value_at

_HITS: Final = ("query_response_hit_ids", "query_response_objects_ids", "query_response_object_ids")
_USER: Final = ("user_id", "query_attributes.user_id", "client_id")
_SESSION: Final = ("session_id", "query_attributes.session_id")


def _is_of(row: Row) -> bool:
    return _is_query(row) or ("action_name" in row and "timestamp" in row)


def _is_query(row: Row) -> bool:
    """A row of ubi_queries: it has no action."""
    if "action_name" in row:
        return False
    captured = "query_response_id" in row or any(name in row for name in _HITS)
    return captured or ("user_query" in row and ("query_id" in row or "client_id" in row))


def _opened(log: Log) -> Translate:
    searched: set[str] = set()  # query ids that are searches already

    def translate(row: Row) -> Translated:
        if _is_query(row):
            return _query(row, searched)
        return _event(row, log, searched)

    return translate


def _about(row: Row) -> Row:
    return {
        "time": row.get("timestamp"),
        "user": first_of(row, *_USER),
        "session": first_of(row, *_SESSION),
    }


def _query(row: Row, searched: set[str]) -> Translated:
    about, name = _about(row), first_of(row, "query_id")
    hits = next((value for path in _HITS if (value := value_at(row, path)) is not None), None)
    items = [hit for hit in _list(hits) if hit is not None and hit != ""]
    query = first_of(row, "user_query")
    ranking = present(about | {"id": name, "query": query, "items": list(dict.fromkeys(items))})
    shown = name is not None and bool(items)
    return Translated(
        _search(about, name, query, searched),
        [ranking] if shown else [],
        by_number=first_of(row, "object_id_field") is None and all(map(_is_number, items)),
        passed_over=None if shown else "queries without query_id or hits",
    )


def _search(about: Row, name: Any, query: Any, searched: set[str]) -> list[Row]:
    """The search that a query is, once however often it is told."""
    if not query or not (about["user"] or about["session"]):
        return []
    if name is not None:
        if str(name) in searched:
            return []
        searched.add(str(name))
    return [present(about | {"type": "search", "query": query, "ranking": name})]


def _event(row: Row, log: Log, searched: set[str]) -> Translated:
    action = row.get("action_name")
    if not isinstance(action, str) or not action.strip():
        raise BadEvent("action_name", "action_name is missing")
    kind, about = action_type(action, log.own), _about(row)
    name, query = first_of(row, "query_id"), first_of(row, "user_query")
    if kind == "search":
        return Translated(_search(about, name, query, searched))
    if kind is None:
        return Translated(passed_over=f"action {action.strip()[:60]}")
    attributes = value_at(row, "event_attributes")
    item = first_of(row, "event_attributes.object.object_id", "object_id", "object.object_id")
    if item is None:
        place = "event_attributes.object.object_id"
        hint = "; object.internal_id names a document, not an item" if attributes else ""
        raise BadEvent(place, f"{place} is missing{hint}")
    position = first_of(
        row, "event_attributes.position.ordinal", "position.ordinal", "event_attributes.position"
    )
    position = None if isinstance(position, dict) else position
    if kind == IMPRESSION:
        if name is None:
            return Translated(passed_over="impressions without query_id")
        return Translated(impressions=[Impression(name, item, position, about | {"query": query})])
    detail = "event_attributes.object.object_detail"
    event = {
        "type": kind,
        "item": item,
        "ranking": name,
        "position": position,
        "id": first_of(row, "event_id", "id"),
        "price": first_of(row, f"{detail}.price", "event_attributes.price"),
        "quantity": first_of(row, f"{detail}.quantity", "event_attributes.quantity"),
    }
    return Translated([present(about | event)])


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str):  # a cell of a table
        return [part.strip(" []\"'") for part in value.replace("|", ",").split(",")]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value.isdigit())


UBI: Final = LogFormat(
    "ubi",
    "User Behavior Insights (UBI)",
    "action_name is the type, timestamp the time, user_id or client_id the user, session_id the "
    "session, user_query the query, query_id the ranking, event_attributes.object.object_id the "
    "item; query_response_hit_ids are the items of a ranking",
    _is_of,
    _opened,
)
