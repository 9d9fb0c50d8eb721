"""judgments.py: judgments file -> ratings that replace those of the requests.

Quepid's CSV names the query by its text, TREC qrels name it by the request's id.
"""

import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from indexes.byte_lines import BadLine, OnBad, byte_lines, is_packed, opened
from indexes.errors import Failure
from indexes.row_files import read_rows
from reranker.judged_requests import check_grade
from reranker.requests import JudgedRequest

_QUEPID: Final = ("query", "docid", "rating")

Row = tuple[int, str, str, str]  # line, query or request id, item, grade as written


class Judgments:
    """Ratings by query, counting the requests that found theirs."""

    def __init__(self, key: Callable[[JudgedRequest], str]) -> None:
        self._key = key
        self._ratings: dict[str, dict[str, float]] = {}
        self.rows = 0
        self.requests_matched = 0

    def add(self, key: str, item: str, grade: float) -> None:
        """Take one rating; Failure when the item has another one already."""
        ratings = self._ratings.setdefault(key, {})
        if ratings.setdefault(item, grade) != grade:
            raise Failure(f"{item!r} is judged twice for {key!r}: {ratings[item]:g} and {grade:g}")
        self.rows += 1

    def rated(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests with these ratings in place of their own; none where none is known."""
        for request in requests:
            ratings = self._ratings.get(self._key(request), {})
            self.requests_matched += bool(ratings)
            yield msgspec.structs.replace(request, ratings=ratings)


def read_judgments(path: Path, on_bad: OnBad) -> Judgments:
    """A `.csv` is Quepid's `query,docid,rating`; any other name is TREC's `id 0 item grade`."""
    quepid = Path(path.stem if is_packed(path) else path.name).suffix.lower() == ".csv"
    judgments = Judgments(_query if quepid else _request_id)
    for number, key, item, grade in (_quepid_rows if quepid else _trec_rows)(path, on_bad):
        try:
            judgments.add(key, item, _grade(grade, lowest=0.0 if quepid else -math.inf))
        except Failure as error:
            on_bad(BadLine(number, str(error)))
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
    for number, row in read_rows(path, _QUEPID, on_bad):
        missing = [name for name in ("query", "docid") if not row.get(name, "").strip()]
        if missing:
            on_bad(BadLine(number, f"{missing[0]} is empty"))
        elif "rating" in row:  # Quepid exports what nobody has rated yet with an empty cell
            yield number, folded(row["query"]), row["docid"].strip(), row["rating"]


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
