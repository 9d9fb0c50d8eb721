"""jina.py: Jina's `POST /v1/rerank` <-> a ranking. Documents come back unless it is declined.

https://jina.ai/reranker. `document` is an object with `text`, as its second versions answer.
"""

from functools import partial
from typing import Final

import msgspec

from service.api.rerank import RerankAnswer
from service.formats.cohere import CohereRequest
from service.formats.foreign import Foreign, Format, Pair
from service.formats.listed import ObjectResult, Usage, object_results, read_listed
from service.http.answers import ErrorDetail


class JinaAnswer(msgspec.Struct, frozen=True):
    """What is answered."""

    model: str
    results: list[ObjectResult]
    usage: Usage
    id: str
    object: str = "list"


class JinaError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    detail: str


_decoder: Final = msgspec.json.Decoder(CohereRequest)


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> JinaAnswer:
    sent: CohereRequest = foreign.sent
    results = object_results(foreign, pairs, echo=sent.return_documents is not False)
    return JinaAnswer(sent.model or answer.blend.name, results, Usage(), answer.id)


def _error(status: int, detail: ErrorDetail) -> tuple[int, JinaError]:
    return status, JinaError(detail.message)


JINA: Final = Format("jina", partial(read_listed, _decoder), _write, _error)
