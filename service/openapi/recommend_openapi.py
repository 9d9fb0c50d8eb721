"""recommend_openapi.py: what the routes of recommendations take -> their part of OpenAPI."""

from typing import Any, get_args

from indexes.names import MAX_NAME
from reranker.applications.recommendations.item_lists import By
from reranker.applications.recommendations.trending import HALF_LIFE_DAYS, WINDOW_DAYS
from reranker.applications.recommendations.wishes import TOP_N
from service.api.recommend import LONGEST_DAYS, MOST_N
from service.http.received import TIMEOUT_HEADER
from service.http.settings import LimitSettings

Schema = dict[str, Any]
_TOP_N: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_N, "default": TOP_N}
_REFUSED = (413, 415, 422)


def recommend_paths() -> Schema:
    """Path -> method -> operation, without answers: `answer` and `errors` say which."""
    ref = {"$ref": "#/components/schemas/RecommendRequest"}
    return {
        "/recommend": {
            "post": {
                "summary": "Recommend items to a shopper, or on a page.",
                "answer": "RecommendAnswer",
                "errors": (400, *_REFUSED, 503),
                "requestBody": {"required": True, "content": {"application/json": {"schema": ref}}},
                "parameters": [
                    {
                        "name": TIMEOUT_HEADER,
                        "in": "header",
                        "description": "Milliseconds that the caller waits; the answer comes "
                        "before.",
                        "schema": {"type": "string"},
                    }
                ],
            }
        },
        "/items/{item}/similar": {
            "get": {
                "summary": "Items like this one, by text, by who met both, by look, or by all.",
                "answer": "RecommendAnswer",
                "errors": (404, 422),
                "parameters": [
                    {
                        "name": "item",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
                    },
                    _query("top_n", _TOP_N),
                    _query(
                        "by",
                        {
                            "type": "string",
                            "enum": list(get_args(By)),
                            "default": "both",
                        },
                    ),
                ],
            }
        },
        "/trending": {
            "get": {
                "summary": "What shoppers take up now.",
                "answer": "RecommendAnswer",
                "errors": (422,),
                "parameters": [
                    _query("top_n", _TOP_N),
                    _query("window_days", _days(WINDOW_DAYS)),
                    _query("half_life_days", _days(HALF_LIFE_DAYS)),
                    _query("category", {"type": "string"}),
                    _query("as_of", {"type": "string", "format": "date-time"}),
                ],
            }
        },
    }


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _days(default: float) -> Schema:
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": LONGEST_DAYS,
        "default": default,
    }


def write_recommend_limits(schemas: dict[str, Schema], limits: LimitSettings) -> None:
    """What is checked beyond the types of the structs."""
    context = schemas["SentContext"]["properties"]
    exclude = schemas["SentExclude"]["properties"]
    for lists in (context["cart"], exclude["items"]):
        _arm(lists, "array")["maxItems"] = limits.candidates
    _arm(context["item"], "string")["maxLength"] = MAX_NAME
    context["query"]["description"] = f"Cut to {limits.query_chars:,} characters."


def _arm(schema: Schema, kind: str) -> Schema:
    arm: Schema = next(part for part in schema["anyOf"] if part["type"] == kind)
    return arm
