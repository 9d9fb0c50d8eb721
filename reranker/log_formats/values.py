"""values.py: a row of a log and the path of a value in it -> the value, however it is nested."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from indexes.readers.file_forms import folded_name

Row = dict[str, Any]
# In which of them a value of BigQuery's key-value lists stands.
_TYPED: Final = ("string_value", "int_value", "double_value", "float_value")
_FILLERS: Final = frozenset(("", "(not set)", "(none)", "(data not available)"))


def value_at(row: Any, path: str) -> Any:
    """What stands at a path such as `event_attributes.object.object_id`; None where nothing does.

    A column may have a whole path for its name, as flattened exports do; a cell may hold JSON as
    text; a list of {key, value} is looked up by its keys.
    """
    if isinstance(row, str):
        row = _decoded(row)
    if isinstance(row, list):
        row = _of_pairs(row)
    if not isinstance(row, dict):
        return None
    if path in row:
        return _untyped(row[path])
    head, _, rest = path.partition(".")
    while rest:
        if head in row and (value := value_at(row[head], rest)) is not None:
            return value
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def first_of(row: Any, *paths: str) -> Any:
    """The value at the first of these paths that holds one; fillers such as (not set) are none."""
    for path in paths:
        value = value_at(row, path)
        if value is not None and not (isinstance(value, str) and value.strip() in _FILLERS):
            return value
    return None


def objects_at(row: Any, path: str) -> Iterator[Row]:
    """The objects of a list at this path; a single object counts as a list of one."""
    value = value_at(row, path)
    if isinstance(value, str):
        value = _decoded(value)
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            yield part


def folded(row: Row) -> Row:
    """The row under its columns' names without case, blanks and underscores."""
    return {_folded(name): value for name, value in row.items()}


_folded: Final = lru_cache(maxsize=1024)(folded_name)  # every row of a table has the same


def one_id(value: Any) -> Any:
    """An id that a data frame wrote as 13085.0 as 13085."""
    if isinstance(value, str) and value.endswith(".0") and value[:-2].isdigit():
        return value[:-2]
    return value


def _decoded(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _of_pairs(pairs: list[Any]) -> Row:
    """BigQuery's [{"key": "a", "value": {"int_value": 1}}] as {"a": 1}."""
    return {
        str(pair["key"]): _untyped(pair.get("value"))
        for pair in pairs
        if isinstance(pair, dict) and "key" in pair
    }


def _untyped(value: Any) -> Any:
    """The value among {"string_value": null, "int_value": 1}; any other value as it is."""
    if not isinstance(value, dict) or not any(name in value for name in _TYPED):
        return value
    return next((value[name] for name in _TYPED if value.get(name) is not None), None)
