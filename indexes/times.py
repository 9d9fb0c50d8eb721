"""times.py: a time as people, logs and data frames write it -> epoch seconds, or why it is none.

The one reader of times for every door: items, events, rankings, requests, histories sent along.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from indexes.errors import Failure
from indexes.quoting import shown
from indexes.workspace import Settings

# Epoch units by their size: within the plausible years no number can be two of them.
_UNITS: Final = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_NO_ZONE: Final = "iso without zone"
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMPACT: Final = re.compile(r"(\d{8})(?:(\d{4})(\d{2})?)?", re.ASCII)
_WEEK: Final = re.compile(r"\d{4}-?W", re.ASCII | re.IGNORECASE)
_SLASHED: Final = re.compile(r"(\d{4})/(\d\d)/(\d\d)(?!/)", re.ASCII)
_UTC_NAME: Final = re.compile(r"(?<=[\d.])\s*(?:UTC|GMT)$", re.IGNORECASE)
_ZONE_NAME: Final = re.compile(r"\[([^\]]+)\]$")
_ZONE_APART: Final = re.compile(r"\s+(?=[+-]\d\d(?::?\d\d)?$)", re.ASCII)
_DAY_END: Final = re.compile(r"(?<=[T ])24(?=:?00(?::?00(?:[.,]0+)?)?(?:$|[Z+-]))", re.ASCII)
_LEAP_SECOND: Final = re.compile(r"(?<=[T ])(\d\d:?\d\d:?)60", re.ASCII)
_DAY_FIRST: Final = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", re.ASCII)
_EXPECTED: Final = (
    "ISO 8601 with a zone, such as 2026-11-23T10:00:00Z, or epoch seconds, ms, us or ns"
)


class TimeSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which times are plausible, wherever a time is read."""

    earliest: Annotated[
        str, msgspec.Meta(description="Times before this day (ISO 8601) are refused.")
    ] = "1995-01-01"
    future_minutes: Annotated[
        float,
        msgspec.Meta(ge=0, description="Times further ahead of this machine's clock are refused."),
    ] = 1440.0

    def __post_init__(self) -> None:
        self.since()

    def since(self) -> float:
        """`earliest` in epoch seconds; Failure where it is no day after 1970-01-02."""
        try:
            seconds = datetime.fromisoformat(self.earliest).replace(tzinfo=UTC).timestamp()
        except ValueError:
            seconds = -1.0
        if seconds < 86_400:
            raise Failure(
                f"times.earliest is {self.earliest!r}; a day after 1970-01-02 is expected.",
                field="times.earliest",
                hint='Write it as "1995-01-01".',
            )
        return seconds


class BadTime(ValueError):
    """A value that is no plausible time; the message names it, and what it looks like.

    seconds: what it would be, where it can be read and is only implausible.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Moment(NamedTuple):
    """A point in time. seconds: since 1970, UTC. form: `s`, `ms`, `us`, `ns`, or `iso` with or
    without zone; what has no zone is read as UTC."""

    seconds: float
    form: str

    @property
    def zoned(self) -> bool:
        """Whether the value itself says which moment is meant."""
        return self.form != _NO_ZONE


class TimeReader:
    """Reads times of one file or request, and counts the forms in which they came.

    clock: epoch seconds now, asked once.
    """

    def __init__(
        self, settings: TimeSettings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        settings = settings or TimeSettings()
        self._settings = settings
        self.now = clock()
        self.since = _since(settings)
        self.until = self.now + settings.future_minutes * 60
        self.forms: Counter[str] = Counter()

    def read(self, value: Any, name: str = "time") -> Moment:
        """The moment that a value means; BadTime, which begins with `name`, for anything else."""
        usual = _usual(value) if type(value) is str else None
        moment = self._moment(value, name) if usual is None else self._plausible(usual, value, name)
        self.forms[moment.form] += 1
        return moment

    @property
    def without_zone(self) -> int:
        """How many times named no zone."""
        return self.forms[_NO_ZONE]

    def mixed(self) -> str | None:
        """A warning where the epoch times came in several units; None where they agree."""
        units = [unit for unit, _ in _UNITS if self.forms[unit]]
        if len(units) < 2:
            return None
        counts = ", ".join(f"{self.forms[unit]:,} in {unit}" for unit in units)
        return f"times come in mixed units: {counts}"

    def _moment(self, value: Any, name: str) -> Moment:
        if isinstance(value, bool) or value is None:
            raise BadTime(f"{name} is {shown(value)}; {_EXPECTED} are expected")
        if isinstance(value, datetime):
            return self._plausible(_of_datetime(value), value, name)
        if isinstance(value, int | float):
            return self._of_number(value, value, name)
        if not isinstance(value, str):
            raise BadTime(f"{name} is {shown(value)}; {_EXPECTED} are expected")
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return self._of_number(float(text), value, name)
        moment = _of_text(text)
        if moment is None:
            raise BadTime(f"{name} is {shown(value)}{_likeness(text)}; {_EXPECTED} are expected")
        return self._plausible(moment, value, name)

    def _of_number(self, number: float, value: Any, name: str) -> Moment:
        try:
            number = float(number)
        except OverflowError:
            number = math.inf
        for unit, scale in _UNITS:
            if self.since <= number / scale <= self.until:
                return Moment(number / scale, unit)
        compact = _compact(number)
        if compact is not None and self.since <= compact.seconds <= self.until:
            return compact
        looks = self._number_likeness(number)
        raise BadTime(f"{name} is {shown(value)}{looks}; {_EXPECTED} are expected", number)

    def _plausible(self, moment: Moment, value: Any, name: str) -> Moment:
        if moment.seconds > self.until:
            raise BadTime(
                f"{name} is {shown(value)}, in the future by more than times.future_minutes "
                f"({self._settings.future_minutes:g})",
                moment.seconds,
            )
        if moment.seconds < self.since:
            raise BadTime(
                f"{name} is {shown(value)}, before times.earliest ({self._settings.earliest})",
                moment.seconds,
            )
        return moment

    def _number_likeness(self, number: float) -> str:
        """What a number that is no plausible time looks like."""
        if number == 0:
            return ", which stands for no time at all"
        if number.is_integer() and 1900 <= number <= 2100:
            return ", which looks like a year"
        if number.is_integer() and 0 < number < 1000:
            return ", which counts something, such as a shopper's orders, and is no time"
        if number.is_integer() and 190001 <= number <= 210012 and 1 <= number % 100 <= 12:
            return ", which looks like a year and month"
        if 20_000 <= number <= 80_000:
            day = datetime(1899, 12, 30) + timedelta(days=number)
            return f", which looks like a spreadsheet's day ({day:%Y-%m-%d})"
        year = _year(number)
        if year is None:
            return ""
        if number > self.until:
            return f", in the future by more than times.future_minutes (as seconds: {year})"
        return f", before times.earliest ({self._settings.earliest}; as seconds: {year})"


@lru_cache(maxsize=64)
def _since(settings: TimeSettings) -> float:
    return settings.since()


def _of_datetime(at: datetime) -> Moment:
    if at.tzinfo is None:
        return Moment(at.replace(tzinfo=UTC).timestamp(), _NO_ZONE)
    return Moment(at.timestamp(), "iso")


def _usual(text: str) -> Moment | None:
    """ISO 8601 with dashes as Python reads it, many times faster; `_of_text` reads it alike."""
    if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in ("T", " ", "") or "z" in text:
        return None
    try:
        return _of_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        return None


def _of_text(text: str) -> Moment | None:
    """ISO 8601 in its usual forms: no week dates, which are not usual for a moment."""
    if _WEEK.match(text):
        return None
    plain = _SLASHED.sub(r"\1-\2-\3", text.upper(), count=1)
    plain, zone = _named_zone(_ZONE_APART.sub("", plain), text)
    plain, leap = _LEAP_SECOND.subn(r"\g<1>59", plain)
    plain, days = _DAY_END.subn("00", plain)
    try:
        at = datetime.fromisoformat(plain) + timedelta(days=days, seconds=leap)
        if zone is not None and at.tzinfo is None:
            at = at.replace(tzinfo=ZoneInfo(zone))
        return _of_datetime(at)
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def _named_zone(plain: str, text: str) -> tuple[str, str | None]:
    """The text without a zone's name at its end, and that name: ` UTC`, `[Europe/Berlin]`."""
    if named := _ZONE_NAME.search(text):
        return plain[: -len(named[0])].rstrip(), named[1]
    without = _UTC_NAME.sub("", plain)
    return without, "UTC" if without != plain else None


def _compact(number: float) -> Moment | None:
    """20261123, 202611231000 and 20261123100000 as the digits of a date."""
    if not number.is_integer() or not 1e7 <= number < 1e14:
        return None
    digits = _COMPACT.fullmatch(str(int(number)))
    if digits is None:
        return None
    date, minutes, seconds = digits.groups()
    try:
        return _of_datetime(datetime.fromisoformat(f"{date}T{minutes or '0000'}{seconds or '00'}"))
    except ValueError:
        return None


def _likeness(text: str) -> str:
    """What a text that is no time looks like."""
    if not text:
        return ", which is empty"
    if _WEEK.match(text):
        return ", which looks like a week date"
    if _DAY_FIRST.match(text):
        return ", of which day and month cannot be told apart"
    return ""


def _year(seconds: float) -> str | None:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return None
