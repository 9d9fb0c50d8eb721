"""row_files.py: a .jsonl, .csv or .parquet file -> its rows as dicts, one at a time, numbered."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.byte_lines import BadLine, OnBad, byte_lines, opened
from indexes.csv_rows import csv_rows
from indexes.errors import Failure
from indexes.parquet_rows import parquet_rows

Rows = Iterator[tuple[int, dict[str, Any]]]
SUFFIXES: Final = (".jsonl", ".csv", ".parquet")


def file_kind(path: Path) -> str:
    """Which of SUFFIXES the file is, by its name; Failure for any other name."""
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind.lower() not in SUFFIXES:
        raise Failure(
            f"{path} ends in {kind or 'no suffix'!r}; allowed are {', '.join(SUFFIXES)}, "
            "each also with .gz.",
            hint="Convert or rename the file.",
        )
    return kind.lower()


def read_rows(path: Path, required: Sequence[str], on_bad: OnBad) -> Rows:
    """The rows of a file with their line numbers, streaming; lines that are no row go to on_bad.

    required: columns without which a CSV or Parquet file is refused as a whole. A null or an empty
    CSV cell is a column that is absent from its row (JSON's null stays None).
    """
    kind = file_kind(path)
    with opened(path) as file:
        if kind == ".csv":
            yield from csv_rows(path, file, required, on_bad)
        elif kind == ".parquet":
            yield from parquet_rows(path, file, required, on_bad)
        else:
            yield from _json_rows(path, byte_lines(path, file, on_bad), on_bad)


def _json_rows(path: Path, lines: Iterator[tuple[int, bytes]], on_bad: OnBad) -> Rows:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in lines:
        try:
            row = decode(line)
        except (ValueError, RecursionError) as error:
            if not line.strip():
                continue
            if number == 1 and line.lstrip().startswith(b"["):
                raise Failure(
                    f"{path} is a JSON array; one object on each line is expected.",
                    hint="Convert it with `jq -c '.[]'`.",
                ) from None
            on_bad(BadLine(number, _why_not_json(line, error)))
            continue
        yield number, row


def _why_not_json(line: bytes, error: Exception) -> str:
    """What is wrong with this line, in words for the person who made it."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    try:
        text = line.decode()
    except UnicodeDecodeError as broken:
        return f"byte {broken.start + 1} (0x{line[broken.start]:02x}) is not valid UTF-8"
    constants: list[str] = []
    try:
        value = json.loads(text, parse_constant=constants.append)
    except (ValueError, RecursionError):
        value = None
    if constants:
        return _not_finite(constants[0], value)
    if isinstance(error, msgspec.ValidationError) and not isinstance(value, dict):
        return f"the line holds a JSON {_kind(value)}; an object is expected"
    reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
    if "truncated" in reason:
        return "the JSON ends in the middle, or holds half of a surrogate pair"
    return f"not valid JSON: {reason}"


def _not_finite(constant: str, row: Any) -> str:
    """NaN and the infinities, which no JSON can hold; say where they stand."""
    holders = [key for key, value in row.items() if value is None] if isinstance(row, dict) else []
    where = f"{holders[0]} is {constant}" if len(holders) == 1 else f"it holds {constant}"
    return f"not valid JSON: {where}; a finite number is expected"


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
