"""judgments.py: judgments file -> ratings that replace those of the requests.

Quepid's CSV, its learning-to-rank export and Search Relevance Workbench's JSON name the query by
its text, TREC qrels name it by the request's id.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from indexes.errors import Failure
from indexes.items.words import folded
from indexes.names import BadName, read_name
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.lines import is_packed, opened
from reranker.evaluation.judgment_rows import (
    Row,
    ltr_rows,
    names_queries,
    number,
    quepid_rows,
    trec_rows,
)
from reranker.evaluation.requests import check_grade
from reranker.requests import JudgedRequest

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
    values = map(rating.get, ("docId", "rating"))
    item, grade = (value if _is_scalar(value) else None for value in values)
    return None if item == "" else item, None if grade is None else str(grade)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _entries(path: Path) -> list[dict[str, Any]]:
    with opened(path) as file:
        data = file.read().removeprefix(_BOM)
    try:
        lists = _lists(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(f"{path} is not valid JSON: {error}.", hint=_EXPECTED) from None
    if not lists:
        raise Failure(f"{path} holds no judgmentRatings.", hint=_EXPECTED)
    return [entry if isinstance(entry, dict) else {} for entries in lists for entry in entries]


def _lists(value: Any) -> list[list[Any]]:
    """Every judgmentRatings, out of its wrappers."""
    if isinstance(value, list):
        return [ratings_list for part in value for ratings_list in _lists(part)]
    if not isinstance(value, dict):
        return []
    ratings = value.get("judgmentRatings")
    if isinstance(ratings, list):
        return [ratings]
    return [ratings_list for key in ("_source", "hits") for ratings_list in _lists(value.get(key))]


class Judgments:
    """Ratings by query, counting the requests that found theirs.

    rows: ratings taken. unrated: rows without an item or without a rating.
    """

    def __init__(self, key: Callable[[JudgedRequest], str]) -> None:
        self.key = key
        self._ratings: dict[str, dict[str, float]] = {}
        self._raters: dict[tuple[str, str], dict[str, float]] = {}
        self._others: dict[str, str] = {}  # other names of queries
        self.rows = 0
        self.unrated = 0
        self.requests_matched = 0

    def add(self, key: str, item: str, grade: float, rater: str = "") -> None:
        """Take one rating; Failure when the item has another one already, of the same rater.

        An item that several raters judged has the mean of what they gave.
        """
        ratings = self._ratings.setdefault(key, {})
        grades = self._raters.setdefault((key, item), {}) if rater else ratings
        who = rater or item
        if grades.setdefault(who, grade) != grade:
            by = f" by {rater!r}" if rater else ""
            raise Failure(
                f"{item!r} is judged twice for {key!r}{by}: {grades[who]:g} and {grade:g}"
            )
        if rater:
            ratings[item] = sum(grades.values()) / len(grades)
        self.rows += 1

    def also(self, name: str, key: str) -> None:
        """Let a request of this name find that query's ratings, if the name has none itself."""
        if name:
            self._others.setdefault(name, key)

    def rated(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests with these ratings in place of their own; none where none is known."""
        for request in requests:
            ratings = self.of(request)
            self.requests_matched += bool(ratings)
            yield msgspec.structs.replace(request, ratings=ratings)

    def of(self, request: JudgedRequest) -> dict[str, float]:
        """The ratings of one request; none where none is known."""
        key = self.key(request)
        return self._ratings.get(key) or self._ratings.get(self._others.get(key, ""), {})

    @property
    def example(self) -> str:
        """One of the queries or request ids that are judged."""
        return next(iter(self._ratings), "")


class _Format(NamedTuple):
    """rows: of a file. by_id: the query is named by the request's id. lowest: grades from there
    are taken, below 0 as 0."""

    rows: Callable[[Path, OnBad], Iterator[Row]]
    by_id: bool = False
    lowest: float = 0.0


_QUEPID: Final = _Format(quepid_rows)
_WORKBENCH: Final = _Format(workbench_rows)
_LTR: Final = _Format(ltr_rows)
_TREC: Final = _Format(trec_rows, by_id=True, lowest=-math.inf)


def read_judgments(path: Path, on_bad: OnBad) -> Judgments:
    """`.csv`: Quepid's `query,docid,rating`; `.json`: Search Relevance Workbench's judgment list;
    any other name: TREC's `id 0 item grade`, or `grade qid:N # item query` as Quepid exports it
    for learning to rank."""
    form = _format(path)
    judgments = Judgments(_request_id if form.by_id else _query)
    for row in form.rows(path, on_bad):
        key = row.query if form.by_id else folded(row.query)
        try:
            item = read_name("docid", row.item)
            if item is None or not row.grade.strip():
                judgments.unrated += 1
                continue
            judgments.add(key, item, _grade(row.grade, form.lowest), row.rater)
        except (BadName, Failure) as error:
            on_bad(BadLine(row.line, str(error)))
        if form is _WORKBENCH and (before := folded(row.query.partition("#")[0])) != key:
            judgments.also(before, key)
    return judgments


def _format(path: Path) -> _Format:
    kind = Path(path.stem if is_packed(path) else path.name).suffix.lower()
    if kind == ".csv":
        return _QUEPID
    if kind == ".json":
        return _WORKBENCH
    return _LTR if names_queries(path) else _TREC


def _query(request: JudgedRequest) -> str:
    return folded(request.query)


def _request_id(request: JudgedRequest) -> str:
    return request.id


def _grade(text: str, lowest: float) -> float:
    """TREC marks spam by -1 and -2, which count as not relevant; Quepid has no such grades."""
    try:
        value = number(text)
    except ValueError:
        raise Failure(f"rating is {text!r}; a number is expected") from None
    grade = max(value, 0.0) if value >= lowest else value
    check_grade(grade, "rating")
    return grade
