"""hits.py: an engine's answer to a search -> its hits, and the answer with them in another order.

Only what has to change is decoded: everything else stays as the engine wrote it, to the digit.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from service.proxy.json_paths import value_at

_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_object: Final = msgspec.json.Decoder(dict[str, Any])
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Hit(NamedTuple):
    """One hit as it was written. item: its id in the catalogue; None where it names none."""

    raw: msgspec.Raw
    item: str | None
    score: float | None


class Page(NamedTuple):
    """An answer, taken apart as far as its hits."""

    answer: dict[str, msgspec.Raw]
    outer: dict[str, msgspec.Raw]  # what stands around the list of hits
    hits: list[Hit]


def read_page(body: bytes | msgspec.Raw, id_field: str) -> Page | None:
    """The hits of an answer; None where it has none, or is none."""
    try:
        answer = _raw.decode(body)
        if "hits" not in answer:
            return None
        outer = _raw.decode(answer["hits"])
        if "hits" not in outer:
            return None
        hits = [_hit(raw, id_field) for raw in _raws.decode(outer["hits"])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Page(answer, outer, hits)


def _hit(raw: msgspec.Raw, id_field: str) -> Hit:
    hit = _object.decode(raw)
    score = hit.get("_score")
    if not isinstance(score, int | float) or isinstance(score, bool):
        score = None
    return Hit(raw, _item(hit, id_field), None if score is None else float(score))


def _item(hit: dict[str, Any], id_field: str) -> str | None:
    """The id at the field: of the hit itself, of its source, or of the fields it was asked for."""
    found = hit.get(id_field)
    if found is None:
        found = value_at(hit.get("_source"), id_field)
    if found is None:
        found = value_at(hit.get("fields"), id_field)
    if isinstance(found, list):
        found = found[0] if found else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found).strip() or None


def written(page: Page, order: Sequence[int], first: int = 0, size: int | None = None) -> bytes:
    """The answer with its hits in this order, and of them the page that was asked for.

    The engine's scores go to the places, not with the hits: the first has the best one still, so
    that `_score` falls, max_score holds, and whoever compares scores with a bound gets as many hits
    as before.
    """
    scores = [hit.score for hit in page.hits]
    moved = [
        _with_score(page.hits[place], page.hits[rank].raw)
        if rank != place
        else page.hits[place].raw
        for rank, place in enumerate(order)
    ]
    kept = moved if None not in scores else [page.hits[place].raw for place in order]
    end = None if size is None else first + size
    outer = page.outer | {"hits": msgspec.Raw(msgspec.json.encode(kept[first:end]))}
    return msgspec.json.encode(page.answer | {"hits": msgspec.Raw(msgspec.json.encode(outer))})


def _with_score(hit: Hit, other: msgspec.Raw) -> msgspec.Raw:
    """A hit with the score of another, as that was written."""
    parts = _raw.decode(hit.raw)
    return msgspec.Raw(msgspec.json.encode(parts | {"_score": _raw.decode(other)["_score"]}))
