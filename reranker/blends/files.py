"""files.py: a blend's JSON <-> the blend; what is wrong is named by line and field."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from reranker.blends.blend import Blend, checked
from reranker.errors import BadBlend, invalid_place

_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|\n|[^\s\[\]{}:,"]+', re.DOTALL)


def written(blend: Blend) -> bytes:
    """The file of a blend: JSON for people, the parts that it does not use left out."""
    return msgspec.json.format(msgspec.json.encode(blend), indent=2) + b"\n"


def parse(data: bytes, source: str) -> Blend:
    """A blend from JSON; BadBlend names line and field."""
    try:
        raw = msgspec.json.decode(data)
        return checked(msgspec.convert(raw, Blend))
    except msgspec.ValidationError as error:
        path, problem = _place(str(error), raw)
        raise _bad(data, source, path, problem) from None
    except BadBlend as failure:
        raise _bad(data, source, failure.field or "", failure.message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        at = _BYTE.search(str(error))
        line = data.count(b"\n", 0, int(at[1]) if at else len(data)) + 1
        raise BadBlend(f"{source}, line {line}: this is not JSON: {error}.") from None


def _bad(data: bytes, source: str, path: str, problem: str) -> BadBlend:
    line = _line_of(data, path)
    where = f"{source}, line {line}" if line else source
    named = "" if not path or path in problem else f"{path}: "
    end = "" if problem.endswith(".") else "."
    return BadBlend(f"{where}: {named}{problem}{end}", field=path or None)


def _place(message: str, raw: Any) -> tuple[str, str]:
    """The path of a validation error, the keys of maps by name, and what is wrong there."""
    path, problem = invalid_place(message)
    if "[...]" in path:
        try:
            path = next(_culprits(raw, path), path)
        except (KeyError, IndexError, ValueError):  # a key with a dot: the map is named, not it
            path = path.partition("[...]")[0]
    return path, problem


def _culprits(raw: Any, path: str) -> Iterator[str]:
    """Paths with each `[...]` as the key of an entry that by itself cannot be read."""
    before, _, after = path.partition("[...]")
    earlier = _follow(raw, before)
    for key in earlier if isinstance(earlier, dict) else ():
        trial = f"{before}.{key}{after}"
        alone = _with_only(raw, before, key)
        try:
            msgspec.convert(alone, Blend)
        except msgspec.ValidationError as error:
            if "[...]" in str(error):
                yield from _culprits(raw, trial) if "[...]" in trial else [trial]


def _follow(raw: Any, path: str) -> Any:
    for key in _keys(path):
        raw = raw[int(key)] if isinstance(raw, list) else raw[key]
    return raw


def _with_only(raw: Any, path: str, key: str) -> Any:
    """The same, with one entry left in the map at this path."""
    keys = _keys(path)
    if not keys:
        return {key: raw[key]}
    if isinstance(raw, list):
        at = int(keys[0])
        return [*raw[:at], _with_only(raw[at], ".".join(keys[1:]), key), *raw[at + 1 :]]
    return {**raw, keys[0]: _with_only(raw[keys[0]], ".".join(keys[1:]), key)}


def _keys(path: str) -> list[str]:
    return [key for key in re.split(r"[.\[\]]+", path) if key]


def _line_of(data: bytes, path: str) -> int | None:
    """The line on which the value at this path begins, or that of the nearest above it."""
    lines = dict(_lines(data))
    keys = _keys(path)
    while keys and tuple(keys) not in lines:
        keys.pop()
    return lines.get(tuple(keys)) if keys else None


def _lines(data: bytes) -> Iterator[tuple[tuple[str, ...], int]]:
    """The path of every key and list entry, with its line."""
    line = 1
    stack: list[list[Any]] = []  # of open objects and lists: [is a list, key or number]
    last, expects_key = b"", False
    for match in _TOKENS.finditer(data):
        token = match.group()
        if token == b"\n":
            line += 1
            continue
        if stack and stack[-1][0] and last in (b"[", b",") and token != b"]":
            stack[-1][1] = str(int(stack[-1][1]) + 1)
            yield tuple(key for _, key in stack), line
        if token in (b"{", b"["):
            stack.append([token == b"[", "-1" if token == b"[" else ""])
            expects_key = token == b"{"
        elif token in (b"}", b"]"):
            if stack:
                stack.pop()
        elif token == b",":
            expects_key = bool(stack) and not stack[-1][0]
        elif expects_key and token[:1] == b'"':
            stack[-1][1] = token[1:-1].decode(errors="replace")
            expects_key = False
            yield tuple(key for _, key in stack), line
        line += token.count(b"\n")
        last = token
