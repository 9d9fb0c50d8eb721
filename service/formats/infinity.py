"""infinity.py: `POST /rerank` of infinity <-> a ranking: `documents` in, Cohere's results out.

https://michaelfeil.eu/infinity. llama.cpp answers the same keys. vLLM is asked with them, too, and
gives documents back as objects: its clients ask `/v1/rerank`.
"""

import time
from functools import partial
from typing import Final

import msgspec

from service.api.rerank import RerankAnswer
from service.api.sent import Count
from service.formats.foreign import Foreign, Format, Pair
from service.formats.listed import ListedRequest, TextResult, Usage, read_listed, text_results
from service.http.answers import ErrorDetail


class InfinityRequest(ListedRequest, frozen=True):
    """What is asked."""

    top_n: Count | None = None
    raw_scores: bool | None = None


class InfinityAnswer(msgspec.Struct, frozen=True):
    """What is answered. created: epoch seconds."""

    results: list[TextResult]
    model: str
    usage: Usage
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


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> InfinityAnswer:
    sent: InfinityRequest = foreign.sent
    echo, raw = sent.return_documents is True, sent.raw_scores is True
    return InfinityAnswer(
        text_results(foreign, pairs, echo=echo, raw=raw),
        sent.model or answer.blend.name,
        Usage(),
        f"infinity-{answer.id}",
        int(time.time()),
    )


def _error(status: int, detail: ErrorDetail) -> tuple[int, InfinityError]:
    return status, InfinityError(InfinityDetail(detail.message, detail.code, detail.field, status))


INFINITY: Final = Format("infinity", partial(read_listed, _decoder), _write, _error)
