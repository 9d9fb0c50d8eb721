"""judgment_rows.py: a judgments file as Quepid, RankLib or TREC write it -> its rows, in words.

query,docid,rating[,rater]           Quepid's case (.csv): any case of the names, `,` `;` or tab
query,docid,Ann,Bob                  Quepid's book (.csv): a column for each rater
3\tqid:1\t# 17\tred dress            for learning to rank: RankLib's lines, features left out
q1 0 17 3                            TREC qrels
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.lines import byte_lines, opened
from indexes.readers.rows import read_rows
from reranker.evaluation.requests import check_grade

_BOOK: Final = ("query", "docid")
_RATERS: Final = ("rater", "rater_id", "judge", "assessor", "annotator", "user", "user_id")
_LTR: Final = re.compile(
    r"\s*(?P<grade>\S+)\s+qid:(?P<qid>\S+)(?P<features>[^#]*)(?:#(?P<note>.*))?"
)


class Row(NamedTuple):
    """One rating as written. line: or place in the file. query: its text, or the request's id.

    item, grade: empty where there is none. rater: where the file names one.
    """

    line: int
    query: str
    item: Any
    grade: str
    rater: str = ""


def number(text: str) -> float:
    """A number with a point or, as half of the world writes it, a comma; ValueError for others."""
    text = text.strip()
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def quepid_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """A case names its one rating `rating`; a book has a column for each of its raters."""
    columns = _columns(path)
    needed = [columns.get(name, name) for name in _BOOK]
    # Where only the book's two are there, a rating is missing.
    book = "rating" not in columns and len(columns) > len(_BOOK)
    rating = columns.get("rating", "rating")
    rater = next((columns[name] for name in _RATERS if name in columns), "")
    for line, row in read_rows(path, needed if book else [*needed, rating], on_bad):
        query, item = (row.pop(name, "") for name in needed)
        if not query.strip():
            on_bad(BadLine(line, "query is empty"))
        elif book:
            yield Row(line, query, item, _mean(list(row.values())))
        else:
            yield Row(line, query, item, row.get(rating, ""), row.get(rater, "").strip())


def _columns(path: Path) -> dict[str, str]:
    """Names in the first line, folded, and how they are written."""
    with opened(path) as file:
        line = file.readline().decode(errors="replace").removeprefix("\ufeff")
    names = [name.strip().strip('"') for name in re.split("[,;\t]", line.rstrip("\r\n"))]
    return {name.strip().casefold(): name for name in names}


def _mean(cells: Sequence[str]) -> str:
    """The mean of what the raters gave, or the first cell that is no grade, to be reported."""
    for cell in cells:
        try:
            check_grade(number(cell), "rating")
        except (ValueError, Failure):
            return cell
    return str(sum(map(number, cells)) / len(cells)) if cells else ""


def names_queries(path: Path) -> bool:
    """Whether a file's first line is one for learning to rank: `grade qid:N ... # item query`."""
    with opened(path) as file:
        first = next((line for line in file if line.strip()), b"")
    return bool(_LTR.match(first.decode(errors="replace")))


def ltr_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """The comment of each line names item and query: a tab between them, else the first space."""
    with opened(path) as file:
        for line, content in byte_lines(path, file, on_bad):
            text = content.decode(errors="replace").strip()
            if not text:
                continue
            match = _LTR.match(text)
            note = (match["note"] or "").strip() if match else ""
            item, _, query = note.partition("\t") if "\t" in note else note.partition(" ")
            if match is None or not query.strip() or "\ufffd" in text:
                reason = "a line for learning to rank is `grade qid:N # item<tab>query`, in UTF-8"
                on_bad(BadLine(line, reason))
            else:
                yield Row(line, query, item, match["grade"])


def trec_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """Four words a line; the first is a request's id."""
    with opened(path) as file:
        for line, content in byte_lines(path, file, on_bad):
            match content.decode(errors="replace").split():
                case []:
                    pass
                case [request, _, item, grade] if "\ufffd" not in request + item:
                    yield Row(line, request, item, grade)
                case _:
                    on_bad(BadLine(line, "a qrels line is `request-id 0 item grade`, in UTF-8"))
