"""attributes.py: attributes in any usual shape -> an object of names and values, without nulls."""

import re
from typing import Any, Final

from indexes.items.categories import parsed
from indexes.readers.file_forms import folded_name

# Under which a pair has its name and its value, folded, the likeliest first.
_NAMES: Final = (
    *("name", "attributename", "key", "label", "code", "attributecode", "attribute", "traittype"),
    *("property", "propertyname", "id", "title", "type"),
)
_VALUES: Final = (
    *("value", "values", "val", "option", "options", "attributevalue", "propertyvalue"),
    *("displayvalue", "text"),
)
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
    if len(parts) == 1 and max(text.count("="), text.count(":")) > 1:
        parts = text.split(",")
    pairs = [_PAIR.fullmatch(part) for part in parts]
    if not all(pairs):
        return None
    return {pair[1]: pair[2] for pair in pairs if pair is not None}


def _of_list(parts: list[Any]) -> dict[str, Any] | None:
    """[{"name": "colour", "value": "red"}], [["colour", "red"]], ["colour: red"] and the like."""
    attributes: dict[str, Any] = {}
    for part in parts:
        pairs = _pairs(part)
        if pairs is None:
            return None
        for name, value in pairs.items():
            attributes[name] = _both(attributes[name], value) if name in attributes else value
    return attributes


def _pairs(part: Any) -> dict[str, Any] | None:
    if isinstance(part, dict):
        by_fold = {folded_name(str(key)): part[key] for key in reversed(part)}
        names = (_name_of(by_fold[key]) for key in _NAMES if key in by_fold)
        name = next((name for name in names if name is not None), None)
        value = next((key for key in _VALUES if key in by_fold), None)
        if name is not None and value is not None:
            return {name: by_fold[value]}
        return part
    if isinstance(part, list) and len(part) == 2 and isinstance(part[0], str):
        return {part[0]: part[1]}
    if isinstance(part, str):
        pairs = _of_text(part.strip())
        return pairs if isinstance(pairs, dict) else None
    return {} if part is None else None


def _name_of(value: Any) -> str | None:
    """A text, or the name of an object: {"attribute": {"name": "colour"}, ...}."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def _both(first: Any, second: Any) -> list[Any]:
    """Two values of one name, in a list."""
    return [*(first if isinstance(first, list) else [first]), second]
