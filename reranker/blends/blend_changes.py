"""blend_changes.py: two blends -> what differs: `signals.semantic.weight: 1.5 -> 2`."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from reranker.blends.blend import Blend

_NOT_COMPARED: Final = ("name", "version")
_LONG: Final = 60
_ABSENT: Final = object()


def changes(before: Blend, after: Blend) -> list[str]:
    """Every value that differs, by its path; none for the same blend under another name."""
    old, new = _plain(before), _plain(after)
    return list(_differences("", old, new))


def _plain(blend: Blend) -> Any:
    found = msgspec.to_builtins(blend)
    for name in _NOT_COMPARED:
        found.pop(name, None)
    return found


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            below = f"{path}.{key}" if path else key
            yield from _differences(below, old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif old != new:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "(none)"
    if isinstance(value, dict) and "weight" in value:
        return f"{value['weight']:g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
