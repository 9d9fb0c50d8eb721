"""ga4.py: Google Analytics 4, as BigQuery exports it -> events; item lists -> rankings.

https://support.google.com/analytics/answer/7029846: one row an event, `event_timestamp` in
microseconds, parameters in lists of {key, value}, a list of items. A list that was shown has no id
there: it gets one, and clicks are joined to it by shopper, item and time.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from reranker.log_formats.actions import IMPRESSION, action_type
from reranker.log_formats.translated import Log, LogFormat, Translate, Translated, present
from reranker.log_formats.values import Row, first_of, objects_at

_RANKING: Final = ("ranking_id", "ranking", "query_id", "search_id")
_ITEMS: Final = ("items", "ecommerce.items")
_ITEM: Final = ("item_id", "id", "item_sku")
_PLACE: Final = ("index", "item_list_index", "position")


def _is_of(row: Row) -> bool:
    return "event_name" in row and ("event_timestamp" in row or "event_date" in row)


def _opened(log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        name = row.get("event_name")
        kind = action_type(name, log.own) if isinstance(name, str) else None
        if kind is None:
            return Translated(passed_over=f"event {str(name)[:60]}")
        about = _about(row)
        if not about["user"] and not about["session"]:
            return Translated(passed_over="events of nobody (no user_pseudo_id)")
        listed = (item for path in _ITEMS for item in objects_at(row, path))
        items = [item for item in listed if first_of(item, *_ITEM) is not None]
        if kind in ("search", IMPRESSION):
            return _shown(row, about, kind, items)
        if not items:
            return Translated(passed_over=f"{name} without items")
        return Translated([_event(row, about, kind, item) for item in items])

    return translate


def _about(row: Row) -> Row:
    """Who and when. A session's number is its own among those of one device alone."""
    device = first_of(row, "user_pseudo_id")
    session = first_of(row, "event_params.ga_session_id", "ga_session_id")
    refused = first_of(row, "privacy_info.analytics_storage") in ("No", "no", False)
    return {
        "time": first_of(row, "event_timestamp", "event_date"),
        "user": first_of(row, "user_id") or device,
        "session": session if session is None or device is None else f"{device}.{session}",
        "personalize": False if refused else None,
    }


def _param(row: Row, *names: str) -> Any:
    return first_of(row, *(f"event_params.{name}" for name in names), *names)


def _event(row: Row, about: Row, kind: str, item: Row) -> Row:
    return present(
        about
        | {
            "type": kind,
            "item": first_of(item, *_ITEM),
            "price": first_of(item, "price"),
            "quantity": first_of(item, "quantity"),
            "position": first_of(item, *_PLACE),
            "ranking": _param(row, *_RANKING),
        }
    )


def _shown(row: Row, about: Row, kind: str, items: list[Row]) -> Translated:
    """A search, and a list of items where one was shown."""
    query = _param(row, "search_term", "term", "q")
    shown = list(dict.fromkeys(first_of(item, *_ITEM) for item in _in_order(items)))
    name = _param(row, *_RANKING) or _named(about, query, shown)
    ranking = present(about | {"id": name, "query": query, "items": shown})
    ranking.pop("personalize", None)
    searched = kind == "search" and query is not None
    events = [present(about | {"type": "search", "query": query})] if searched else []
    kept = [ranking] if shown and about["personalize"] is None else []
    return Translated(
        events, kept, passed_over=None if events or kept else f"{row['event_name']} without items"
    )


def _in_order(items: Iterable[Row]) -> list[Row]:
    """By their index where every item has one."""
    listed = list(items)
    places = [_number(first_of(item, *_PLACE)) for item in listed]
    if any(place is None for place in places):
        return listed
    order = sorted(range(len(listed)), key=lambda at: places[at] or 0.0)
    return [listed[at] for at in order]


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _named(about: Row, query: Any, shown: list[Any]) -> str:
    """An id for a list: the same for the same list, shopper and moment."""
    said = repr((about["user"], about["session"], about["time"], query, shown))
    return f"ga4:{hashlib.blake2b(said.encode(), digest_size=12).hexdigest()}"


GA4: Final = LogFormat(
    "ga4",
    "an export of Google Analytics 4",
    "event_name is the type, event_timestamp the time, user_id or user_pseudo_id the user, "
    "user_pseudo_id.ga_session_id the session, each of items an event with its item_id as the item",
    _is_of,
    _opened,
)
