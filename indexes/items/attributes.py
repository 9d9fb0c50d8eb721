"""attributes.py: attributes in any usual shape -> an object of names and values, without nulls."""

import re
from typing import Any, Final

from indexes.items.categories import parsed

_NAMES: Final = ("name", "key", "label", "code", "attribute", "id", "title")
_VALUES: Final = ("value", "values", "val", "option", "options", "text")
_PAIR: Final = re.compile(r"\s*([^=:;|\n]{1,100}?)\s*[=:]\s*([^;|\n]*?)\s*")


def read_attributes(value: Any) -> dict[str, Any] | None:
    """Names and values; None for what is neither an object, a list of pairs, nor "a=b; c=d"."""
    if isinstance(value, str):
        value = _of_text(value.strip())
    if isinstance(value, list):
        value = _of_list(value)
    if not isinstance(value, dict):
        return None
    return {name: part for name, part in value.items() if part is not None and part != ""}


def _of_text(text: str) -> Any:
    """An object written as JSON or as Python writes it, or pairs such as "colour=red; size=M"."""
    if text[:1] in ("{", "["):
        return parsed(text)
    parts = [part for part in re.split(r"[;|\n]", text) if part.strip()]
    if len(parts) == 1 and text.count("=") > 1:
        parts = text.split(",")
    pairs = [_PAIR.fullmatch(part) for part in parts]
    if not all(pairs):
        return None
    return {pair[1]: pair[2] for pair in pairs if pair is not None}


def _of_list(parts: list[Any]) -> dict[str, Any] | None:
    """[{"name": "colour", "value": "red"}], [["colour", "red"]], ["colour: red"] and the like."""
    found: dict[str, Any] = {}
    for part in parts:
        pairs = _pairs(part)
        if pairs is None:
            return None
        for name, value in pairs.items():
            found[name] = _both(found[name], value) if name in found else value
    return found


def _pairs(part: Any) -> dict[str, Any] | None:
    if isinstance(part, dict):
        name = next((part[key] for key in _NAMES if isinstance(part.get(key), str)), None)
        value = next((key for key in _VALUES if key in part), None)
        if name is not None and value is not None:
            return {name: part[value]}
        return part
    if isinstance(part, list) and len(part) == 2 and isinstance(part[0], str):
        return {part[0]: part[1]}
    if isinstance(part, str):
        pairs = _of_text(part.strip())
        return pairs if isinstance(pairs, dict) else None
    return {} if part is None else None


def _both(first: Any, second: Any) -> list[Any]:
    """Two values of one name, in a list."""
    return [*(first if isinstance(first, list) else [first]), second]
