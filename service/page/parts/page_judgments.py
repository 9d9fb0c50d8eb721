"""page_judgments.py: grades given on the page <-> <home>/judgments/page.csv, Quepid's columns."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from indexes.errors import Failure
from indexes.items.words import folded
from indexes.storage.durable import make_own_folder, write_whole
from indexes.storage.locks import waiting

FILE: Final = "judgments/page.csv"
GRADES: Final = (0, 1, 2, 3)
_COLUMNS: Final = ("query", "docid", "rating")
_MOST: Final = 200_000  # rows: more are made with a tool of their own


class BadJudgment(Failure):
    """A grade that cannot be kept."""

    code = "bad_judgment"


class PageJudgments:
    """One rating for each query and item. Queries are the same when their folded words are."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def of(self, query: str) -> dict[str, float]:
        """The grades of a query's items."""
        asked = folded(query)
        return {item: float(grade) for text, item, grade in self._rows() if folded(text) == asked}

    def put(self, query: str, item: str, grade: int | None) -> None:
        """Keep this grade in place of an earlier one; None takes it back. On the disk when done."""
        if grade is not None and grade not in GRADES:
            raise BadJudgment(f"grade is {grade}; 0, 1, 2 and 3 are allowed.", field="grade")
        if not query.strip() or not item:
            raise BadJudgment("A grade needs a query and an item.", field="query")
        try:
            make_own_folder(self.path.parent)
            with waiting(self.path.parent / "lock"):
                self._write(query, item, grade)
        except OSError as error:
            raise BadJudgment(f"{self.path} takes no grade: {error.strerror}.") from None

    def _write(self, query: str, item: str, grade: int | None) -> None:
        asked = (folded(query), item)
        rows = [row for row in self._rows() if (folded(row[0]), row[1]) != asked]
        if grade is not None:
            rows.append((query.strip(), item, str(grade)))
        if len(rows) > _MOST:
            raise BadJudgment(f"{self.path} holds {_MOST:,} grades, and takes no more.")
        write_whole(self.path, _csv(rows).encode())

    def export(self) -> str:
        """The whole file as Quepid imports it."""
        return _csv(self._rows())

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Rows of three; a line that somebody spoiled by hand is passed over."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for row in csv.DictReader(io.StringIO(text, newline="")):
            query, item, grade = (row.get(name) or "" for name in _COLUMNS)
            if query and item and grade.isdecimal() and int(grade) in GRADES:
                yield query, item, grade


def _csv(rows: Iterator[tuple[str, str, str]] | list[tuple[str, str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    return text.getvalue()
