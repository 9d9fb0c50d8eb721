"""translated.py: what a row of another system's log turns into, and what a format is."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reranker.events.cleaning import BadEvent
from reranker.log_formats.values import Row

# What a row of quite another build may raise: lists for names, numbers beyond any float, depth.
ODD: Final = (
    *(TypeError, ValueError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError),
)


class Impression(NamedTuple):
    """One item of a ranking that a shopper saw; the ranking is known when all of them are."""

    ranking: Any
    item: Any
    position: Any
    about: Row  # time, user, session and query, as far as they are said


class Translated(NamedTuple):
    """What a row says, in rows of ours.

    events, rankings: as files of these hold them. by_number: the rankings' items are bare numbers,
    and nothing says that they are ids. attributes: user, time and fields of users.
    passed_over: why the row, or a part of it, says nothing.
    """

    events: list[Row] = []
    rankings: list[Row] = []
    impressions: list[Impression] = []
    by_number: bool = False
    attributes: list[Row] = []
    passed_over: str | None = None


class Log(NamedTuple):
    """A log that is to be read. own: the shop's types and words of types. columns: what a person
    said of it, fields of ours -> its columns."""

    path: Path | None = None
    own: Collection[str] = ()
    columns: Mapping[str, str] = {}


Translate = Callable[[Row], Translated]


class LogFormat(NamedTuple):
    """One format. meaning: which of its columns is which of ours. is_of: whether a row is of it.

    opened: what translates the rows of one log. needs: columns of its files.
    """

    name: str
    title: str
    meaning: str
    is_of: Callable[[Row], bool]
    opened: Callable[[Log], Translate]
    needs: tuple[str, ...] = ()


def careful(format_: LogFormat, log: Log) -> Translate:
    """What translates the rows of a log; BadEvent, too, for a row of quite another build."""
    translate = format_.opened(log)

    def translated(row: Row) -> Translated:
        try:
            return translate(row)
        except ODD:
            raise BadEvent("", f"this is no row of {format_.title}") from None

    return translated


def present(row: Row) -> Row:
    """The row without what is not there."""
    return {name: value for name, value in row.items() if value is not None and value != ""}


def no_event(field: str, value: Any, allowed: str) -> BadEvent:
    """What is wrong with a field of a row."""
    return BadEvent(field, f"{field} is {value!r}; {allowed} is expected")
