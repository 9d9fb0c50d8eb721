"""doctor_findings.py: one thing that was looked at -> Finding: its state, the fact, what to do."""

from typing import Final, Literal

import msgspec

# Under which the doctor is told, in the context of its command, why the settings do not load.
SETTINGS_FAILURE: Final = "service.settings_failure"

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the doctor's."""

    check: str
    state: State
    message: str
    do: str = ""
