"""documents.py: documents as clients send them -> candidates, each once, and where each was sent.

A document is the id of an item, a text, or an object with either. The same one sent twice is one
candidate, and gets a place for each time that it was sent.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from indexes.names import MAX_NAME, normalised
from reranker.errors import BadRequest
from reranker.ranking.ranking import Ranked
from reranker.requests import Candidate
from service.api.sent import as_text
from service.formats.settings import Mode
from service.http.answers import Malformed

_TEXT_KEYS: Final = ("text", "title", "name", "description")
_ID_KEYS: Final = ("id", "_id")
_MOST_VALUES: Final = 10_000  # in one document; tiny ones take many times the memory of their text
Known = Callable[[list[str]], list[bool]]


class Document(NamedTuple):
    """One document. name: a text that may be an id; text: what else is known of it."""

    name: str
    text: str | None = None
    score: float | None = None
    sent: Any = None


class Candidates(NamedTuple):
    """Each document once, and the places (from 0) at which it was sent."""

    candidates: list[Candidate]
    places: list[list[int]]

    def spread(self, results: Iterable[Ranked], most: int | None) -> list[tuple[int, Ranked]]:
        """Place of every document and what was ranked, best first; at most `most`."""
        pairs = [(place, ranked) for ranked in results for place in self.places[ranked.index]]
        return pairs if most is None else pairs[:most]


def read_document(raw: msgspec.Raw, field: str, chosen: Sequence[str] | None = None) -> Document:
    """A text, a number or an object. chosen: the keys of an object that make up its text."""
    body = bytes(raw)
    if body[:1] == b"{" and body.count(b",") > _MOST_VALUES:
        raise BadRequest(f"{field} has more than {_MOST_VALUES:,} values.", field=field)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{field} is not JSON: {error}.") from None
    if isinstance(value, dict):
        return _of_object(value, chosen)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequest(f"{field} is neither a text nor an object.", field=field)
    return Document(as_text(value) if not isinstance(value, str) else value, sent=value)


def _of_object(value: dict[str, Any], chosen: Sequence[str] | None) -> Document:
    names = [as_text(value[key]) for key in _ID_KEYS if _is_scalar(value.get(key))]
    keys = chosen or [key for key in _TEXT_KEYS if _is_scalar(value.get(key))] or list(value)
    if not chosen and "text" in keys:
        keys = ["text"]
    parts = [
        as_text(value[key]) for key in keys if key not in _ID_KEYS and _is_scalar(value.get(key))
    ]
    text = ". ".join(part for part in parts if part)
    return Document(names[0], text or None, sent=value) if names else Document(text, sent=value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def as_candidates(
    documents: Sequence[Document], mode: Mode, id_share: float, known: Known
) -> Candidates:
    """The candidates that these documents are. known: which ids the index holds.

    auto: what the index knows are ids where they are at least id_share of all; the rest are texts,
    as long as an object did not say which of its values is the id.
    """
    names = [_id(document.name) for document in documents]
    is_id = _which_are_ids(names, mode, id_share, known)
    places: dict[str, list[int]] = {}
    candidates: list[Candidate] = []
    for place, (document, name, by_id) in enumerate(zip(documents, names, is_id, strict=True)):
        has_id = by_id or (document.text is not None and mode != "text")
        text = document.text if has_id else document.text or document.name
        key = name if has_id and name is not None else _name_of_text(text or document.name)
        if key not in places:
            places[key] = []
            candidates.append(Candidate(key, document.score, text))
        places[key].append(place)
    return Candidates(candidates, list(places.values()))


def _which_are_ids(
    names: Sequence[str | None], mode: Mode, id_share: float, known: Known
) -> list[bool]:
    if mode == "text":
        return [False] * len(names)
    if mode == "id":
        return [name is not None for name in names]
    held = known([name or "" for name in names])
    which = [name is not None and held[place] for place, name in enumerate(names)]
    return which if sum(which) >= id_share * len(which) else [False] * len(names)


def _id(text: str) -> str | None:
    """The id that a text may be; None for one that is too long, or blank."""
    if len(text) > MAX_NAME:
        return None
    name = normalised(text)
    return name if name and name.isprintable() else None


def _name_of_text(text: str) -> str:
    """What a text is called in a ranking: the same for the same text."""
    content = text.encode("utf-8", "surrogatepass")
    return f"text:{hashlib.blake2b(content, digest_size=12).hexdigest()}"
