"""cohere.py: Cohere's `POST /v2/rerank` and `/v1/rerank` <-> a ranking.

https://docs.cohere.com/reference/rerank: `results` with `index` and `relevance_score`, and, in
version 1, `document` where `return_documents` asks for it. Its errors are {"message"} with 400.
"""

from functools import partial
from typing import Annotated, Any, Final

import msgspec

from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.api.sent import Name
from service.formats.documents import Document
from service.formats.foreign import (
    BAD_REQUEST,
    UNPROCESSABLE,
    Foreign,
    Format,
    Pair,
    query_of,
    read_documents,
    warnings_of,
)
from service.formats.scores import falling
from service.http.answers import ErrorDetail

Top = Annotated[int, msgspec.Meta(ge=1)]


class CohereRequest(msgspec.Struct, frozen=True):
    """A request of either version; keys that are not listed here are passed over."""

    query: Name
    documents: list[msgspec.Raw]
    model: str | None = None
    top_n: Top | None = None
    rank_fields: list[str] | None = None
    return_documents: bool | None = None


class CohereResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document in its new place."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class CohereApiVersion(msgspec.Struct, frozen=True):
    """Which version of the format answered."""

    version: str


class CohereMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """About the answer. warnings: what could not be done."""

    api_version: CohereApiVersion
    warnings: list[str] = []


class CohereUsage(msgspec.Struct, frozen=True):
    """No tokens are counted here; clients of version 1 that come from Jina expect the key."""

    total_tokens: int = 0


class CohereAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What both versions answer; model and usage in version 1 alone."""

    id: str
    results: list[CohereResult]
    meta: CohereMeta
    model: str | None = None
    usage: CohereUsage | None = None


class CohereError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    message: str


_decoder: Final = msgspec.json.Decoder(CohereRequest)


def _read(body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    documents = read_documents(sent.documents, "documents", sent.rank_fields)
    return Foreign(query_of(sent.query), documents, sent, top_n=sent.top_n, model=sent.model)


def _write(
    foreign: Foreign, answer: RerankAnswer, pairs: list[Pair], *, version: str
) -> CohereAnswer:
    sent: CohereRequest = foreign.sent
    first = version == "1"
    numbers = falling([pair.score for pair in pairs])
    echo = first and sent.return_documents is True
    results = [
        CohereResult(
            pair.place, number, document_of(foreign.documents[pair.place]) if echo else None
        )
        for pair, number in zip(pairs, numbers, strict=True)
    ]
    meta = CohereMeta(CohereApiVersion(version), warnings_of(answer))
    if not first:
        return CohereAnswer(answer.id, results, meta)
    return CohereAnswer(answer.id, results, meta, sent.model or answer.blend.name, CohereUsage())


def document_of(document: Document) -> dict[str, Any]:
    """A document as it was sent, with its text as `text`."""
    text = document.text or document.name
    return {"text": text} | document.sent if isinstance(document.sent, dict) else {"text": text}


def cohere_error(status: int, detail: ErrorDetail) -> tuple[int, CohereError]:
    """Cohere says 400 to what we say 422 to."""
    wrong = status in (BAD_REQUEST, UNPROCESSABLE)
    message = f"invalid request: {detail.message}" if wrong else detail.message
    return BAD_REQUEST if wrong else status, CohereError(message)


COHERE_V1: Final = Format("cohere v1", _read, partial(_write, version="1"), cohere_error)
COHERE_V2: Final = Format("cohere v2", _read, partial(_write, version="2"), cohere_error)
