"""doctor_findings.py: one thing that was looked at -> Finding: its state, the fact, what to do."""

from typing import Final, Literal

import msgspec

State = Literal["ok", "warn", "fail"]
# Under which the program's context holds why the settings cannot be read.
SETTINGS_FAILURE: Final = "service.settings_failure"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the doctor's."""

    check: str
    state: State
    message: str
    do: str = ""
