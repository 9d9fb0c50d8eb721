"""requests.py: requests file (.jsonl, .jsonl.gz) -> judged requests, and what a shop sends.

A line that cannot be used is reported with its number and reason, and skipped. One whose time is
missing or implausible is used without it, and counted.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.names import BadName, read_name
from indexes.quoting import shown
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.rows import file_kind, read_rows
from indexes.times import BadTime, TimeSettings
from indexes.workspace import Workspace
from reranker.events.cleaning import BadEvent, Cleaner, NoConsent
from reranker.events.settings import EventSettings
from reranker.metrics.ranking import MAX_GRADE
from reranker.requests import Candidate, Event, JudgedRequest, RerankRequest
from reranker.signals.context import newest_time
from reranker.times import Timing, read_time, seconds_of

_KEYS: Final = frozenset(JudgedRequest.__struct_fields__) - {"timing"}
_NAMES: Final = ("id", "user", "session")
_CANDIDATE: Final = frozenset(Candidate.__struct_fields__)
_KINDS: Final = 1000  # different unknown types that are counted


class JudgedRequestReader:
    """Reads requests' lines, and counts the times that say less than they should."""

    def __init__(
        self,
        times: TimeSettings | None = None,
        events: EventSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cleaner = Cleaner(events or EventSettings(), times, clock=clock)
        self._times = self._cleaner.times  # one for all: units that differ are told
        self.timings: Counter[Timing] = Counter()
        self.unknown_types: Counter[str] = Counter()
        self.events_without_zone = 0

    def read(self, row: dict[str, Any]) -> JudgedRequest:
        """One line's object as a request; ValidationError or Failure says what is wrong with it."""
        try:
            return self._request(row)
        except (BadName, BadTime) as error:
            raise Failure(str(error)) from None

    def warnings(self) -> list[str]:
        """What is to be said of the times that were read, a sentence each."""
        warnings = []
        if count := self.timings["implausible"]:
            warnings.append(
                f"{count:,} requests have an implausible time; they are read as having none"
            )
        if count := self.timings["ahead"]:
            warnings.append(f"{count:,} requests have a time that has not come yet")
        if count := self.timings["no_zone"]:
            warnings.append(f"{count:,} requests have a time without a zone; it is read as UTC")
        if count := self.events_without_zone:
            warnings.append(
                f"{count:,} history events have a time without a zone; it is read as UTC, so some "
                "may have come after their request"
            )
        if mixed := self._times.mixed():
            warnings.append(mixed)
        if count := self.unknown_types.total():
            [(kind, _)] = self.unknown_types.most_common(1)
            warnings.append(
                f"{count:,} history events of types that the setting events.types does not have, "
                f"such as {kind!r}, are left out"
            )
        return warnings

    def _request(self, row: dict[str, Any]) -> JudgedRequest:
        fields = {key: row[key] for key in _KEYS & row.keys() if row[key] is not None}
        at = read_time(fields.pop("time", None), self._times)
        for name in _NAMES:
            fields[name] = read_name(name, fields.get(name))
        fields["id"] = fields["id"] or ""
        if isinstance(fields.get("query"), int | float):
            fields["query"] = str(fields["query"])
        if "candidates" in fields:
            fields["candidates"] = _candidates(fields["candidates"])
        if "ratings" in fields:
            fields["ratings"] = _ratings(fields["ratings"])
        if "shown" in fields:
            fields["shown"] = _names("shown", fields["shown"])
        if "history" in fields:
            before = self._times.without_zone
            fields["history"] = self._history(fields["history"])
            self.events_without_zone += self._times.without_zone - before
        request = _typed(fields)
        _check_candidates(request)
        for item, grade in request.ratings.items():
            check_grade(grade, f"ratings.{item}")
        self.timings[at.timing] += 1
        return msgspec.structs.replace(request, time=at.seconds, timing=at.timing)

    def _history(self, rows: Any) -> Any:
        """The events, cleaned as stored ones are; one without a time is of the one before it."""
        if not isinstance(rows, list):
            return rows
        events: list[Event] = []
        last: float | None = None
        for place, row in enumerate(rows):
            try:
                clean = self._cleaner.clean_sent(row, math.nan)
            except NoConsent:
                continue
            except BadEvent as error:
                if not self._is_unknown_type(error, row):
                    where = "." if error.field else ": "
                    raise Failure(f"history[{place}]{where}{error.message}") from None
                continue
            last = last if math.isnan(clean.time) else clean.time
            fields = {name: getattr(clean, name) for name in Event.__struct_fields__}
            events.append(Event(**fields | {"time": last}))
        return events

    def _is_unknown_type(self, error: BadEvent, row: Any) -> bool:
        """Such an event says nothing to anybody here, and is no fault of the line; counted."""
        kind = row.get("type") if error.field == "type" else None
        if not isinstance(kind, str) or not kind.strip():
            return False
        if kind in self.unknown_types or len(self.unknown_types) < _KINDS:
            self.unknown_types[kind] += 1
        return True


def read_requests(
    path: Path, on_bad: OnBad, reader: JudgedRequestReader | None = None
) -> Iterator[JudgedRequest]:
    """The requests of a file in its order, streaming. Equal ids are all kept."""
    if file_kind(path) != ".jsonl":
        raise Failure(
            f"{path} is no requests file: its name has to end in .jsonl or .jsonl.gz.",
            hint='One JSON object a line: {"id", "query", "candidates", "ratings"}.',
        )
    reader = reader or JudgedRequestReader()
    for number, row in read_rows(path, (), on_bad):
        try:
            yield reader.read(row)
        except (msgspec.ValidationError, Failure) as error:
            on_bad(BadLine(number, str(error).rstrip(".")))


def _typed(fields: dict[str, Any]) -> JudgedRequest:
    """Everything else is of its type; what was read already stands."""
    history = fields.pop("history", None)
    if history is not None and not isinstance(history, list):
        raise Failure(f"history is {shown(history)}; an array of events is expected")
    return msgspec.structs.replace(msgspec.convert(fields, JudgedRequest), history=history)


def rerank_request(judged: JudgedRequest) -> RerankRequest:
    """What a search backend would have sent at that time.

    Point in time: of the history only events before the request's time are kept; a logged history
    may hold what came after it, the very purchase that is to be foreseen. Without a time it was
    asked just after its newest history event: the clock of today says nothing of a log.
    """
    return RerankRequest(
        candidates=judged.candidates,
        query=judged.query,
        user=judged.user,
        session=judged.session,
        history=_history_before(judged),
        time=_time(judged),
    )


def _time(judged: JudgedRequest) -> float | str | None:
    newest = newest_time(judged.history) if judged.time is None else None
    return judged.time if newest is None else math.nextafter(newest, math.inf)


def check_grade(grade: float, where: str) -> None:
    """Failure unless this is a grade: a number from 0 that 2^grade can be taken of."""
    if not 0 <= grade <= MAX_GRADE:
        raise Failure(f"{where} is {grade}; grades are numbers from 0 to {MAX_GRADE:g}")


def _candidates(rows: Any) -> Any:
    """The same objects with only the keys that we read, ids in their one form."""
    if not isinstance(rows, list):
        return rows
    return [
        _candidate(row, f"candidates[{place}]") if isinstance(row, dict) else row
        for place, row in enumerate(rows)
    ]


def _names(field: str, names: Any) -> Any:
    """Ids in their one form."""
    if not isinstance(names, list):
        return names
    return [read_name(f"{field}[{place}]", name) for place, name in enumerate(names)]


def _candidate(row: dict[str, Any], where: str) -> dict[str, Any]:
    fields = {key: row[key] for key in _CANDIDATE & row.keys() if row[key] is not None}
    if "id" in fields:
        fields["id"] = _item(f"{where}.id", fields["id"])
    return fields


def _ratings(rows: Any) -> Any:
    """Grades by items' ids in their one form; null says that nobody rated the item."""
    if not isinstance(rows, dict):
        return rows
    ratings: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, grade in rows.items():
        if grade is None:
            continue
        item = _item("ratings", key)
        if item in ratings:
            raise Failure(f"ratings holds {item!r} twice, as {written[item]!r} and as {key!r}")
        ratings[item], written[item] = grade, key
    return ratings


def _item(field: str, value: Any) -> str:
    name = read_name(field, value)
    if name is None:
        raise Failure(f"{field} is empty; an item's id is expected")
    return name


def _check_candidates(request: JudgedRequest) -> None:
    ids = [candidate.id for candidate in request.candidates]
    if not ids:
        raise Failure("candidates is empty, so there is nothing to order")
    if len(set(ids)) < len(ids):
        [(item, times)] = Counter(ids).most_common(1)
        raise Failure(f"candidates holds {item!r} {times} times; every item may stand there once")
    _check_shown(request.shown, set(ids))


def _check_shown(items: list[str] | None, candidates: set[str]) -> None:
    if items is None:
        return
    if len(set(items)) < len(items):
        raise Failure("shown holds an item twice")
    for place, item in enumerate(items):
        if item not in candidates:
            raise Failure(f"shown[{place}] is {item!r}, which is none of the candidates")


def _history_before(judged: JudgedRequest) -> list[Event] | None:
    if judged.history is None or judged.time is None:
        return judged.history
    now = seconds_of(judged.time)
    return [event for event in judged.history if event.time is None or seconds_of(event.time) < now]


def request_reader(workspace: Workspace) -> JudgedRequestReader:
    """One that reads as this home's settings say."""
    return JudgedRequestReader(workspace.section(TimeSettings), workspace.section(EventSettings))
