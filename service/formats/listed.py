"""listed.py: what Cohere, Jina, Voyage and infinity share: `documents` in, indexes and scores out.

They differ in the key that cuts the list (top_n, top_k), in whether a document comes back as an
object or as a text, and in what stands around the results.
"""

from typing import Any, TypeVar

import msgspec

from service.api.requests import decoded
from service.api.sent import Name, whole
from service.formats.documents import Document
from service.formats.foreign import Foreign, Pair, query_of, read_documents
from service.formats.scores import falling, falling_raw


class ListedRequest(msgspec.Struct, frozen=True):
    """What all of them take; keys that are not listed are passed over."""

    query: Name
    documents: list[msgspec.Raw]
    model: str | None = None
    return_documents: bool | None = None


class ObjectResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document in its new place, repeated as an object."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class TextResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document in its new place, repeated as a text."""

    index: int
    relevance_score: float
    document: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """No tokens are counted here; clients expect the keys."""

    total_tokens: int = 0
    prompt_tokens: int = 0


Sent = TypeVar("Sent", bound=ListedRequest)


def read_listed(decoder: msgspec.json.Decoder[Sent], body: bytes, cut: str = "top_n") -> Foreign:
    """A request of any of these formats. cut: the key that says how many documents come back."""
    sent = decoded(decoder, body)
    chosen: list[str] | None = getattr(sent, "rank_fields", None)
    documents = read_documents(sent.documents, "documents", chosen)
    return Foreign(
        query_of(sent.query), documents, sent, top_n=whole(getattr(sent, cut)), model=sent.model
    )


def object_results(foreign: Foreign, pairs: list[Pair], *, echo: bool) -> list[ObjectResult]:
    """echo: whether the documents come back."""
    numbers = falling([pair.score for pair in pairs])
    return [
        ObjectResult(place, number, object_of(foreign.documents[place]) if echo else None)
        for (place, *_), number in zip(pairs, numbers, strict=True)
    ]


def text_results(
    foreign: Foreign, pairs: list[Pair], *, echo: bool, raw: bool = False
) -> list[TextResult]:
    """echo: whether the documents come back; raw: scores as they are."""
    return [
        TextResult(place, number, text)
        for place, number, text in numbered(foreign, pairs, echo=echo, raw=raw)
    ]


def numbered(
    foreign: Foreign, pairs: list[Pair], *, echo: bool, raw: bool
) -> list[tuple[int, float, str | None]]:
    """Place, score, and the text where it is to come back."""
    numbers = (falling_raw if raw else falling)([pair.score for pair in pairs])
    return [
        (place, number, text_of(foreign.documents[place]) if echo else None)
        for (place, *_), number in zip(pairs, numbers, strict=True)
    ]


def text_of(document: Document) -> str:
    """A document as a text."""
    return document.text or document.name


def object_of(document: Document) -> dict[str, Any]:
    """A document as it was sent, with its text as `text`."""
    text = {"text": text_of(document)}
    return text | document.sent if isinstance(document.sent, dict) else text
