"""cohere.py: Cohere's `POST /v2/rerank` and `/v1/rerank` <-> a ranking.

https://docs.cohere.com/reference/rerank: `results` with `index` and `relevance_score`, and, in
version 1, `document` where `return_documents` asks for it. Its errors are {"message"} with 400.
"""

from functools import partial
from typing import Final

import msgspec

from service.api.rerank import RerankAnswer
from service.api.sent import Count
from service.formats.foreign import BAD_REQUEST, UNPROCESSABLE, Foreign, Format, Pair, warnings_of
from service.formats.listed import ListedRequest, ObjectResult, Usage, object_results, read_listed
from service.http.answers import ErrorDetail


class CohereRequest(ListedRequest, frozen=True):
    """A request of either version, or of Jina."""

    top_n: Count | None = None
    rank_fields: list[str] | None = None


class CohereApiVersion(msgspec.Struct, frozen=True):
    """Which version of the format answered."""

    version: str


class CohereMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """About the answer. warnings: what could not be done."""

    api_version: CohereApiVersion
    warnings: list[str] = []


class CohereAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What both versions answer; model and usage in version 1 alone, for clients that come from
    Jina."""

    id: str
    results: list[ObjectResult]
    meta: CohereMeta
    model: str | None = None
    usage: Usage | None = None


class CohereError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    message: str


_decoder: Final = msgspec.json.Decoder(CohereRequest)


def _write(
    foreign: Foreign, answer: RerankAnswer, pairs: list[Pair], *, version: str
) -> CohereAnswer:
    sent: CohereRequest = foreign.sent
    first = version == "1"
    results = object_results(foreign, pairs, echo=first and sent.return_documents is True)
    meta = CohereMeta(CohereApiVersion(version), warnings_of(answer))
    if not first:
        return CohereAnswer(answer.id, results, meta)
    return CohereAnswer(answer.id, results, meta, sent.model or answer.blend.name, Usage())


def cohere_error(status: int, detail: ErrorDetail) -> tuple[int, CohereError]:
    """Cohere says 400 to what we say 422 to."""
    wrong = status in (BAD_REQUEST, UNPROCESSABLE)
    message = f"invalid request: {detail.message}" if wrong else detail.message
    return BAD_REQUEST if wrong else status, CohereError(message)


_read: Final = partial(read_listed, _decoder)
COHERE_V1: Final = Format("cohere v1", _read, partial(_write, version="1"), cohere_error)
COHERE_V2: Final = Format("cohere v2", _read, partial(_write, version="2"), cohere_error)
