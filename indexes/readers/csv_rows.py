"""csv_rows.py: a CSV file -> its rows as dicts of non-empty cells, numbered by physical line."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from indexes.errors import Failure
from indexes.readers.bad_lines import NOT_UTF8, BadLine, OnBad
from indexes.readers.file_forms import FileForm, Row
from indexes.readers.lines import MAX_LINE_BYTES, byte_lines

# A quote that is never closed would swallow the file: a row is given up after so many lines.
MAX_ROW_LINES: Final = 500
_DELIMITERS: Final = (",", ";", "\t", "|")
_SEPARATOR: Final = re.compile(
    r'"?sep=(.)"?[,;\t|]*', re.IGNORECASE
)  # as Excel writes and reads it


class _Dialect(NamedTuple):
    """How cells are kept apart. spaced: blanks after a separator belong to it."""

    mark: str
    spaced: bool

    def reader(
        self, lines: Iterable[str], *, strict: bool = True, escape: str | None = None
    ) -> Iterator[list[str]]:
        """The rows of these lines."""
        return csv.reader(
            lines,
            delimiter=self.mark,
            skipinitialspace=self.spaced,
            strict=strict,
            escapechar=escape,
        )


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
                return f"byte {error.start + 1} of line {number} (0x{byte:02x}) {NOT_UTF8}"
        return None

    def reread(self, lines: list[tuple[int, bytes]]) -> None:
        """Give lines back, to be read next."""
        self._again.extendleft(reversed(lines))

    def reread_all_but_first(self) -> None:
        """Give the row's later lines back: they may well be rows of their own."""
        self.reread(self.taken[1:])


def csv_rows(
    path: Path, file: BinaryIO, required: Sequence[str], on_bad: OnBad, form: FileForm
) -> Iterator[tuple[int, Row]]:
    """Rows under the names of the header; columns without a name are left out.

    The separator is `,`, `;`, a tab or `|`: whichever finds the required columns in the header, or
    what a first line `sep=;` says. Empty cells beyond the header are no cells.
    """
    _allow_long_cells()
    lines = _Lines(byte_lines(path, file, on_bad, form))
    header, dialect = _header(path, lines, required, form)
    if dialect.mark != ",":
        form.assume(f"separator {_shown_mark(dialect.mark)}")
    width, least = len(header), _named_width(header)
    for number, cells in _records(lines, dialect, width, on_bad, form):
        if len(cells) != width:
            cells = _fitted(cells, width)
            if not least <= len(cells) <= width:
                reason = f"the row has {len(cells)} cells, the header has {width}"
                on_bad(BadLine(number, reason))
                continue
        pairs = zip(header, cells, strict=False)
        yield number, {name: cell for name, cell in pairs if name and cell and not cell.isspace()}


def _named_width(header: list[str]) -> int:
    """How many cells a row needs: columns without a name at the end may be missing."""
    return max((at for at, name in enumerate(header, 1) if name), default=0)


def _fitted(cells: list[str], width: int) -> list[str]:
    """The cells without empty ones beyond the header."""
    return cells[:width] if len(cells) > width and not any(map(str.strip, cells[width:])) else cells


def _records(
    lines: _Lines, dialect: _Dialect, width: int, on_bad: OnBad, form: FileForm
) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its first line."""
    reader = dialect.reader(lines)
    while True:
        lines.taken = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (_RowTooLong, csv.Error) as error:
            escaped = _with_backslashes(lines, dialect, width)
            if escaped is None:
                on_bad(BadLine(lines.taken[0][0], _why(error)))
                lines.reread_all_but_first()
                continue
            form.assume('quotes inside cells are written \\"')
            cells = escaped
        number = lines.taken[0][0]
        if any("\ufffd" in cell for cell in cells) and (broken := lines.broken()):
            on_bad(BadLine(number, broken))
        elif any(cell.strip() for cell in cells):
            yield number, cells


def _with_backslashes(lines: _Lines, dialect: _Dialect, width: int) -> list[str] | None:
    """The row at hand, if it is one once \\" is a quote inside a cell."""
    taken = lines.taken
    if not any(b'\\"' in line for _, line in taken):
        return None
    lines.reread(taken)
    lines.taken = []
    try:
        cells = next(dialect.reader(lines, escape="\\"))
    except (StopIteration, _RowTooLong, csv.Error):
        cells = []
    cells = _fitted(cells, width)
    if len(cells) == width:
        return cells
    rest = lines.taken if len(lines.taken) > len(taken) else taken
    lines.reread(rest[len(taken) :])
    lines.taken = taken
    return None


def _why(error: Exception) -> str:
    if isinstance(error, _RowTooLong) or "unexpected end of data" in str(error):
        return "a quote opens a cell and is not closed"
    return f"the row is not valid CSV: {error}"


def _header(
    path: Path, lines: _Lines, required: Sequence[str], form: FileForm
) -> tuple[list[str], _Dialect]:
    """The column names, and how the cells of a row are kept apart."""
    line = _first_line(lines)
    marks: Sequence[str] = _DELIMITERS
    if separator := _SEPARATOR.fullmatch(line.strip("\r\n")):
        marks = (separator[1],)
        line = next(lines, "")
    dialects = {mark: _Dialect(mark, _is_spaced(line, mark)) for mark in marks}
    headers = {mark: _split(line, dialects[mark]) for mark in marks}
    fitting = {
        mark: names
        for mark, names in headers.items()
        if not form.missing(required, names) and (len(names) > 1 or len(required) < 2)
    }
    if not fitting:
        raise _no_header(path, line, required, headers, form)
    mark, names = max(fitting.items(), key=lambda pair: len(pair[1]))
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise Failure(f"{path} has two columns named {twice[0]!r}.", hint="Rename one.")
    return form.renamed(required, names), dialects[mark]


def _first_line(lines: _Lines) -> str:
    """The first line that is not blank."""
    return next((line for line in lines if line.strip()), "")


def _is_spaced(line: str, mark: str) -> bool:
    """Whether a blank stands after every separator: `id, "title"`."""
    cells = line.split(mark)[1:]
    return bool(cells) and all(cell.startswith(" ") for cell in cells)


def _no_header(
    path: Path,
    line: str,
    required: Sequence[str],
    headers: dict[str, list[str]],
    form: FileForm,
) -> Failure:
    mark, names = max(headers.items(), key=lambda pair: len(pair[1]))
    missing = ", ".join(map(repr, form.missing(required, names)))
    shown_names = ", ".join(repr(name[:60]) for name in names[:12] if name) or "nothing"
    others = " `rebuild.columns` names others than the usual ones." if form.names else ""
    tried = ", ".join(map(_shown_mark, headers))
    return Failure(
        f"{path} has no column {missing}; its first line names {shown_names} "
        f"(separators tried: {tried}).",
        hint=f"The first line of a CSV file names its columns.{others}",
    )


def _shown_mark(mark: str) -> str:
    return "tab" if mark == "\t" else repr(mark)


def _split(line: str, dialect: _Dialect) -> list[str]:
    """The column names that a first line has in this dialect."""
    try:
        return [cell.strip() for cell in next(dialect.reader([line], strict=False), [])]
    except csv.Error:
        return []


def _allow_long_cells() -> None:
    """csv refuses cells above 128 kB by a limit of the whole process; only ever raise it."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
