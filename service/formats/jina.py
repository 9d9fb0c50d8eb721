"""jina.py: Jina's `POST /v1/rerank` <-> a ranking. Documents come back unless it is declined.

https://jina.ai/reranker. `document` is an object with `text`, as its second versions answer.
"""

from typing import Final

import msgspec

from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.formats.cohere import CohereRequest, CohereResult, document_of
from service.formats.foreign import Foreign, Format, Pair, query_of, read_documents
from service.formats.scores import falling
from service.http.answers import ErrorDetail


class JinaUsage(msgspec.Struct, frozen=True):
    """No tokens are counted here."""

    total_tokens: int = 0
    prompt_tokens: int = 0


class JinaAnswer(msgspec.Struct, frozen=True):
    """What is answered."""

    model: str
    results: list[CohereResult]
    usage: JinaUsage
    id: str
    object: str = "list"


class JinaError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    detail: str


_decoder: Final = msgspec.json.Decoder(CohereRequest)


def _read(body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    documents = read_documents(sent.documents, "documents", sent.rank_fields)
    return Foreign(query_of(sent.query), documents, sent, top_n=sent.top_n, model=sent.model)


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> JinaAnswer:
    sent: CohereRequest = foreign.sent
    echo = sent.return_documents is not False
    numbers = falling([pair.score for pair in pairs])
    results = [
        CohereResult(
            pair.place, number, document_of(foreign.documents[pair.place]) if echo else None
        )
        for pair, number in zip(pairs, numbers, strict=True)
    ]
    return JinaAnswer(sent.model or answer.blend.name, results, JinaUsage(), answer.id)


def _error(status: int, detail: ErrorDetail) -> tuple[int, JinaError]:
    return status, JinaError(detail.message)


JINA: Final = Format("jina", _read, _write, _error)
