"""events.py: POST /events -> events in the histories, and what is wrong with the others.

The answer is sent when the events are on the disk: who reads "accepted" may forget them.
"""

import logging
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
from flask import Response

from indexes.times import TimeSettings
from reranker.errors import BadRequest, HistoryFailure
from reranker.events.bots import EventRates
from reranker.events.cleaning import BadEvent, Cleaner
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings
from reranker.histories.histories import Histories
from service.http.answers import Malformed, error_answer
from service.http.received import has_more
from service.http.settings import LimitSettings
from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")

_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_FIRST: Final = re.compile(rb"\s*+(\S?)")
_LINE: Final = re.compile(rb"[^\r\n]+")
_MOST_VALUES: Final = 10_000  # in one event, however nested
_any: Final = msgspec.json.Decoder(dict[str, Any])


class Rejected(msgspec.Struct, frozen=True):
    """One event that was not kept. position: counts from 0 in the order in which they were sent."""

    position: int
    field: str
    message: str


class EventsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `POST /events` answers.

    accepted: events that are kept now, on the disk, together with `duplicates`: those of them that
    were kept before, with the same shopper, id and content. conflicts: those of them whose shopper
    has another event with the same id; both are kept. accepted and rejected add up to what was
    sent. bot_like: those of the accepted that came when their shopper had more than
    events.bot_events_per_minute.

    Of a log in another format, and only where they say something: format, its name; rankings, how
    many were logged; attributes, of how many users; passed_over, objects that say nothing here;
    warnings. position is then the place of the object that was sent, and an object may be several
    events.
    """

    accepted: int
    duplicates: int
    conflicts: int
    bot_like: int
    rejected: list[Rejected]
    format: str = "events"
    rankings: int = 0
    attributes: int = 0
    passed_over: int = 0
    warnings: list[str] = []


class BadPart(ValueError):
    """A part of a body that is no object. message: without a full stop."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message, self.field = message, field


class Checked(NamedTuple):
    """The events of a body: the good ones, what is wrong with the others, how many are a bot's."""

    events: list[HistoryEvent]
    rejected: list[Rejected]
    bot_like: int  # of the good ones, or of the rejected with events.drop_bots


class EventKeeper:
    """What every route that takes events ends in: clean, keep, count."""

    def __init__(
        self,
        histories: Histories,
        limits: LimitSettings,
        settings: EventSettings,
        times: TimeSettings,
        metrics: Metrics,
    ) -> None:
        self.limits, self.settings = limits, settings
        self._histories, self._times, self._metrics = histories, times, metrics
        self._rates = EventRates(settings)

    def keep(self, parts: Sequence[bytes | msgspec.Raw]) -> EventsAnswer:
        """The good ones are on the disk when this returns; HistoryFailure: none of them is."""
        settings = self.settings
        cleaner = Cleaner(settings, self._times, strict=True)
        events, rejected, bot_like = check_events(
            parts, cleaner, settings, self.limits, self._rates
        )
        done = self._histories.append(events)
        wrong = [bad.field for bad in rejected]
        self._metrics.count_events(len(events), done.duplicates, done.conflicts, bot_like, wrong)
        kept_bots = 0 if settings.drop_bots else bot_like
        return EventsAnswer(len(events), done.duplicates, done.conflicts, kept_bots, rejected)


def split_events(body: bytes, most: int, kind: str = "event") -> list[bytes | msgspec.Raw]:
    """The events, or items, of a body, each still encoded: an object, an array, or lines of them.

    Raises Malformed when it is none of these, BadRequest when there are more than `most`: they are
    counted before, or while, they are split.
    """
    first = _FIRST.match(body)
    start = first[1] if first else b""
    if start == b"[":
        return list(_array(body, most, kind))
    if start != b"{":
        raise Malformed(f"The body is no {kind}: an object, an array or NDJSON is expected.")
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        return [body]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        lines = _lines(body, most)
        if not _is_lines(lines):
            raise Malformed(f"The body is not JSON: {error}.") from None
    if len(lines) > most:
        raise too_many_events(most, kind)
    return list(lines)


def _array(body: bytes, most: int, kind: str) -> list[msgspec.Raw]:
    if has_more(body, most):
        raise too_many_events(most, kind)
    try:
        parts = _list.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None
    if len(parts) > most:
        raise too_many_events(most, kind)
    return parts


def _lines(body: bytes, most: int) -> list[bytes]:
    """The lines that are not blank; no more than one above `most` of them."""
    lines = (match.group() for match in _LINE.finditer(body))
    return list(islice((line for line in lines if line.strip()), most + 1))


def too_many_events(most: int, kind: str = "event") -> BadRequest:
    return BadRequest(
        f"The body has more than {most:,} {kind}s; at most {most:,} are allowed "
        "(events.request_events)."
    )


def _is_lines(lines: list[bytes]) -> bool:
    """NDJSON: several lines, each of which begins as an object, even where one of them is broken.

    The lines of one object that is written over several do not.
    """
    return len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines[:2])


def check_events(
    parts: Sequence[bytes | msgspec.Raw],
    cleaner: Cleaner,
    settings: EventSettings,
    limits: LimitSettings,
    rates: EventRates,
) -> Checked:
    """The good ones, and why the others are not."""
    events, rejected, bot_like = [], [], 0
    for position, part in enumerate(parts):
        try:
            event = cleaner.clean(decoded_part(part))
            if event.query is not None and len(event.query) > limits.query_chars:
                raise BadEvent("query", f"query has more than {limits.query_chars:,} characters")
            if rates.too_many(event):
                bot_like += 1
                if settings.drop_bots:
                    raise _too_many(event, settings)
            events.append(event)
        except BadEvent as error:
            rejected.append(Rejected(position, error.field or "", f"{error.message}."))
        except BadPart as bad:
            rejected.append(Rejected(position, "", f"{bad.message}."))
    return Checked(events, rejected, bot_like)


def _too_many(event: HistoryEvent, settings: EventSettings) -> BadEvent:
    field = "session" if event.user is None else "user"
    return BadEvent(
        field,
        f"this {field} has more than {settings.bot_events_per_minute:,} events in a minute "
        "(events.bot_events_per_minute) and events.drop_bots is on",
    )


def decoded_part(part: bytes | msgspec.Raw, kind: str = "event") -> dict[str, Any]:
    """The object that a part is; BadPart with the reason where it is none."""
    if bytes(part).count(b",") > _MOST_VALUES:  # tiny ones take many times the memory of their text
        raise BadPart(f"this {kind} has more than {_MOST_VALUES:,} values")
    try:
        return _any.decode(part)
    except msgspec.ValidationError:
        raise BadPart(f"this is no {kind}; an object is expected") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPart(f"this is not JSON: {error}") from None


def not_kept(failure: HistoryFailure) -> Response:
    """None of them is kept, and the sender has to know; the log says where and why."""
    log.error("events cannot be kept: %s", failure)
    message = "The events cannot be kept now and none was; send them again. The log has the reason."
    answer = error_answer(503, message, failure.code)
    answer.headers["Retry-After"] = "1"
    return answer
