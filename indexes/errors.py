"""errors.py: what went wrong -> a message that says how to mend it."""

from typing import ClassVar


class Failure(Exception):
    """An expected failure that a person can mend.

    message: what happened, naming the value received and what is allowed.
    field:   the setting, column or JSON path at fault, if there is one.
    hint:    the next command or change to make.
    """

    code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message
