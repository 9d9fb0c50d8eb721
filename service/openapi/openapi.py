"""openapi.py: the structs that requests are decoded into -> the OpenAPI 3.1 document."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response

from indexes.names import MAX_NAME
from indexes.release import VERSION
from reranker.applications.carts.cart_answers import WEIGHED
from reranker.applications.churn.churn import MAX_DAYS, ChurnAnswer
from reranker.blends.gate import Weight
from reranker.events.settings import EventSettings
from reranker.log_formats.column_maps import MAP_PATTERN
from reranker.log_formats.formats import NAMES
from reranker.privacy.forget import ForgetProof
from reranker.ranking.ranking import BlendName
from reranker.signals.registry import SIGNALS
from service.access.guard import NEEDS
from service.api.cart import CartAnswer, CartRequest
from service.api.events import EventsAnswer
from service.api.items import ItemsAnswer
from service.api.next_action import NextActionAnswer
from service.api.recommend import RecommendAnswer, RecommendRequest
from service.api.rerank import PAGE, RankingPage, RerankAnswer
from service.api.sent import NextActionRequest, SentRequest
from service.api.users import ExportAnswer, UnprovedAnswer
from service.http.answers import ErrorAnswer, json_answer
from service.http.received import TIMEOUT_HEADER
from service.http.settings import LimitSettings
from service.openapi.events_openapi import events_body, sent_event
from service.openapi.items_openapi import items_body, sent_item
from service.openapi.recommend_openapi import recommend_paths, write_recommend_limits

Schema = dict[str, Any]
_REF = "#/components/schemas/{name}"
_TIME = r"^(\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:\d{2})?)?|\d{8,19})?$"
_BODY = (400, 413, 415, 422)  # what may be wrong with a body


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(msgspec.Struct, frozen=True):
    """The service re-ranked some of its own items just now."""

    status: str
    versions: dict[str, str | None]
    blend: BlendName
    items: int


class Others(NamedTuple):
    """What else an operation of ours takes and answers: names of schemas. lists: as arrays."""

    asked: tuple[str, ...]
    answers: tuple[str, ...]
    lists: tuple[str, ...]
    errors: tuple[str, ...]


class MoreRoutes(NamedTuple):
    """Routes of rooms above. kinds: what they read and answer; paths: their operations; schemas:
    properties to write over; others: formats that share the address of one of our operations."""

    kinds: tuple[type[msgspec.Struct], ...] = ()
    paths: Mapping[str, Schema] = {}
    schemas: Mapping[str, Schema] = {}
    others: Mapping[str, Others] = {}


def openapi_routes(limits: LimitSettings, events: EventSettings, more: MoreRoutes) -> Blueprint:
    """The description that client generators and fuzzers read."""
    routes = Blueprint("openapi", __name__)
    document = openapi_document(limits, events, more)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return json_answer(document)

    return routes


def openapi_document(limits: LimitSettings, events: EventSettings, more: MoreRoutes) -> Schema:
    """The whole document, with the limits that this service was set to."""
    kinds = (
        *(SentRequest, RerankAnswer, NextActionRequest, NextActionAnswer),
        *(RecommendRequest, RecommendAnswer),
        *(CartRequest, CartAnswer),
        *(EventsAnswer, ErrorAnswer, Alive, Ready, ChurnAnswer),
        *more.kinds,
        *(ItemsAnswer, ExportAnswer, ForgetProof, UnprovedAnswer, RankingPage),
    )
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas["RerankRequest"] = schemas.pop("SentRequest")
    _write_limits(schemas, limits)
    schemas["SentEvent"] = sent_event(events)
    for name, properties in more.schemas.items():
        schemas[name]["properties"] |= properties
    schemas["SentItem"] = sent_item()
    schemas |= _batch_schemas(limits)
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "reranker",
            "version": VERSION,
            "description": "Puts the results of a shop's own search engine in a better order.",
        },
        "paths": {
            "/rerank": {"post": guarded(_rerank_operation(), "/rerank")},
            "/events": {"post": guarded(_events_operation(events), "/events")},
            "/items": {"post": guarded(_items_operation(events), "/items")},
            "/next-action": {"post": guarded(_next_action_operation(), "/next-action")},
            "/cart": {"post": guarded(_cart_operation(), "/cart")},
            "/users/{user}/churn": {"get": guarded(_churn_operation(), "/users/<user>/churn")},
            **{path: _with_key(path, item) for path, item in recommend_paths().items()},
            **more.paths,
            "/rankings/{ranking}": {"get": guarded(_page_operation(), "/rankings/<ranking>")},
            "/rerank/batch": {"post": guarded(_batch_operation(), "/rerank/batch")},
            "/users/{user}": _users_operations(),
            "/livez": {"get": _operation("Is the process alive?", "Alive")},
            "/readyz": {"get": _operation("Can it re-rank? It tries.", "Ready", 503)},
            "/metrics": {
                "get": guarded(
                    _plain("Prometheus metrics.", "text/plain", {"type": "string"}), "/metrics"
                )
            },
            "/openapi.json": {
                "get": guarded(
                    _plain("This document.", "application/json", {"type": "object"}),
                    "/openapi.json",
                )
            },
        },
        "components": {"schemas": schemas, "securitySchemes": _SCHEMES},
    }
    for path, others in more.others.items():
        _take_others(document["paths"][path]["post"], others)
    return document


def _with_key(path: str, item: Schema) -> Schema:
    """Operations of one path, each with what it may answer beside 200."""
    rule = path.replace("{item}", "<path:item>")
    for operation in item.values():
        statuses = [int(status) for status in operation.pop("errors")]
        described = _operation(operation["summary"], operation.pop("answer"), *statuses)
        operation["responses"] = described["responses"]
        guarded(operation, rule)
    return item


def _take_others(operation: Schema, others: Others) -> None:
    lists = [{"type": "array", "items": {"$ref": _REF.format(name=name)}} for name in others.lists]
    _widen(operation["requestBody"], others.asked)
    for status, answer in operation["responses"].items():
        if status == "200":
            _widen(answer, others.answers, lists)
        else:
            _widen(answer, others.errors)


def _widen(part: Schema, names: Iterable[str], more: Iterable[Schema] = ()) -> None:
    """Besides what is described, one of these."""
    content = part["content"]["application/json"]
    refs = [{"$ref": _REF.format(name=name)} for name in names]
    part["content"] = {"application/json": {"schema": {"anyOf": [content["schema"], *refs, *more]}}}


def guarded(operation: Schema, path: str) -> Schema:
    """Which key it takes: none on loopback as long as the home has none. path: as Flask has it."""
    scope = NEEDS[path]
    operation["security"] = [{"bearer": []}, {"header": []}, {}]
    operation["description"] = (
        f"Takes a key with the scope `{scope}` or `admin`" if scope else "Takes any key"
    ) + ", or none where none is configured."
    if "requestBody" in operation:
        operation["description"] += " The body may be gzipped (Content-Encoding: gzip)."
    for status in (401, 403, 421, 429):
        if status != 403 or scope:
            answer = {"description": _ERRORS[status], "content": _json("ErrorAnswer")}
            operation["responses"][str(status)] = answer
    operation["responses"]["429"]["headers"] = {
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    }
    operation["responses"]["401"]["headers"] = {
        "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}
    }
    return operation


_SCHEMES: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `reranker keys`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}


def _rerank_operation() -> Schema:
    operation = _operation("Re-rank candidates.", "RerankAnswer", *_BODY, 503)
    operation["requestBody"] = {"required": True, "content": _json("RerankRequest")}
    operation["parameters"] = [
        {
            "name": TIMEOUT_HEADER,
            "in": "header",
            "description": "Milliseconds that the caller waits; the answer comes before.",
            "schema": {"type": "string"},
        }
    ]
    return operation


def _items_operation(events: EventSettings) -> Schema:
    operation = _operation("Change items of the catalogue.", "ItemsAnswer", *_BODY, 503, 507)
    operation["requestBody"] = items_body(events)
    return operation


def _page_operation() -> Schema:
    operation = _operation("A page of a ranking that top_n cut.", "RankingPage", 404, 422)
    place = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    operation["parameters"] = [
        {"name": "ranking", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "from", "in": "query", "schema": place | {"default": 0}},
        {"name": "top_n", "in": "query", "schema": place | {"default": PAGE}},
    ]
    return operation


def _batch_operation() -> Schema:
    operation = _operation("Re-rank many lists of candidates.", "BatchAnswer", *_BODY, 503)
    operation["requestBody"] = {"required": True, "content": _json("BatchRequest")}
    return operation


def _batch_schemas(limits: LimitSettings) -> dict[str, Schema]:
    """What is read by itself, request by request, is not in the types of the structs."""
    names = ("RerankRequest", "RerankAnswer", "ErrorAnswer")
    asked, answer, error = ({"$ref": _REF.format(name=name)} for name in names)
    requests = {"type": "array", "items": asked, "maxItems": limits.batch}
    answers = {"type": "array", "items": {"anyOf": [answer, error]}}
    return {
        "BatchRequest": _object("requests", requests) | {"additionalProperties": False},
        "BatchAnswer": _object("answers", answers),
    }


def _object(field: str, schema: Schema) -> Schema:
    return {"type": "object", "required": [field], "properties": {field: schema}}


def _users_operations() -> Schema:
    export = _operation("All that is kept of a shopper.", "ExportAnswer", 404, 422, 503)
    erase = _operation("Erase a shopper, with proof.", "ForgetProof", 404, 422, 503)
    erase["responses"]["409"] = {"description": _ERRORS[409], "content": _json("UnprovedAnswer")}
    path = "/users/<path:user>"
    return {
        "parameters": [
            {
                "name": "user",
                "in": "path",
                "required": True,
                "description": "The id, quoted as addresses need it.",
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
            },
            {
                "name": "session",
                "in": "query",
                "description": "Whether the id is an anonymous session's.",
                "schema": {"type": "boolean"},
            },
        ],
        "get": guarded(export, path),
        "delete": guarded(erase, path),
    }


def _events_operation(events: EventSettings) -> Schema:
    operation = _operation("Keep what shoppers did.", "EventsAnswer", *_BODY, 503)
    operation["requestBody"] = events_body(events)
    operation["parameters"] = [
        {
            "name": "format",
            "in": "query",
            "description": "Whose log the body is of; without it the first object tells.",
            "schema": {"type": "string", "enum": list(NAMES)},
        },
        {
            "name": "map",
            "in": "query",
            "description": "Which column is which field, such as user=customer_id,item=sku.",
            "schema": {"type": "array", "items": {"type": "string", "pattern": MAP_PATTERN}},
        },
    ]
    return operation


def _next_action_operation() -> Schema:
    operation = _operation(
        "What does this shopper do next in the visit?", "NextActionAnswer", *_BODY
    )
    operation["requestBody"] = {"required": True, "content": _json("NextActionRequest")}
    return operation


def _cart_operation() -> Schema:
    operation = _operation(
        "What completes this cart, what is bought next, and is it ordered?", "CartAnswer", *_BODY
    )
    operation["requestBody"] = {"required": True, "content": _json("CartRequest")}
    return operation


def _churn_operation() -> Schema:
    operation = _operation(
        "How likely does this user buy nothing in the next days, and why?", "ChurnAnswer", 422
    )
    name = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
    days = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_DAYS, "default": 30}
    operation["parameters"] = [
        {"name": "user", "in": "path", "required": True, "schema": name},
        {"name": "days", "in": "query", "description": "The horizon.", "schema": days},
        {
            "name": "as_of",
            "in": "query",
            "description": "Now; default right after the newest stored event.",
            "schema": {"type": "string", "pattern": _TIME},
        },
    ]
    return operation


def _operation(summary: str, answer: str, *errors: int) -> Schema:
    answers = {"200": {"description": "Answered.", "content": _json(answer)}}
    for status in (*errors, 500):
        answers[str(status)] = {"description": _ERRORS[status], "content": _json("ErrorAnswer")}
    return {"summary": summary, "responses": answers}


def _plain(summary: str, content_type: str, schema: Schema) -> Schema:
    operation = _operation(summary, "ErrorAnswer")
    content = {content_type: {"schema": schema}}
    operation["responses"]["200"] = {"description": "Answered.", "content": content}
    return operation


def _json(name: str) -> Schema:
    return {"application/json": {"schema": {"$ref": _REF.format(name=name)}}}


_ERRORS = {
    400: "The body is not JSON, or nested too deeply.",
    401: "No key, or one that is not valid.",
    403: "The key lacks the scope; or another site made a browser send it (serve.origins).",
    404: "Nothing is kept under this id, or the index holds no such item.",
    409: "It is deleted, but not everything could be verified; the proof says what.",
    413: "The body is too large, packed or unpacked.",
    415: "The Content-Encoding is neither gzip nor identity.",
    421: "Asked by a name that this service does not answer to (serve.hosts).",
    422: "A field has a value that it cannot have; `field` says which.",
    429: "The key asks more often than it may; Retry-After says when it may again.",
    500: "The service failed; its log has the reason.",
    503: "The service cannot do it now; the message says why.",
    507: "Too many items wait with changes (items.changed_items); `reranker rebuild` clears them.",
}


def _write_limits(schemas: dict[str, Schema], limits: LimitSettings) -> None:
    """What is checked beyond the types of the structs."""
    asked = schemas["RerankRequest"]["properties"]
    about = schemas["NextActionRequest"]["properties"]
    cart = schemas["CartRequest"]["properties"]
    wish = schemas["RecommendRequest"]["properties"]
    event = schemas["PastEvent"]["properties"]
    write_recommend_limits(schemas, limits)
    asked["candidates"] |= {"maxItems": limits.candidates, "uniqueItems": True}
    asked["query"]["description"] = f"Cut to {limits.query_chars:,} characters."
    candidate = schemas["SentCandidate"]["properties"]
    candidate["text"]["description"] = f"Cut to {limits.text_chars:,} characters."
    _arm(candidate["id"], "string").update(minLength=1, maxLength=MAX_NAME)
    for request in (asked, wish):
        _arm(request["weights"], "object").update(
            propertyNames={"enum": list(SIGNALS)},
            additionalProperties={"anyOf": [msgspec.json.schema(Weight), {"type": "null"}]},
        )
        _arm(request["blend"], "string")["maxLength"] = MAX_NAME
    _arm(cart["cart"], "array")["maxItems"] = limits.candidates
    _arm(schemas["SentLine"]["properties"]["item"], "string").update(
        minLength=1, maxLength=MAX_NAME
    )
    _arm(cart["weights"], "object")["propertyNames"] = {"enum": list(WEIGHED)}
    for request in (asked, about, cart, wish):
        _arm(request["history"], "array")["maxItems"] = limits.history
        for field in ("user", "session"):
            _arm(request[field], "string")["maxLength"] = MAX_NAME
    _arm(event["query"], "string")["maxLength"] = limits.query_chars
    event["type"]["maxLength"] = MAX_NAME
    for field in ("item", "id", "user", "session", "ranking"):
        _arm(event[field], "string")["maxLength"] = MAX_NAME
    for schema in (asked["time"], about["time"], cart["time"], event["time"], wish["as_of"]):
        _arm(schema, "string")["pattern"] = _TIME


def _arm(schema: Schema, kind: str) -> Schema:
    """The part of an optional field's schema that describes a value that is there."""
    arm: Schema = next(part for part in schema["anyOf"] if part["type"] == kind)
    return arm
