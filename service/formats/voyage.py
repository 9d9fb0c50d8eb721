"""voyage.py: Voyage's `POST /v1/rerank` <-> a ranking: `top_k` asks, `data` answers.

https://docs.voyageai.com/reference/reranker-api
"""

from functools import partial
from typing import Final

import msgspec

from service.api.rerank import RerankAnswer
from service.api.sent import Count
from service.formats.foreign import BAD_REQUEST, UNPROCESSABLE, Foreign, Format, Pair
from service.formats.jina import JinaError
from service.formats.listed import ListedRequest, TextResult, Usage, read_listed, text_results
from service.http.answers import ErrorDetail


class VoyageRequest(ListedRequest, frozen=True):
    """What is asked; its word for top_n is top_k."""

    top_k: Count | None = None


class VoyageAnswer(msgspec.Struct, frozen=True):
    """What is answered."""

    data: list[TextResult]
    model: str
    usage: Usage
    object: str = "list"


_decoder: Final = msgspec.json.Decoder(VoyageRequest)


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> VoyageAnswer:
    sent: VoyageRequest = foreign.sent
    results = text_results(foreign, pairs, echo=sent.return_documents is True)
    return VoyageAnswer(results, sent.model or answer.blend.name, Usage())


def _error(status: int, detail: ErrorDetail) -> tuple[int, JinaError]:
    return BAD_REQUEST if status == UNPROCESSABLE else status, JinaError(detail.message)


VOYAGE: Final = Format("voyage", partial(read_listed, _decoder, cut="top_k"), _write, _error)
