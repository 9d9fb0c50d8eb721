"""quoting.py: a value -> how a message quotes it, cut to a readable length."""

from typing import Any


def shown(value: Any) -> str:
    """A value as it is quoted in a message, cut to a readable length."""
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    except ValueError:  # an int of more digits than Python writes
        text = f"a {type(value).__name__} of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
