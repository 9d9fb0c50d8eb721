"""csv_rows.py: a CSV file -> its rows as dicts of non-empty cells, numbered by physical line."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from indexes.bad_lines import BadLine, OnBad
from indexes.byte_lines import MAX_LINE_BYTES, byte_lines
from indexes.errors import Failure

# A quote that is never closed would swallow the file: a row is given up after so many lines.
MAX_ROW_LINES: Final = 500
_DELIMITERS: Final = (",", ";", "\t")


class _RowTooLong(Exception):
    """The quote that opened this row is not closed in MAX_ROW_LINES lines."""


class _Lines:
    """Lines for csv.reader that remembers those of the row at hand, so that they can be re-read."""

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, bytes]] = deque()
        self.taken: list[tuple[int, bytes]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_ROW_LINES:
            raise _RowTooLong
        numbered = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(numbered)
        try:
            return numbered[1].decode()
        except UnicodeDecodeError:  # the row's shape can still be read; `broken` reports it
            return numbered[1].decode(errors="replace")

    def broken(self) -> str | None:
        """Where in the row at hand a byte is not UTF-8."""
        for number, line in self.taken:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return f"byte {error.start + 1} of line {number} (0x{byte:02x}) is not valid UTF-8"
        return None

    def reread_all_but_first(self) -> None:
        """Give the row's later lines back: they may well be rows of their own."""
        self._again.extendleft(reversed(self.taken[1:]))


def csv_rows(
    path: Path, file: BinaryIO, required: Sequence[str], on_bad: OnBad
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows under the names of the header; columns without a name are left out.

    The delimiter is `,`, `;` or a tab: whichever finds the required columns in the header.
    """
    _allow_long_cells()
    lines = _Lines(byte_lines(path, file, on_bad))
    header, delimiter = _header(path, lines, required)
    for number, cells in _records(lines, delimiter, on_bad):
        if len(cells) != len(header):
            reason = f"the row has {len(cells)} cells, the header has {len(header)}"
            on_bad(BadLine(number, reason))
            continue
        named = zip(header, cells, strict=True)
        yield number, {name: cell for name, cell in named if name and cell and not cell.isspace()}


def _records(lines: _Lines, delimiter: str, on_bad: OnBad) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its first line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.taken = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (_RowTooLong, csv.Error) as error:
            on_bad(BadLine(lines.taken[0][0], _why(error)))
            lines.reread_all_but_first()
            continue
        number = lines.taken[0][0]
        if any("\ufffd" in cell for cell in cells) and (broken := lines.broken()):
            on_bad(BadLine(number, broken))
        elif any(cell.strip() for cell in cells):
            yield number, cells


def _why(error: Exception) -> str:
    if isinstance(error, _RowTooLong) or "unexpected end of data" in str(error):
        return "a quote opens a cell and is not closed"
    return f"the row is not valid CSV: {error}"


def _header(path: Path, lines: _Lines, required: Sequence[str]) -> tuple[list[str], str]:
    """The column names and the delimiter that separates them."""
    line = next(lines, "")
    found = {mark: _split(line, mark) for mark in _DELIMITERS}
    for mark, names in found.items():
        if all(name in names for name in required):
            twice = sorted({name for name in names if name and names.count(name) > 1})
            if twice:
                raise Failure(f"{path} has two columns named {twice[0]!r}.", hint="Rename one.")
            return names, mark
    names = found[","]
    missing = [name for name in required if name not in names]
    raise Failure(
        f"{path} has no column {', '.join(map(repr, missing))}; its first line names "
        f"{', '.join(map(repr, names[:12])) or 'nothing'}.",
        hint="The first line of a CSV file names its columns.",
    )


def _split(line: str, delimiter: str) -> list[str]:
    """The column names that a first line has with this delimiter."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _allow_long_cells() -> None:
    """csv refuses cells above 128 kB by a limit of the whole process; only ever raise it."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
