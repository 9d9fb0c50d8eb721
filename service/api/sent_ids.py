"""sent_ids.py: ids as callers write them -> the form in which they count, and as they were sent."""

from collections.abc import Sequence
from typing import Any, Final

from indexes.names import MAX_NAME, BadName, normalised, read_name
from reranker.errors import BadRequest
from reranker.requests import Candidate
from service.api.sent_requests import SentCandidate

_EXACT: Final = 2**53  # whole floats up to here are the number that was meant


def name_of(field: str, value: Any) -> str | None:
    """The id that a value means; None for null and ""; BadRequest for what is no id."""
    try:
        return read_name(field, value)
    except BadName as error:
        raise BadRequest(f"{error}.", field=field) from None


def as_text(value: str | int | float) -> str:
    """An id as the answer repeats it: numbers as their digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return str(value)  # the decoder takes no int of more digits than Python writes


def as_candidates(sent: Sequence[SentCandidate]) -> list[Candidate]:
    """The same with every id as text."""
    return [Candidate(as_text(one.id), one.score, one.text) for one in sent]


def in_one_form(candidates: list[Candidate]) -> tuple[list[Candidate], list[str] | None]:
    """Candidates whose ids have the one form, and the ids as sent where any differs.

    BadRequest for an id that is none. One look at all ids together is enough for nearly all.
    """
    sent = [candidate.id for candidate in candidates]
    together = "".join(sent)
    whole = all(sent) and max(map(len, sent), default=0) <= MAX_NAME
    if whole and together.isascii() and together.isprintable() and " " not in together:
        return candidates, None
    ids = [one if _is_clean(one) else _id(place, one) for place, one in enumerate(sent)]
    if ids == sent:
        return candidates, None
    pairs = zip(candidates, ids, strict=True)
    return [Candidate(name, one.score, one.text) for one, name in pairs], sent


def _is_clean(name: str) -> bool:
    """Whether there is nothing to do, as with most of those that have a blank inside."""
    plain = name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME
    return plain and name[0] != " " != name[-1]


def _id(place: int, sent: str) -> str:
    """An item that no index can hold, such as one with a control character, is only unknown."""
    field = f"candidates[{place}].id"
    name = normalised(sent)
    if not name:
        raise BadRequest(f"{field} is {sent!r}; every candidate has an id.", field=field)
    if len(name) > MAX_NAME:
        raise BadRequest(
            f"{field} has {len(name):,} characters; at most {MAX_NAME} may be.", field=field
        )
    return name
