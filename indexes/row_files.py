"""row_files.py: a .jsonl, .csv or .parquet file -> its rows as dicts, one at a time, numbered."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.bad_lines import BadLine, OnBad
from indexes.byte_lines import byte_lines, is_packed, opened
from indexes.csv_rows import csv_rows
from indexes.errors import Failure
from indexes.parquet_rows import parquet_rows

Rows = Iterator[tuple[int, dict[str, Any]]]
SUFFIXES: Final = (".jsonl", ".csv", ".parquet")


def file_kind(path: Path) -> str:
    """Which of SUFFIXES the file is, by its name; Failure for any other name."""
    kind = Path(path.stem).suffix if is_packed(path) else path.suffix
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
        except (ValueError, RecursionError):
            line = line.strip()
            if not line:
                continue
            if number == 1 and line.startswith(b"["):
                raise Failure(
                    f"{path} is a JSON array; one object on each line is expected.",
                    hint="Convert it with `jq -c '.[]'`.",
                ) from None
            on_bad(BadLine(number, _why_not_json(line)))
            continue
        yield number, row


def _why_not_json(line: bytes) -> str:
    """What is wrong with this line, in words for the person who made it."""
    constants: list[_Constant] = []
    try:
        value = json.loads(line.decode(), parse_constant=lambda name: _noted(name, constants))
    except UnicodeDecodeError as broken:
        return f"byte {broken.start + 1} (0x{line[broken.start]:02x}) is not valid UTF-8"
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError:
        return _why_malformed(line)
    if not isinstance(value, dict):
        return f"the line holds a JSON {_kind(value)}; an object is expected"
    if not constants:
        return _why_malformed(line)
    where = [f"{name} is {cell}" for name, cell in value.items() if isinstance(cell, _Constant)]
    found = where[0] if where else f"it holds {constants[0]}"
    return f"not valid JSON: {found}; a finite number is expected"


class _Constant(str):
    """NaN, Infinity or -Infinity, which no JSON can hold."""


def _noted(name: str, constants: list[_Constant]) -> _Constant:
    constants.append(_Constant(name))
    return constants[-1]


def _why_malformed(line: bytes) -> str:
    """The decoder's own reason."""
    try:
        msgspec.json.decode(line)
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError as error:
        reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
        ends = "truncated" in reason and not line.endswith(b"}")
        return "the JSON ends in the middle" if ends else f"not valid JSON: {reason}"
    return "not valid JSON"


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
