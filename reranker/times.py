"""times.py: the time of a request or a ranking -> epoch seconds, and how far they can be relied on.

indexes/times.py reads; here is what becomes of what it refuses.
"""

import math
from typing import Any, Final, Literal, NamedTuple

from indexes.times import BadTime, Moment, TimeReader
from reranker.errors import BadRequest

# What is known of a moment. no_zone: it was read as UTC, which may be hours from what is meant.
# ahead: it has not come yet in any zone, so that nothing can have followed it.
Timing = Literal["known", "missing", "implausible", "no_zone", "ahead"]
ZONES: Final = 14 * 3600.0  # seconds that a time without a zone may be away from what it says
_SECONDS: Final = 1e11  # numbers below cannot be milliseconds of our times


class Read(NamedTuple):
    """A time as a file gave it. seconds: None where it is missing or implausible."""

    seconds: float | None
    timing: Timing


def read_time(value: Any, reader: TimeReader, field: str = "time") -> Read:
    """What a value says; BadTime for what is no time at all, such as "yesterday"."""
    if value is None or value == "":
        return Read(None, "missing")
    try:
        moment = reader.read(value, field)
    except BadTime as error:
        if error.seconds is None:
            raise
        return Read(None, "implausible")
    return Read(moment.seconds, timing_of(moment, reader.now))


def timing_of(moment: Moment, now: float) -> Timing:
    """How far a plausible time can be relied on."""
    if moment.seconds > now + (0.0 if moment.zoned else ZONES):
        return "ahead"
    return "known" if moment.zoned else "no_zone"


def seconds_of(time: float | str, field: str = "time") -> float:
    """Of a time that its door has let pass: its seconds stand, everything else is read."""
    if isinstance(time, float) and abs(time) < _SECONDS:
        return time
    try:
        return TimeReader().read(time, field).seconds
    except BadTime as error:  # the settings of its door may allow more than the usual ones
        if error.seconds is None or not math.isfinite(error.seconds):
            raise BadRequest(f"{error}.", field=field) from None
        return error.seconds
