"""google_retail.py: user events of Google's Retail API (Vertex AI Search for commerce) -> events.

https://cloud.google.com/retail/docs/user-events. A search's productDetails are what was shown, its
attributionToken is what later events carry: rankings and clicks are joined by it. Both spellings
(eventType, event_type) and the older userInfo and productEventDetail are read.
"""

import hashlib
from typing import Any, Final

from indexes.names import MAX_NAME
from reranker.log_formats.actions import action_type
from reranker.log_formats.translated import Log, LogFormat, Translate, Translated, present
from reranker.log_formats.values import Row, first_of, objects_at

_VISITOR: Final = ("visitorId", "visitor_id", "userInfo.visitorId", "user_info.visitor_id")
_USER: Final = ("userInfo.userId", "user_info.user_id", "userId", "user_id")
_PRODUCTS: Final = (
    *("productDetails", "product_details"),
    *("productEventDetail.productDetails", "product_event_detail.product_details"),
)
_ITEM: Final = ("product.id", "id", "product.name", "productId")
_TOKEN: Final = (
    *("attributionToken", "attribution_token"),
    *("eventDetail.recommendationToken", "event_detail.recommendation_token"),
)


def _is_of(row: Row) -> bool:
    typed = "eventType" in row or "event_type" in row
    return typed and first_of(row, *_VISITOR) is not None


def _opened(log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        name = str(first_of(row, "eventType", "event_type"))
        kind, about = action_type(name, log.own), _about(row)
        products = [
            product
            for path in _PRODUCTS
            for product in objects_at(row, path)
            if first_of(product, *_ITEM) is not None
        ]
        if kind == "search":
            return _search(row, about, products)
        if kind is None or not products:
            return Translated(passed_over=f"event {name[:60]}{'' if kind is None else ' alone'}")
        return Translated([_event(row, about, kind, product) for product in products])

    return translate


def _about(row: Row) -> Row:
    return {
        "time": first_of(row, "eventTime", "event_time"),
        "user": first_of(row, *_USER, *_VISITOR),
        "session": first_of(row, "sessionId", "session_id"),
    }


def _event(row: Row, about: Row, kind: str, product: Row) -> Row:
    price = ("product.priceInfo.price", "product.price_info.price", "displayPrice", "display_price")
    return present(
        about
        | {
            "type": kind,
            "item": _item(product),
            "quantity": first_of(product, "quantity"),
            "price": first_of(product, *price),
            "ranking": _token(row),
        }
    )


def _search(row: Row, about: Row, products: list[Row]) -> Translated:
    query = first_of(row, "searchQuery", "search_query")
    token, shown = _token(row), list(dict.fromkeys(map(_item, products)))
    events = [present(about | {"type": "search", "query": query, "ranking": token})]
    ranking = present(about | {"id": token, "query": query, "items": shown})
    kept = [ranking] if token and shown else []
    return Translated(
        events if query else [],
        kept,
        passed_over=None if query or kept else "searches without a query",
    )


def _item(product: Row) -> Any:
    """An id; of a full resource name its last part."""
    item = first_of(product, *_ITEM)
    return item.rpartition("/")[2] if isinstance(item, str) and "/products/" in item else item


def _token(row: Row) -> str | None:
    """The attribution token, a long one by its hash."""
    token = first_of(row, *_TOKEN)
    if token is None:
        return None
    if len(str(token)) <= MAX_NAME:
        return str(token)
    return hashlib.blake2b(str(token).encode(), digest_size=16).hexdigest()


GOOGLE_RETAIL: Final = LogFormat(
    "google-retail",
    "Google Retail",
    "eventType is the type, eventTime the time, userInfo.userId or visitorId the user, sessionId "
    "the session, searchQuery the query, attributionToken the ranking, each of productDetails an "
    "event with product.id as the item",
    _is_of,
    _opened,
)
