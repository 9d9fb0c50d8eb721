"""events_openapi.py: the fields of an event -> the OpenAPI description of POST /events."""

from typing import Any

from reranker.event_cleaning import MAX_AMOUNT, MAX_NAME, MAX_QUERY
from reranker.events import EventSettings

Schema = dict[str, Any]
_NAME: Schema = {"type": ["string", "integer", "null"], "maxLength": MAX_NAME}


def sent_event(settings: EventSettings) -> Schema:
    """One event as a shop sends it."""
    return {
        "type": "object",
        "description": "One thing that a shopper did: a user or a session, an item or a query.",
        "required": ["type", "time"],
        "additionalProperties": False,
        "properties": {
            "user": _NAME,
            "session": _NAME | {"description": "Of a visit; its events become its user's."},
            "type": {"type": "string", "enum": sorted(settings.weights())},
            "item": _NAME,
            "query": {"type": ["string", "null"], "maxLength": MAX_QUERY},
            "time": {
                "type": ["string", "number"],
                "description": "ISO 8601 with a zone, or epoch seconds.",
            },
            "price": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_AMOUNT},
            "quantity": {"type": ["number", "null"], "maximum": MAX_AMOUNT},
            "id": _NAME | {"description": "An event that comes again with its id counts once."},
            "ranking": _NAME | {"description": "The id of the answer of /rerank it followed."},
            "position": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1},
        },
    }


def events_body(settings: EventSettings) -> Schema:
    """The body: one event, an array, or lines."""
    one = {"$ref": "#/components/schemas/SentEvent"}
    many = {"type": "array", "items": one, "maxItems": settings.request_events}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [one, many]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
