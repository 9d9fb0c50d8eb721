"""keys.py: API keys of a test's home -> requests with them."""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask

BODY = {"candidates": [{"id": "1"}]}
EVENT = {"user": "u", "type": "view", "item": "1", "time": "2026-11-01T00:00:00Z"}
Said = Callable[..., tuple[int, str, str]]


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def everywhere(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Every rule with every method that it takes, and the address to ask."""
    for rule in app.url_map.iter_rules():
        address = rule.rule.replace("<path:file>", "x.js").replace("<path:user>", "u9")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.rule, method, address


def code(answer: Any) -> str | None:
    """The code of an error in our shape; None for one in another system's, which has no codes."""
    error = answer.get_json(silent=True).get("error")
    return error["code"] if isinstance(error, dict) and "code" in error else None
