"""voyage.py: Voyage's `POST /v1/rerank` <-> a ranking: `top_k` asks, `data` answers.

https://docs.voyageai.com/reference/reranker-api
"""

from typing import Final

import msgspec

from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.api.sent import Name
from service.formats.cohere import CohereUsage, Top
from service.formats.foreign import Foreign, Format, Pair, query_of, read_documents
from service.formats.jina import JinaError
from service.formats.scores import falling
from service.http.answers import ErrorDetail


class VoyageRequest(msgspec.Struct, frozen=True):
    """What is asked; keys that are not listed here are passed over."""

    query: Name
    documents: list[msgspec.Raw]
    model: str | None = None
    top_k: Top | None = None
    return_documents: bool | None = None


class VoyageResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document in its new place."""

    index: int
    relevance_score: float
    document: str | None = None


class VoyageAnswer(msgspec.Struct, frozen=True):
    """What is answered."""

    data: list[VoyageResult]
    model: str
    usage: CohereUsage
    object: str = "list"


_decoder: Final = msgspec.json.Decoder(VoyageRequest)


def _read(body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    documents = read_documents(sent.documents, "documents")
    return Foreign(query_of(sent.query), documents, sent, top_n=sent.top_k, model=sent.model)


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> VoyageAnswer:
    sent: VoyageRequest = foreign.sent
    numbers = falling([pair.score for pair in pairs])
    documents = foreign.documents
    results = [
        VoyageResult(
            pair.place,
            number,
            documents[pair.place].text or documents[pair.place].name
            if sent.return_documents
            else None,
        )
        for pair, number in zip(pairs, numbers, strict=True)
    ]
    return VoyageAnswer(results, sent.model or answer.blend.name, CohereUsage())


def _error(status: int, detail: ErrorDetail) -> tuple[int, JinaError]:
    return (400 if status == 422 else status), JinaError(detail.message)


VOYAGE: Final = Format("voyage", _read, _write, _error)
