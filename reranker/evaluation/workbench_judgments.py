"""workbench_judgments.py: a Search Relevance Workbench judgment list (JSON) -> its ratings.

OpenSearch writes
    {"judgmentRatings": [{"query": "red dress", "ratings": [{"docId": "17", "rating": "2.000"}]}]}

also within `_source`, as the index keeps it, and within `hits.hits`, as a search answers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.lines import opened
from reranker.evaluation.judgment_rows import Row

_BOM: Final = b"\xef\xbb\xbf"
_EXPECTED: Final = 'Expected: {"judgmentRatings": [{"query", "ratings": [{"docId", "rating"}]}]}.'


def workbench_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """Every rating with its place in the file, counted from 1. A query without any has no row."""
    place = 0
    for entry in _entries(path):
        query, ratings = entry.get("query"), entry.get("ratings")
        if not isinstance(query, str) or not query.strip() or not isinstance(ratings, list):
            on_bad(BadLine(place + 1, "an entry of judgmentRatings needs a query and its ratings"))
            continue
        for rating in ratings:
            place += 1
            item, grade = _rating(rating)
            if item is None or grade is None:
                on_bad(BadLine(place, f"a rating of {query!r} needs a docId and a rating"))
            else:
                yield Row(place, query, item, grade)


def _rating(rating: Any) -> tuple[Any, str | None]:
    """docId and rating; releases differ in whether they are numbers or texts."""
    if not isinstance(rating, dict):
        return None, None
    item, grade = rating.get("docId"), rating.get("rating")
    return item if _is_told(item) and item != "" else None, str(grade) if _is_told(grade) else None


def _is_told(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _entries(path: Path) -> list[dict[str, Any]]:
    with opened(path) as file:
        data = file.read().removeprefix(_BOM)
    try:
        found = _lists(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(f"{path} is not valid JSON: {error}.", hint=_EXPECTED) from None
    if not found:
        raise Failure(f"{path} holds no judgmentRatings.", hint=_EXPECTED)
    return [entry if isinstance(entry, dict) else {} for one in found for entry in one]


def _lists(value: Any) -> list[list[Any]]:
    """Every judgmentRatings, out of its wrappers."""
    if isinstance(value, list):
        return [found for one in value for found in _lists(one)]
    if not isinstance(value, dict):
        return []
    ratings = value.get("judgmentRatings")
    if isinstance(ratings, list):
        return [ratings]
    return [found for key in ("_source", "hits") for found in _lists(value.get(key))]
