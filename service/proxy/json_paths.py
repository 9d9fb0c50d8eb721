"""json_paths.py: a JSON value and a path such as `query.bool.must.0` -> what is there."""

from typing import Any


def value_at(value: Any, path: str) -> Any:
    """What stands at the path, numbers counting in lists from 0; None where nothing does.

    A name may hold dots itself, as fields of an index do.
    """
    if not path:
        return value
    if isinstance(value, dict):
        if path in value:
            return value[path]
        parts = path.split(".")
        for end in range(1, len(parts)):
            head = ".".join(parts[:end])
            if head in value:
                found = value_at(value[head], ".".join(parts[end:]))
                if found is not None:
                    return found
        return None
    head, _, rest = path.partition(".")
    if isinstance(value, list) and head.isdigit() and int(head) < len(value):
        return value_at(value[int(head)], rest)
    return None


def text_at(value: Any, path: str) -> str | None:
    """A text at the path, also under its `query`; None for anything else."""
    found = value_at(value, path)
    if isinstance(found, dict):
        found = found.get("query")
    return found if isinstance(found, str) and found.strip() else None
