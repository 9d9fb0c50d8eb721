"""events_openapi.py: the fields of an event -> the OpenAPI description of POST /events."""

from typing import Any, Final

from indexes.names import MAX_NAME
from reranker.events.cleaning import MAX_AMOUNT, MAX_QUERY
from reranker.events.events import SEARCH
from reranker.events.settings import EventSettings

Schema = dict[str, Any]
_PRINTED: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_NOT_BLANK: Final = r"[^\s\u0000-\u001f\u007f-\u009f]"
_NAME: Final[Schema] = {
    "type": ["string", "integer", "null"],
    "maxLength": MAX_NAME,
    "pattern": _PRINTED,
}
_DAY: Final = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
_ZONE: Final = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
_TIME: Final = f"^({_DAY}([T ]{_CLOCK}{_ZONE})?|[0-9]{{8,19}}([.][0-9]+)?)$"


def sent_event(settings: EventSettings) -> Schema:
    """One event as a shop sends it. What a schema cannot say is found out by sending it."""
    return {
        "type": "object",
        "description": "One thing that a shopper did: a user or a session, an item or a query.",
        "required": ["type", "time"],
        "allOf": [
            {
                "anyOf": [
                    _given("user", "string", "integer"),
                    _given("session", "string", "integer"),
                ]
            },
            {"anyOf": [_given("item", "string", "integer"), _given("query", "string")]},
            {
                "if": {"properties": {"type": {"const": SEARCH}}},
                "then": _given("query", "string"),
            },
        ],
        "additionalProperties": False,
        "properties": {
            "user": _NAME,
            "session": _NAME | {"description": "Of a visit; its events become its user's."},
            "type": {"type": "string", "enum": sorted({*settings.weights(), *settings.words()})},
            "item": _NAME,
            "query": {"type": ["string", "null"], "maxLength": MAX_QUERY},
            "time": {
                "type": ["string", "number"],
                "description": "ISO 8601 with a zone, or epoch s, ms, us or ns, told apart by "
                "size. From times.earliest to times.future_minutes ahead of the clock.",
                "pattern": _TIME,
                "exclusiveMinimum": 0,
            },
            "price": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_AMOUNT},
            "quantity": {
                "type": ["number", "null"],
                "description": "Above 0; that of a cancel may be written below 0.",
                "minimum": -MAX_AMOUNT,
                "maximum": MAX_AMOUNT,
                "not": {"const": 0},
            },
            "id": _NAME
            | {
                "description": "Tells a shopper's events apart: the same id and content again "
                "counts once. The same id with other content is kept and counted in `conflicts`."
            },
            "personalize": {
                "type": ["boolean", "null"],
                "description": "false: the shopper does not agree; the event is not kept.",
            },
            "ranking": _NAME | {"description": "The id of the answer of /rerank it followed."},
            "position": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1},
        },
    }


def _given(field: str, *types: str) -> Schema:
    """That the field is there and not blank."""
    value: Schema = {"type": list(types), "pattern": _NOT_BLANK}
    return {"required": [field], "properties": {field: value}}


def events_body(settings: EventSettings) -> Schema:
    """The body: one event, an array, or lines."""
    event = {"$ref": "#/components/schemas/SentEvent"}
    events = {"type": "array", "items": event, "maxItems": settings.request_events}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [event, events]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
