"""tei.py: `POST /rerank` of Text Embeddings Inference <-> a ranking: `texts` in, a bare array out.

https://huggingface.github.io/text-embeddings-inference. Elasticsearch's service `hugging_face`
speaks it, adds `top_n`, and refuses an answer with any other key than these.
"""

from typing import Final

import msgspec

from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.api.sent import Count, Name, whole
from service.formats.foreign import Foreign, Format, Pair, query_of, read_documents
from service.formats.listed import numbered
from service.http.answers import ErrorDetail


class TeiRequest(msgspec.Struct, frozen=True):
    """What is asked; keys that are not listed here are passed over."""

    query: Name
    texts: list[msgspec.Raw]
    top_n: Count | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None


class TeiResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One text in its new place."""

    index: int
    score: float
    text: str | None = None


class TeiError(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    error: str
    error_type: str


_decoder: Final = msgspec.json.Decoder(TeiRequest)
_TYPES: Final = {400: "Validation", 413: "Validation", 422: "Validation", 503: "Unhealthy"}


def _read(body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    documents = read_documents(sent.texts, "texts")
    return Foreign(query_of(sent.query), documents, sent, top_n=whole(sent.top_n))


def _write(foreign: Foreign, _answer: RerankAnswer, pairs: list[Pair]) -> list[TeiResult]:
    sent: TeiRequest = foreign.sent
    echo, raw = sent.return_text is True, sent.raw_scores is True
    return [TeiResult(*row) for row in numbered(foreign, pairs, echo=echo, raw=raw)]


def tei_error(status: int, detail: ErrorDetail) -> tuple[int, TeiError]:
    """An empty list is their 400; the other wrong values are their 422."""
    if detail.field == "texts" and detail.message.endswith("must not be empty."):
        return 400, TeiError("`texts` cannot be empty", "Empty")
    return status, TeiError(detail.message, _TYPES.get(status, "Backend"))


TEI: Final = Format("tei", _read, _write, tei_error)


class TeiReranker(msgspec.Struct, frozen=True):
    """What a re-ranking model's labels are called."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(msgspec.Struct, frozen=True):
    """What the model does."""

    reranker: TeiReranker


class TeiInfo(msgspec.Struct, frozen=True):
    """What `GET /info` answers: all keys of theirs, as clients read them into types of their own.

    What means nothing here is null, or 1.
    """

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: TeiModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None


def tei_info(blend: str, index: str, candidates: int, chars: int, version: str) -> TeiInfo:
    """blend and index: what answers now; candidates, chars: the most of a request, of a text."""
    labels = TeiReranker({"0": "LABEL_0"}, {"LABEL_0": 0})
    return TeiInfo(
        model_id=blend,
        model_sha=index,
        model_dtype="float32",
        model_type=TeiModelType(labels),
        max_concurrent_requests=512,
        max_input_length=chars,
        max_batch_tokens=candidates * chars,
        max_batch_requests=None,
        max_client_batch_size=candidates,
        auto_truncate=True,
        tokenization_workers=1,
        version=version,
        sha=None,
        docker_label=None,
    )
