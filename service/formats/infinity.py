"""infinity.py: `POST /rerank` of infinity <-> a ranking: `documents` in, Cohere's results out.

https://michaelfeil.eu/infinity. vLLM and llama.cpp answer the same keys.
"""

import time
from typing import Final

import msgspec

from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.api.sent import Name
from service.formats.cohere import Top
from service.formats.foreign import Foreign, Format, Pair, query_of, read_documents
from service.formats.jina import JinaUsage
from service.formats.scores import falling, falling_raw
from service.http.answers import ErrorDetail


class InfinityRequest(msgspec.Struct, frozen=True):
    """What is asked; keys that are not listed here are passed over."""

    query: Name
    documents: list[msgspec.Raw]
    model: str | None = None
    top_n: Top | None = None
    raw_scores: bool | None = None
    return_documents: bool | None = None


class InfinityResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document in its new place."""

    relevance_score: float
    index: int
    document: str | None = None


class InfinityAnswer(msgspec.Struct, frozen=True):
    """What is answered. created: epoch seconds."""

    results: list[InfinityResult]
    model: str
    usage: JinaUsage
    id: str
    created: int
    object: str = "rerank"


class InfinityDetail(msgspec.Struct, frozen=True):
    """What went wrong; param: the field."""

    message: str
    type: str
    param: str | None
    code: int


class InfinityError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    error: InfinityDetail


_decoder: Final = msgspec.json.Decoder(InfinityRequest)


def _read(body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    documents = read_documents(sent.documents, "documents")
    return Foreign(query_of(sent.query), documents, sent, top_n=sent.top_n, model=sent.model)


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> InfinityAnswer:
    sent: InfinityRequest = foreign.sent
    numbers = (falling_raw if sent.raw_scores else falling)([pair.score for pair in pairs])
    documents = foreign.documents
    results = [
        InfinityResult(
            number,
            pair.place,
            documents[pair.place].text or documents[pair.place].name
            if sent.return_documents
            else None,
        )
        for pair, number in zip(pairs, numbers, strict=True)
    ]
    return InfinityAnswer(
        results,
        sent.model or answer.blend.name,
        JinaUsage(),
        f"infinity-{answer.id}",
        int(time.time()),
    )


def _error(status: int, detail: ErrorDetail) -> tuple[int, InfinityError]:
    return status, InfinityError(InfinityDetail(detail.message, detail.code, detail.field, status))


INFINITY: Final = Format("infinity", _read, _write, _error)
