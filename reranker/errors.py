"""errors.py: the core's own failures, without HTTP; service/ maps their codes to statuses."""

from typing import ClassVar

from indexes.errors import Failure


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
