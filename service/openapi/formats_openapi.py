"""formats_openapi.py: the formats -> what the OpenAPI document says of their routes."""

from typing import Any, Final

import msgspec

from service.access.sites import OPEN
from service.formats.cohere import CohereAnswer, CohereError, CohereRequest
from service.formats.format_routes import VersionOneError
from service.formats.infinity import InfinityAnswer, InfinityError, InfinityRequest
from service.formats.jina import JinaAnswer, JinaError
from service.formats.metarank.feedback import FeedbackAnswer
from service.formats.metarank.rank import MetarankAnswer, MetarankRequest
from service.formats.metarank.recommend import MetarankRecommendations, MetarankWanted
from service.formats.tei import TeiError, TeiInfo, TeiRequest, TeiResult
from service.formats.voyage import VoyageAnswer, VoyageRequest
from service.http.answers import ErrorAnswer
from service.http.settings import LimitSettings
from service.openapi.openapi import MoreRoutes, Others, Ready, Schema, guarded

_DOCUMENT: Final[Schema] = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "object"}],
    "description": "An item's id, a text, or an object with `id`, `text` or both.",
}
_WRONG: Final = "The request cannot be read, or a field has a value that it cannot have."
_STATUSES: Final = {
    400: _WRONG,
    413: "The body is too large, packed or unpacked.",
    415: "The Content-Encoding is neither gzip nor identity.",
    422: _WRONG,
    404: "There is no blend of this name.",
    501: "This is not served in this format.",
    500: "The service failed; its log has the reason.",
    503: "The service is busy or cannot do it now.",
}
_ALWAYS: Final = (400, 413, 415, 422, 500, 503)
_KINDS: Final = (
    *(CohereRequest, CohereAnswer, CohereError, VersionOneError),
    *(JinaAnswer, JinaError, VoyageRequest, VoyageAnswer),
    *(TeiRequest, TeiResult, TeiError, TeiInfo),
    *(MetarankRequest, MetarankAnswer, FeedbackAnswer),
    *(MetarankWanted, MetarankRecommendations),
    *(InfinityRequest, InfinityAnswer, InfinityError),
)


def described(limits: LimitSettings) -> MoreRoutes:
    """The routes of other formats."""
    listed: Schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": limits.candidates,
        "items": _DOCUMENT,
    }
    documents = {"documents": listed}
    return MoreRoutes(
        kinds=_KINDS,
        schemas={
            "TeiRequest": {"texts": listed},
            **{kind: documents for kind in ("CohereRequest", "VoyageRequest", "InfinityRequest")},
        },
        others={
            "/rerank": Others(
                asked=("TeiRequest", "InfinityRequest"),
                answers=("InfinityAnswer",),
                lists=("TeiResult",),
                errors=("TeiError", "InfinityError"),
            )
        },
        paths={
            "/rank/{model}": _of_model(
                _post(
                    "/rank/<model>",
                    "Re-rank as Metarank does, by the blend of this name.",
                    [MetarankRequest],
                    [MetarankAnswer],
                    [ErrorAnswer],
                ),
                404,
            ),
            "/feedback": _feedback(),
            "/recommend/{model}": _of_model(
                _post(
                    "/recommend/<model>",
                    "Recommend as Metarank does, by the blend of this name.",
                    [MetarankWanted],
                    [MetarankRecommendations],
                    [ErrorAnswer],
                ),
                404,
            ),
            "/train/{model}": _of_model(_not_yet("/train/<model>"), 501),
            "/info": _get("/info", "What answers, as TEI says it.", TeiInfo),
            "/health": _get("/health", "Can it re-rank? As TEI says it.", Ready, TeiError),
            "/v2/rerank": _post(
                "/v2/rerank",
                "Re-rank as Cohere's second version does.",
                [CohereRequest],
                [CohereAnswer],
                [CohereError],
            ),
            "/v1/rerank": _post(
                "/v1/rerank",
                "Re-rank as Cohere's first version, Jina or Voyage do, told apart by their keys.",
                [CohereRequest, VoyageRequest],
                [CohereAnswer, JinaAnswer, VoyageAnswer],
                [CohereError, JinaError, VersionOneError],
            ),
            "/jina/v1/rerank": _post(
                "/jina/v1/rerank",
                "Re-rank as Jina does.",
                [CohereRequest],
                [JinaAnswer],
                [JinaError],
            ),
            "/voyage/v1/rerank": _post(
                "/voyage/v1/rerank",
                "Re-rank as Voyage does.",
                [VoyageRequest],
                [VoyageAnswer],
                [JinaError],
            ),
        },
    )


Kinds = list[type[msgspec.Struct]]


def _post(path: str, summary: str, asked: Kinds, answers: Kinds, errors: Kinds) -> Schema:
    responses: dict[str, Any] = {"200": {"description": "Answered.", "content": _any_of(answers)}}
    for status in _ALWAYS:
        responses[str(status)] = {"description": _STATUSES[status], "content": _any_of(errors)}
    operation = {
        "summary": summary,
        "requestBody": {"required": True, "content": _any_of(asked)},
        "responses": responses,
    }
    return {"post": guarded(operation, path)}


def _of_model(path: Schema, *statuses: int) -> Schema:
    operation = path["post"]
    operation["parameters"] = [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    for status in statuses:
        operation["responses"][str(status)] = {
            "description": _STATUSES[status],
            "content": _any_of([ErrorAnswer]),
        }
    return path


def _feedback() -> Schema:
    path = _post(
        "/feedback",
        "Keep events as Metarank has them.",
        [MetarankRequest],
        [FeedbackAnswer],
        [ErrorAnswer],
    )
    path["post"]["requestBody"]["content"] = {"application/json": {"schema": {}}}
    return path


def _not_yet(path: str) -> Schema:
    failed = {"description": _STATUSES[500], "content": _any_of([ErrorAnswer])}
    return {"post": guarded({"summary": "Not served yet.", "responses": {"500": failed}}, path)}


def _get(
    path: str, summary: str, answer: type[msgspec.Struct], *errors: type[msgspec.Struct]
) -> Schema:
    statuses = (500, 503) if errors else (500,)
    failed = {"content": _any_of([*errors] or [ErrorAnswer])}
    responses: dict[str, Any] = {
        "200": {"description": "Answered.", "content": _any_of([answer])},
        **{str(status): {"description": _STATUSES[status], **failed} for status in statuses},
    }
    operation = {"summary": summary, "responses": responses}
    return {"get": operation if path in OPEN else guarded(operation, path)}


def _any_of(kinds: Kinds) -> Schema:
    refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
