"""items_openapi.py: the fields of an item -> the OpenAPI description of POST /items."""

from typing import Any, Final

from indexes.items.prices import MAX_PRICE
from indexes.items.records import MAX_TEXT, MAX_TITLE
from indexes.names import MAX_NAME
from reranker.events.settings import EventSettings

Schema = dict[str, Any]
_TEXT: Final[Schema] = {"type": ["string", "null"], "maxLength": MAX_TEXT}


def sent_item() -> Schema:
    """A partial item: fields that are not there stay; a null empties its field."""
    return {
        "type": "object",
        "description": "An item, or what changes of it. A new one needs a title. Columns of the "
        "catalogue beside these may be sent, too.",
        "required": ["id"],
        "minProperties": 2,
        "properties": {
            "id": {"type": ["string", "integer"], "minLength": 1, "maxLength": MAX_NAME},
            "title": {"type": "string", "minLength": 1, "maxLength": MAX_TITLE},
            "description": _TEXT,
            "brand": _TEXT,
            "category": _TEXT | {"description": "`A > B > C`."},
            "price": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_PRICE},
            "image": _TEXT,
            "attributes": {
                "type": ["object", "null"],
                "description": "All of them: those that are not sent are gone.",
            },
            "updated": {"type": ["string", "number", "null"], "description": "ISO 8601 or epoch."},
            "available": {"type": ["boolean", "null"]},
            "removed": {
                "type": ["boolean", "null"],
                "description": "true takes the item away; false, or a title, brings it back.",
            },
        },
    }


def items_body(settings: EventSettings) -> Schema:
    """The body: one item, an array, or lines."""
    item = {"$ref": "#/components/schemas/SentItem"}
    items = {"type": "array", "items": item, "maxItems": settings.request_events}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [item, items]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
