"""rows.py: a .jsonl, .csv or .parquet file -> its rows as dicts, one at a time, numbered."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from indexes.errors import Failure
from indexes.readers.bad_lines import OnBad
from indexes.readers.charsets import known_encoding
from indexes.readers.csv_rows import csv_rows
from indexes.readers.file_forms import FileForm, Row
from indexes.readers.json_rows import first_line_most, json_rows
from indexes.readers.lines import byte_lines, is_packed, opened
from indexes.readers.parquet_rows import parquet_rows

Rows = Iterator[tuple[int, Row]]
SUFFIXES: Final = (".jsonl", ".csv", ".parquet")
_OTHERS: Final = {".json": ".jsonl", ".ndjson": ".jsonl", ".tsv": ".csv"}


def file_kind(path: Path) -> str:
    """Which of SUFFIXES the file is, by its name; Failure for any other name."""
    name = Path(path.stem).suffix if is_packed(path) else path.suffix
    kind = _OTHERS.get(name.lower(), name.lower())
    if kind not in SUFFIXES:
        raise Failure(
            f"{path} ends in {name or 'no suffix'!r}; allowed are "
            f"{', '.join((*SUFFIXES, *_OTHERS))}, each also with .gz.",
            hint="Convert or rename the file.",
        )
    return kind


def read_rows(
    path: Path, required: Sequence[str], on_bad: OnBad, form: FileForm | None = None
) -> Rows:
    """The rows of a file with their line numbers, streaming; lines that are no row go to on_bad.

    required: columns without which a CSV or Parquet file is refused as a whole. A null or an empty
    CSV cell is a column that is absent from its row (JSON's null stays None).
    form: what is known of the file; what had to be assumed is noted there.
    """
    kind = file_kind(path)
    form = form or FileForm()
    if form.encoding is not None:
        known_encoding(form.encoding)
    with opened(path) as file:
        if kind == ".csv":
            yield from csv_rows(path, file, required, on_bad, form)
        elif kind == ".parquet":
            yield from parquet_rows(path, file, required, on_bad, form)
        else:
            lines = byte_lines(path, file, on_bad, form, first_most=first_line_most)
            yield from json_rows(path, lines, required, on_bad, form)
