"""json_rows.py: lines of JSON, or JSON in the shapes that exports have -> rows as dicts, numbered.

One object a line streams. A file that is an array, or objects over several lines, is read whole.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.readers.bad_lines import NOT_UTF8, BadLine, OnBad
from indexes.readers.file_forms import MAX_WHOLE_BYTES, FileForm, Row
from indexes.readers.json_shapes import Opener
from indexes.readers.lines import MAX_LINE_BYTES

Lines = Iterator[tuple[int, bytes]]
Rows = Iterator[tuple[int, Row]]
_HOLDS_ROWS: Final = re.compile(rb"^(?:\xef\xbb\xbf)?\s*\[|:\s*\[\s*\{")
_BLANK: Final = re.compile(r"[\s,\x1e]*")  # what stands between two values


def json_rows(
    path: Path, lines: Lines, required: Sequence[str], on_bad: OnBad, form: FileForm
) -> Rows:
    """The objects of a file; what holds them (an array, Elasticsearch's hits, ...) is opened."""
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        return
    opener = Opener(required, on_bad, form)
    second = next(lines, None)
    lines = lines if second is None else chain([second], lines)
    if _is_of_many_lines(first[1], second):
        form.assume("JSON over several lines, read whole")
        values = _whole_values(path, chain([first], lines), on_bad, form)
        for number, value in values:
            yield from opener.rows(number, value)
        return
    # The first line may be broken: the second one says what the file is, too.
    plain = all(opener.is_plain(_value(line)) for _, line in filter(None, (first, second)))
    lines = chain([first], lines)
    if plain:
        yield from _plain_rows(lines, on_bad, form)
        return
    for number, value in _values(lines, on_bad, form):
        yield from opener.rows(number, value)


def first_line_most(start: bytes) -> int:
    """How long a first line that begins so may be: an array, or an object around one, is a file."""
    whole = b"\n" not in start and _HOLDS_ROWS.search(start) is not None
    return MAX_WHOLE_BYTES if whole else MAX_LINE_BYTES


def _value(line: bytes) -> Any:
    """The value of a line; None where it is none."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None


def _is_of_many_lines(first: bytes, second: tuple[int, bytes] | None) -> bool:
    """Whether the first value of a file goes on in its second line."""
    first = first.strip()
    if second is None or first[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(first)
        return False
    except RecursionError:
        return False
    except ValueError as error:
        if "truncated" not in str(error):
            return False
    return first in (b"{", b"[") or not isinstance(_value(second[1]), dict)


def _plain_rows(lines: Lines, on_bad: OnBad, form: FileForm) -> Rows:
    """An object a line: the usual file, and the quickest way."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in lines:
        try:
            row = decode(line)
        except (ValueError, RecursionError):
            if not line.strip():
                continue
            mended = _without_nan(line) if form.nan_is_null else None
            if not isinstance(mended, dict):
                on_bad(BadLine(number, _why_not_json(line.strip())))
                continue
            row = mended
        yield number, row


def _values(lines: Lines, on_bad: OnBad, form: FileForm) -> Iterator[tuple[int, Any]]:
    """Any JSON value a line."""
    decode = msgspec.json.Decoder().decode
    for number, line in lines:
        try:
            value = decode(line)
        except (ValueError, RecursionError):
            if not line.strip():
                continue
            value = _without_nan(line) if form.nan_is_null else None
            if value is None:
                on_bad(BadLine(number, _why_not_json(line.strip())))
                continue
        yield number, value


def _without_nan(line: bytes) -> Any:
    """The value of a line that only NaN or an infinity keeps from being JSON; None otherwise."""
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    try:
        return json.loads(line, parse_constant=_null_or_word)
    except (ValueError, RecursionError):
        return None


def _null_or_word(name: str) -> str | None:
    return None if name == "NaN" else name


def _whole_values(
    path: Path, lines: Lines, on_bad: OnBad, form: FileForm
) -> Iterator[tuple[int, Any]]:
    """The values of a file one after the other, an array's each on its own, with their lines."""
    text = _whole_text(path, lines)
    decoder = json.JSONDecoder(parse_constant=_null_or_word if form.nan_is_null else _refused)
    at, line, counted = _BLANK.match(text).end(), 1, 0  # type: ignore[union-attr]
    inside = text[at : at + 1] == "["  # the brackets of an array are passed over
    at = _skip(text, at + inside)
    while at < len(text) and not (inside and text[at] == "]"):
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            on_bad(BadLine(line, _why_value(error)))
            at = _next_value(text, at)
            continue
        yield line, value
        at = _skip(text, at)


def _whole_text(path: Path, lines: Lines) -> str:
    """All the lines in one text; line numbers stay, those that were left out are empty."""
    whole, last = bytearray(), 0
    for number, line in lines:
        whole += b"\n" * (number - 1 - last) + line
        last = number
        if len(whole) > MAX_WHOLE_BYTES:
            raise Failure(
                f"{path} holds JSON over several lines, which has to be read whole, and more than "
                f"{MAX_WHOLE_BYTES // 2**20} MiB of it.",
                hint="Convert it to one object a line: `jq -c '.[]'` for an array, "
                "`jq -c .` for objects.",
            )
    return whole.decode(errors="replace")


def _skip(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]


def _next_value(text: str, at: int) -> int:
    """Where the next object begins at the indentation of the one that cannot be read."""
    start = text.rfind("\n", 0, at) + 1
    indent = text[start:at] if not text[start:at].strip() else ""
    start_of_next = text.find(f"\n{indent}{{", at)
    return len(text) if start_of_next < 0 else start_of_next + 1 + len(indent)


def _refused(name: str) -> None:
    raise ValueError(f"it holds {name}; a finite number is expected")


def _why_value(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    return f"not valid JSON: {str(error).partition(':')[0]}"


def _why_not_json(line: bytes) -> str:
    """What is wrong with this line, in words for the person who made it."""
    constants: list[_Constant] = []
    try:
        value = json.loads(line.decode(), parse_constant=lambda name: _noted(name, constants))
    except UnicodeDecodeError as broken:
        return f"byte {broken.start + 1} (0x{line[broken.start]:02x}) {NOT_UTF8}"
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError:
        return _why_malformed(line)
    if not isinstance(value, dict):
        return f"the line holds a JSON {_kind(value)}; an object is expected"
    if not constants:
        return _why_malformed(line)
    where = [f"{name} is {cell}" for name, cell in value.items() if isinstance(cell, _Constant)]
    problem = where[0] if where else f"it holds {constants[0]}"
    return f"not valid JSON: {problem}; a finite number is expected"


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
