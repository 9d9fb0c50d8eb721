"""rank.py: Metarank's `POST /rank/<model>` <-> a ranking; the model is a blend.

https://docs.metarank.ai/reference/api. Times are milliseconds, as number or text, or ISO 8601.
"""

from functools import partial
from typing import Any, Final

import msgspec

from reranker.errors import BadRequest, UnknownBlend
from reranker.requests import Time
from service.api.requests import decoded
from service.api.rerank import RerankAnswer
from service.api.sent import Name, as_text, name_of
from service.formats.documents import Document
from service.formats.foreign import BAD_REQUEST, UNPROCESSABLE, Foreign, Format, Pair
from service.formats.scores import falling
from service.http.answers import ErrorAnswer, ErrorDetail

_TEXT_FIELDS: Final = ("title", "name", "description")
_SCORE: Final = "relevancy"


class MetarankField(msgspec.Struct, frozen=True):
    """One thing that is known of a request, an item or a shopper."""

    name: str
    value: bool | int | float | str | list[bool | int | float | str]


class MetarankItem(msgspec.Struct, frozen=True):
    """One item to rank. relevancy: the engine's score."""

    id: str | int | float
    fields: list[MetarankField] | None = None
    relevancy: float | None = None


class MetarankRequest(msgspec.Struct, frozen=True):
    """What is asked; a field `query` of the request is the query."""

    id: str | int | float
    timestamp: Time
    items: list[MetarankItem]
    user: Name = None
    session: Name = None
    fields: list[MetarankField] | None = None


class MetarankFeature(msgspec.Struct, frozen=True):
    """A signal's contribution to one score."""

    name: str
    value: float


class MetarankRanked(msgspec.Struct, frozen=True):
    """One item in its new place. features: with `explain=true` alone."""

    item: str
    score: float
    features: list[MetarankFeature] | None


class MetarankState(msgspec.Struct, frozen=True):
    """Metarank's stored values; nothing of that kind is told here."""

    session: list[str] = []
    user: list[str] = []
    global_: list[str] = msgspec.field(name="global", default_factory=list)
    item: list[str] = []


class MetarankAnswer(msgspec.Struct, frozen=True):
    """What is answered. took: milliseconds."""

    state: MetarankState | None
    items: list[MetarankRanked]
    took: int


_decoder: Final = msgspec.json.Decoder(MetarankRequest)


def rank_format(model: str, explain: bool) -> Format:
    """The format for one model, which is the blend of that name."""
    return Format("metarank", partial(_read, model, explain), _write, metarank_error, ids_only=True)


def _read(model: str, explain: bool, body: bytes) -> Foreign:
    sent = decoded(_decoder, body)
    if not sent.items:
        raise BadRequest("items must not be empty.", field="items")
    return Foreign(
        query_of_fields(sent.fields),
        _in_engine_order([_document(item) for item in sent.items]),
        sent,
        blend=model,
        user=name_of("user", sent.user),
        session=name_of("session", sent.session),
        time=sent.timestamp,
        explain=explain,
        named=name_of("id", sent.id),
    )


def _in_engine_order(documents: list[Document]) -> list[Document]:
    """By relevancy where every item has one: Metarank's clients send them in any order."""
    scores = [document.score for document in documents]
    if any(score is None for score in scores):
        return documents
    return sorted(documents, key=lambda document: -(document.score or 0.0))


def query_of_fields(fields: list[MetarankField] | None) -> str:
    """The query among the fields of a request; "" where there is none."""
    values = [field.value for field in fields or () if field.name == "query"]
    return values[0] if values and isinstance(values[0], str) else ""


def _document(item: MetarankItem) -> Document:
    fields = {field.name: field.value for field in item.fields or ()}
    texts = [text for name in _TEXT_FIELDS if isinstance(text := fields.get(name), str) and text]
    score = fields.get(_SCORE) if item.relevancy is None else item.relevancy
    known = isinstance(score, int | float) and not isinstance(score, bool)
    return Document(as_text(item.id), ". ".join(texts) or None, _number(score) if known else None)


def _number(score: Any) -> float:
    try:
        return float(score)
    except OverflowError:
        raise BadRequest(
            f"{_SCORE} has {len(str(abs(score))):,} digits; a number within ±1.8e308 is expected.",
            field=_SCORE,
        ) from None


def _write(foreign: Foreign, answer: RerankAnswer, pairs: list[Pair]) -> MetarankAnswer:
    numbers = falling([pair.score for pair in pairs])
    items = [
        MetarankRanked(foreign.documents[pair.place].name, number, _features(pair))
        for pair, number in zip(pairs, numbers, strict=True)
    ]
    return MetarankAnswer(
        MetarankState() if foreign.explain else None, items, round(answer.took_ms)
    )


def _features(pair: Pair) -> list[MetarankFeature] | None:
    if pair.explanation is None:
        return None
    parts = pair.explanation.contributions
    return [MetarankFeature(name, value) for name, value in parts.items()]


def metarank_error(status: int, detail: ErrorDetail) -> tuple[int, ErrorAnswer]:
    """Metarank's bodies are not specified: ours. A model that is none is 404."""
    if detail.code == UnknownBlend.code:
        status = 404
    return BAD_REQUEST if status == UNPROCESSABLE else status, ErrorAnswer(detail)
