"""judgments.py: judgments file -> ratings that replace those of the requests.

Quepid's CSV and Search Relevance Workbench's JSON name the query by its text, TREC qrels name it by
the request's id.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from indexes.bad_lines import BadLine, OnBad
from indexes.byte_lines import byte_lines, is_packed, opened
from indexes.errors import Failure
from indexes.row_files import read_rows
from reranker.judged_requests import check_grade
from reranker.requests import JudgedRequest
from reranker.workbench_judgments import Row, workbench_rows

_BOOK: Final = ("query", "docid")
_CASE: Final = (*_BOOK, "rating")


class Judgments:
    """Ratings by query, counting the requests that found theirs."""

    def __init__(self, key: Callable[[JudgedRequest], str]) -> None:
        self._key = key
        self._ratings: dict[str, dict[str, float]] = {}
        self._others: dict[str, str] = {}  # other names of queries
        self.rows = 0
        self.requests_matched = 0

    def add(self, key: str, item: str, grade: float) -> None:
        """Take one rating; Failure when the item has another one already."""
        ratings = self._ratings.setdefault(key, {})
        if ratings.setdefault(item, grade) != grade:
            raise Failure(f"{item!r} is judged twice for {key!r}: {ratings[item]:g} and {grade:g}")
        self.rows += 1

    def also(self, name: str, key: str) -> None:
        """Let a request of this name find that query's ratings, if the name has none itself."""
        if name:
            self._others.setdefault(name, key)

    def rated(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests with these ratings in place of their own; none where none is known."""
        for request in requests:
            ratings = self._of(self._key(request))
            self.requests_matched += bool(ratings)
            yield msgspec.structs.replace(request, ratings=ratings)

    def _of(self, key: str) -> dict[str, float]:
        return self._ratings.get(key) or self._ratings.get(self._others.get(key, ""), {})


def read_judgments(path: Path, on_bad: OnBad) -> Judgments:
    """`.csv`: Quepid's `query,docid,rating`; `.json`: Search Relevance Workbench's judgment list;
    any other name: TREC's `id 0 item grade`."""
    kind = Path(path.stem if is_packed(path) else path.name).suffix.lower()
    rows, lowest = {".csv": (_quepid_rows, 0.0), ".json": (workbench_rows, 0.0)}.get(
        kind, (_trec_rows, -math.inf)
    )
    judgments = Judgments(_request_id if rows is _trec_rows else _query)
    for number, query, item, grade in rows(path, on_bad):
        key = query if rows is _trec_rows else folded(query)
        try:
            judgments.add(key, item, _grade(grade, lowest))
        except Failure as error:
            on_bad(BadLine(number, str(error)))
        if rows is workbench_rows and (before := folded(query.partition("#")[0])) != key:
            judgments.also(before, key)
    return judgments


def folded(query: str) -> str:
    """A query as people mean it: without case, width and surplus spaces."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())


def _query(request: JudgedRequest) -> str:
    return folded(request.query)


def _request_id(request: JudgedRequest) -> str:
    return request.id


def _grade(text: str, lowest: float) -> float:
    """TREC marks spam by -1 and -2, which count as not relevant; Quepid has no such grades."""
    try:
        value = float(text)
    except ValueError:
        raise Failure(f"rating is {text!r}; a number is expected") from None
    grade = max(value, 0.0) if value >= lowest else value
    check_grade(grade, "rating")
    return grade


def _quepid_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """A case names its one rating `rating`; a book has a column for each of its raters."""
    book = "rating" not in _columns(path)
    for number, row in read_rows(path, _BOOK if book else _CASE, on_bad):
        missing = [name for name in _BOOK if not row.get(name, "").strip()]
        if missing:
            on_bad(BadLine(number, f"{missing[0]} is empty"))
            continue
        query, item = row.pop("query"), row.pop("docid").strip()
        # Quepid exports what nobody has rated yet with an empty cell, which is no cell here.
        if book and row:
            yield number, query, item, _mean(list(row.values()))
        elif "rating" in row:
            yield number, query, item, row["rating"]


def _columns(path: Path) -> list[str]:
    """Names in the first line; where only the book's two are there, a rating is missing."""
    with opened(path) as file:
        line = file.readline().decode(errors="replace").removeprefix("\ufeff")
    names = [name.strip().strip('"') for name in re.split("[,;\t]", line)]
    return ["rating"] if len(names) <= len(_BOOK) else names


def _mean(cells: list[str]) -> str:
    """The mean of what the raters gave, or the first cell that is no grade, to be reported."""
    for cell in cells:
        try:
            check_grade(float(cell), "rating")
        except (ValueError, Failure):
            return cell
    return str(sum(map(float, cells)) / len(cells))


def _trec_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    with opened(path) as file:
        for number, line in byte_lines(path, file, on_bad):
            match line.decode(errors="replace").split():
                case []:
                    pass
                case [request, _, item, grade] if "\ufffd" not in request + item:
                    yield number, request, item, grade
                case _:
                    on_bad(BadLine(number, "a qrels line is `request-id 0 item grade`, in UTF-8"))
