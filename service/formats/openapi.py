"""openapi.py: the formats -> what the OpenAPI document says of their routes."""

from typing import Any, Final

import msgspec

from service.api.openapi import MoreRoutes, Schema, guarded
from service.formats.cohere import CohereAnswer, CohereError, CohereRequest
from service.formats.jina import JinaAnswer, JinaError
from service.formats.voyage import VoyageAnswer, VoyageRequest
from service.http.settings import LimitSettings

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
    500: "The service failed; its log has the reason.",
    503: "The service is busy or cannot do it now.",
}
_KINDS: Final = (
    *(CohereRequest, CohereAnswer, CohereError),
    *(JinaAnswer, JinaError, VoyageRequest, VoyageAnswer),
)


def described(limits: LimitSettings) -> MoreRoutes:
    """The routes of other formats."""
    documents = {
        "documents": {
            "type": "array",
            "minItems": 1,
            "maxItems": limits.candidates,
            "items": _DOCUMENT,
        }
    }
    return MoreRoutes(
        kinds=_KINDS,
        schemas={kind.__name__: documents for kind in (CohereRequest, VoyageRequest)},
        paths={
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
                [CohereError, JinaError],
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
    for status, description in _STATUSES.items():
        responses[str(status)] = {"description": description, "content": _any_of(errors)}
    operation = {
        "summary": summary,
        "requestBody": {"required": True, "content": _any_of(asked)},
        "responses": responses,
    }
    return {"post": guarded(operation, path)}


def _any_of(kinds: Kinds) -> Schema:
    refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
