"""catalog.py: catalogue files -> Item records."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from indexes.items.records import BadValue, Item, ItemReader, OpenPrice
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.file_forms import FileForm, Row
from indexes.readers.rows import Rows, read_rows

_REQUIRED: Final = ("id", "title")
_AHEAD_ROWS: Final = 2000  # looked at where a price leaves open which mark is decimal,
_AHEAD_CHARS: Final = 16 * 1024 * 1024  # or fewer where they are long


def read_items(
    path: Path,
    on_bad: OnBad,
    reader: ItemReader | None = None,
    form: FileForm | None = None,
) -> Iterator[tuple[int, Item]]:
    """The items of a catalogue with their line numbers, streaming in constant memory.

    .jsonl, .csv or .parquet, each also with .gz. A line that is no item goes to `on_bad` with its
    number and the reason, and reading goes on. Failure: the file as a whole cannot be read.
    """
    reader, form = reader or ItemReader(), form or FileForm()
    form.names, form.nan_is_null = reader.chooser.names, True
    rows = read_rows(path, _REQUIRED, on_bad, form)
    first: list[tuple[int, Row]] = []
    yield from _items(rows, reader, on_bad, first)
    if first:  # a price that does not say which mark is decimal: those after it may
        ahead = deque(_looked_at(rows, reader))
        reader.foreseen = True
        yield from _items(chain(first, ahead, rows), reader, on_bad, first)


def _items(
    rows: Iterable[tuple[int, Row]],
    reader: ItemReader,
    on_bad: OnBad,
    left_open: list[tuple[int, Row]],
) -> Iterator[tuple[int, Item]]:
    """The items of these rows, up to one whose price can only be read once others were seen."""
    read = reader.read
    for number, row in rows:
        try:
            item = read(number, row)
        except BadValue as reason:
            on_bad(BadLine(number, str(reason)))
        except OpenPrice:
            left_open.append((number, row))
            return
        else:
            yield number, item


def _looked_at(rows: Rows, reader: ItemReader) -> Rows:
    size = 0
    for _, (number, row) in zip(range(_AHEAD_ROWS), rows, strict=False):
        yield number, row
        reader.prices.observe(reader.price_of(row))
        size += _chars(row)
        if reader.prices.marks or size > _AHEAD_CHARS:
            return


def _chars(row: Row) -> int:
    return sum(len(value) if isinstance(value, str) else _many(value) for value in row.values())


def _many(value: Any) -> int:
    return len(str(value)) if isinstance(value, dict | list) else 8
