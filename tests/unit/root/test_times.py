"""One reader of times for every door: what it understands, what it refuses, and in which words."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.times import BadTime, Moment, TimeReader, TimeSettings

NOON = 1795435200.0  # 2026-11-23T12:00:00Z
TEN = NOON - 7200


def reader(**settings: Any) -> TimeReader:
    return TimeReader(TimeSettings(**settings), clock=lambda: NOON)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23T10:00:00Z",
        " 2026-11-23T10:00:00Z ",
        "2026-11-23t10:00:00z",
        "2026-11-23T10:00Z",
        "2026-11-23T10:00:00.000Z",
        "2026-11-23T10:00:00,000Z",
        "2026-11-23T10:00:00.000000000Z",
        "2026-11-23 10:00:00 UTC",
        "2026-11-23 10:00:00 GMT",
        "2026-11-23 10:00:00+00:00",
        "2026-11-23T10:00:00Z[UTC]",
        "2026-11-23T11:00:00+01",
        "2026-11-23T11:00:00+0100",
        "2026-11-23T11:00:00 +01:00",
        "2026-11-23T11:00:00+01:00[Europe/Berlin]",
        "2026-11-23T11:00:00[Europe/Berlin]",
        "2026/11/23 10:00:00 UTC",
        "20261123T100000Z",
        datetime(2026, 11, 23, 10, tzinfo=UTC),
    ],
)
def test_iso_8601_with_a_zone(value: Any) -> None:
    assert reader().read(value) == Moment(TEN, "iso")


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23 10:00:00",
        "2026-11-23T10:00",
        "2026-11-23T10",
        "20261123T1000",
        "20261123100000",
        20261123100000,
        202611231000,
        datetime(2026, 11, 23, 10),
    ],
)
def test_what_has_no_zone_is_utc_and_counted(value: Any) -> None:
    times = reader()
    moment = times.read(value)
    assert moment.seconds == TEN and not moment.zoned and times.without_zone == 1


@pytest.mark.parametrize("value", ["2026-11-23", "20261123", 20261123, 20261123.0, "2026/11/23"])
def test_a_day_is_its_first_second(value: Any) -> None:
    assert reader().read(value).seconds == TEN - 36_000


def test_the_end_of_a_day_and_a_leap_second() -> None:
    times = reader()
    assert times.read("2026-11-22T24:00:00Z").seconds == TEN - 36_000
    assert times.read("2026-11-22T24:00+01:00").seconds == TEN - 39_600
    assert times.read("2026-11-23T09:59:60Z").seconds == TEN


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
@pytest.mark.parametrize("write", [int, float, str, lambda number: f" {number:.0f} "])
def test_epoch_units_are_told_apart_by_size(unit: str, scale: float, write: Any) -> None:
    moment = reader().read(write(TEN * scale))
    assert moment.form == unit and moment.seconds == pytest.approx(TEN)


@given(seconds=st.floats(788918400, NOON + 86_400), unit=st.sampled_from([1, 1e3, 1e6, 1e9]))
def test_every_plausible_moment_comes_back_from_every_unit(seconds: float, unit: float) -> None:
    assert reader().read(seconds * unit).seconds == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2026, "looks like a year"),
        ("2026", "looks like a year"),
        (202611, "looks like a year and month"),
        (45000.41, "spreadsheet's day (2023-03-15)"),
        ("45000", "spreadsheet's day"),
        (0, "stands for no time"),
        ("0", "stands for no time"),
        (-1, "before times.earliest"),
        (600000000, "1989-01-05"),
        (99999999999, "5138-11-16"),
        ("1969-12-31T00:00:00Z", "before times.earliest (1995-01-01)"),
        ("0000-00-00", "ISO 8601"),
        ("2126-11-23T10:00:00Z", "in the future by more than times.future_minutes"),
        ("2026-W48-1", "a week date"),
        ("11/23/2026", "day and month cannot be told apart"),
        ("23.11.2026 10:00", "day and month cannot be told apart"),
        ("2026-11-23T10:00:00[Mars/Base]", "ISO 8601"),
        ("yesterday", "ISO 8601"),
        ("", "empty"),
        ("1_795_428_000", "ISO 8601"),
        (True, "ISO 8601"),
        (None, "ISO 8601"),
        ([], "ISO 8601"),
        (float("nan"), "ISO 8601"),
        (float("inf"), "ISO 8601"),
        pytest.param(10**5000, "ISO 8601", id="huge"),
    ],
)
def test_what_is_refused_says_what_it_looks_like(value: Any, words: str) -> None:
    with pytest.raises(BadTime) as bad:
        reader().read(value, "updated")
    assert str(bad.value).startswith("updated is ") and words in str(bad.value)


def test_the_range_is_a_setting() -> None:
    assert reader(earliest="1980-06-01").read("1989-01-05").seconds == 599961600
    ahead = "2026-11-23T13:00:00Z"
    assert reader(future_minutes=60).read(ahead).seconds == NOON + 3600
    with pytest.raises(BadTime, match="future_minutes"):
        reader(future_minutes=59).read(ahead)
    with pytest.raises(Failure, match="times.earliest is 'soon'"):
        TimeSettings(earliest="soon")


def test_mixed_units_are_named() -> None:
    times = reader()
    times.read(TEN)
    assert times.mixed() is None
    times.read(TEN * 1000)
    assert times.mixed() == "times come in mixed units: 1 in s, 1 in ms"


@given(st.text() | st.integers() | st.floats() | st.none() | st.lists(st.none()))
def test_anything_is_a_moment_or_refused(value: Any) -> None:
    times = reader()
    try:
        moment = times.read(value)
    except BadTime:
        return
    assert times.since <= moment.seconds <= times.until
