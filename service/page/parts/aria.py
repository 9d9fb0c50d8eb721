"""aria.py: what a reader of screens is told -> the attributes for it."""

from typing import Any


def aria(**named: str) -> Any:
    """aria(label="query") -> {"aria-label": "query"}, to be spread into a component."""
    return {f"aria-{name}": value for name, value in named.items()}
