"""catalog.py: catalogue files -> Item records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from indexes.bad_lines import BadLine, OnBad
from indexes.items import BadValue, Item, item_from
from indexes.row_files import read_rows

_REQUIRED: Final = ("id", "title")


def read_items(path: Path, on_bad: OnBad) -> Iterator[tuple[int, Item]]:
    """The items of a catalogue with their line numbers, streaming in constant memory.

    .jsonl, .csv or .parquet, each also with .gz. A line that is no item goes to `on_bad` with its
    number and the reason, and reading goes on. Failure: the file as a whole cannot be read.
    """
    for number, row in read_rows(path, _REQUIRED, on_bad):
        try:
            item = item_from(row)
        except BadValue as reason:
            on_bad(BadLine(number, str(reason)))
            continue
        yield number, item
