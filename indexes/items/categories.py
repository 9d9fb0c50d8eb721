"""categories.py: a category in any usual shape -> its paths in one text: "A > B | C > D".

A path is written from the top down. `>` (or -> » › →) separates levels; where there is none, `|`
does, else `/`. Beside `>`, `|` and `;` separate paths, and so does `|` where all that it separates
has a `/`. A comma is part of a name.
"""

import ast
import re
from typing import Any, Final

import msgspec

from indexes.items.plain_text import plain
from indexes.items.values import null_word, word_of

BETWEEN_PATHS: Final = " | "
_BETWEEN_LEVELS: Final = " > "
_ARROWS: Final = re.compile(r"\s*(?:[-=]*>|»|›|→)\s*")
_PATHS: Final = re.compile(r"[|;]")
_SLASH: Final = re.compile(r"(?<![0-9])\s*/\s*|\s*/\s*(?![0-9])")  # no 24/7
_NAMES: Final = ("path", "full_path", "fullpath", "breadcrumb", "name", "title", "label", "value")
_MOST: Final = 100  # paths of one item

Path = tuple[str, ...]


def read_category(value: Any) -> str | None:
    """The paths of an item's category, "" where it has none; None for what is no category."""
    if isinstance(value, str) and value[:1] in "[{":
        value = parsed(value)
    try:
        paths = _without_parents(_paths(value))
    except (ValueError, RecursionError):
        return None
    return BETWEEN_PATHS.join(_BETWEEN_LEVELS.join(path) for path in paths)


def split_paths(category: str) -> list[str]:
    """The paths in what `read_category` made."""
    return category.split("|")


def parsed(cell: str) -> Any:
    """What a cell holds that is written as JSON or as Python writes it; else the cell."""
    try:
        return msgspec.json.decode(cell)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(cell) if len(cell) < 100_000 else cell
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return cell


def _paths(value: Any) -> list[Path]:
    """ValueError for a value that no category has."""
    if isinstance(value, dict):
        name = next((value[name] for name in _NAMES if name in value), None)
        if name is not None:
            return _paths(name)
        values = list(value.values())  # {"lvl0": "Home", "lvl1": "Home > Light"}
        if not values or not all(isinstance(part, str | list | None) for part in values):
            raise ValueError
        return [path for part in values for path in _paths(part)]
    if not isinstance(value, list):
        return _text_paths(_text(value))
    parts = [part for part in value if part is not None and part != "" and part != []]
    if any(isinstance(part, list) for part in parts):
        return [path for part in parts for path in _paths(part)]
    each = [_paths(part) for part in parts]
    if any(len(paths) != 1 or len(paths[0]) > 1 for paths in each):  # paths, not levels of one
        return [path for paths in each for path in paths]
    levels = tuple(paths[0][0] for paths in each)
    return [levels] if levels else []


def _text(value: Any) -> str:
    text = word_of(value)
    if text is None:
        raise ValueError
    return "" if null_word(text) else plain(text)


def _text_paths(text: str) -> list[Path]:
    if _ARROWS.search(text):
        paths = [_levels(_ARROWS.split(part)) for part in _PATHS.split(text)]
    elif ";" in text:
        paths = [_levels(re.split(r"\||/", part)) for part in text.split(";")]
    elif "|" in text:
        parts = text.split("|")
        each_has_levels = all(_SLASH.search(part) for part in parts)
        paths = (
            [_levels(_SLASH.split(part)) for part in parts] if each_has_levels else [_levels(parts)]
        )
    else:
        paths = [_levels(_SLASH.split(text) if "://" not in text else [text])]
    return [path for path in paths if path]


def _levels(parts: list[str]) -> Path:
    return tuple(level for part in parts if (level := " ".join(part.split())))


def _without_parents(paths: list[Path]) -> list[Path]:
    """Each path once, and none that another one goes on from: Home beside Home > Light."""
    paths = list(dict.fromkeys(paths))[:_MOST]
    return [
        path
        for path in paths
        if not any(len(other) > len(path) and other[: len(path)] == path for other in paths)
    ]
