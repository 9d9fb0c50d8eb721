"""doctor_findings.py: one thing that was looked at -> Finding: its state, the fact, what to do."""

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the doctor's."""

    check: str
    state: State
    message: str
    do: str = ""
