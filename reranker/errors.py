"""errors.py: the core's own failures, without HTTP; service/ maps their codes to statuses."""

import re
from typing import ClassVar, Final

from indexes.errors import Failure

_PATH: Final = re.compile(r" - at `(key in )?\$\.?(?P<path>.*)`$", re.DOTALL)
_FIELD: Final = re.compile(r"(?:unknown|required) field `(?P<name>.*)`", re.DOTALL)


def invalid_place(message: str) -> tuple[str, str]:
    """msgspec's message -> the path as callers write it, `candidates[3].id`, and what is wrong."""
    at = _PATH.search(message)
    path = at["path"] if at else ""
    problem = message[: at.start()] if at else message
    if field := _FIELD.search(problem):
        path = f"{path}.{field['name']}" if path else field["name"]
    return path, problem


class BadRequest(Failure):
    """A request that is well-formed and cannot be meant: the field says where."""

    code: ClassVar[str] = "invalid_request"


class UnknownBlend(Failure):
    """A blend was named that does not exist."""

    code: ClassVar[str] = "unknown_blend"


class BadBlend(Failure):
    """A blend file that cannot be used; the message names line or field."""

    code: ClassVar[str] = "invalid_blend"


class Conflict(Failure):
    """Somebody else changed the same thing meanwhile; nothing was overwritten."""

    code: ClassVar[str] = "conflict"


class HistoryFailure(Failure):
    """The histories cannot be read or written now."""

    code = "history_unavailable"


class HistoryBusy(HistoryFailure):
    """Another process held the histories for too long."""

    code = "history_busy"


class HistoryDamaged(HistoryFailure):
    """What is kept cannot be read, or not whole."""

    code = "history_damaged"
