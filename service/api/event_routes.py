"""event_routes.py: POST /events, in our format or another system's -> kept events and rankings.

What is not ours is told by its first object, or named: `POST /events?format=ubi`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine
from indexes.readers.file_forms import FileForm
from indexes.readers.json_shapes import Opener
from indexes.times import TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes, Fact, read_fact
from reranker.errors import BadRequest, HistoryFailure
from reranker.events.cleaning import BadEvent
from reranker.feedback.imported_rankings import ImportedRankings
from reranker.ingestion.log_reading import RankingsKept
from reranker.log_formats.column_maps import COLUMNS, read_columns, said_otherwise
from reranker.log_formats.formats import EVENTS, NAMES, detected_format, named_format
from reranker.log_formats.translated import Log, LogFormat, careful
from reranker.log_formats.values import Row
from service.api.events import (
    BadPart,
    EventKeeper,
    EventsAnswer,
    Rejected,
    decoded_part,
    not_kept,
    split_events,
    too_many_events,
)
from service.http.answers import json_answer
from service.http.received import read_body

log = logging.getLogger("reranker")

Part = bytes | msgspec.Raw
Decode = Callable[[Part], dict[str, Any]]
_LOOKED_AT: Final = 5  # objects


class LogKeeper:
    """What every route that takes logs ends in: translate, keep, log rankings, answer."""

    def __init__(self, keeper: EventKeeper, workspace: Workspace) -> None:
        self._keeper, self._workspace = keeper, workspace
        settings = keeper.settings
        self._own = frozenset((*settings.weights(), *settings.words()))

    def format_of(
        self, name: str | None, columns: Mapping[str, str], parts: Sequence[Part]
    ) -> LogFormat | None:
        """The format that was named, or that the first objects are of; None: events as they are
        here. BadRequest for an unknown name."""
        if name is not None and name not in NAMES:
            raise BadRequest(
                f"format is {name[:80]!r}; one of {', '.join(NAMES)} is expected.", field="format"
            )
        if name is not None:
            found = named_format(name)
        elif parts and _may_be_ours(bytes(parts[0])):
            found = None
        else:
            found = detected_format(row for _, row in _rows(parts[:_LOOKED_AT], decoded_part, []))
        if found is None and columns:
            if name == EVENTS:
                raise BadRequest("map goes with another format than events.", field="map")
            return COLUMNS
        return found

    def keep(
        self,
        format_: LogFormat,
        parts: Sequence[Part],
        columns: Mapping[str, str] | None = None,
        decode: Decode = decoded_part,
    ) -> EventsAnswer:
        """Keep what they say; HistoryFailure: no event of theirs is kept. decode: BadPart for what
        is none of its format's."""
        columns, rejected = columns or {}, list[Rejected]()
        translate = careful(format_, Log(own=self._own, columns=columns))
        events, places, passed = list[bytes](), list[int](), 0
        facts, times = list[Fact](), TimeReader(self._workspace.section(TimeSettings))
        sink = ImportedRankings(self._workspace)
        try:
            for place, row in _rows(parts, decode, rejected):
                try:
                    translated = translate(row)
                    if columns and format_ is not COLUMNS:
                        translated = said_otherwise(translated, row, columns)
                    facts += [read_fact(fact, times) for fact in translated.attributes]
                    sink.add(translated)
                except BadEvent as bad:
                    rejected.append(Rejected(place, bad.field or "", f"{bad.message}."))
                    continue
                except Failure as failure:  # of the format as a whole: it needs other files
                    raise BadRequest(str(failure), field="format") from None
                passed += translated.passed_over is not None
                events += [msgspec.json.encode(event) for event in translated.events]
                places += [place] * len(translated.events)
                if len(events) > self._keeper.settings.request_events:
                    raise too_many_events(self._keeper.settings.request_events)
            done = self._keeper.keep(events)
            users = Attributes(self._workspace.home).put(facts)
            kept = _logged(sink)
        finally:
            sink.close()
        rejected += [
            msgspec.structs.replace(bad, position=places[bad.position]) for bad in done.rejected
        ]
        return msgspec.structs.replace(
            done,
            rejected=sorted(rejected, key=lambda bad: bad.position),
            format=format_.name,
            rankings=kept.logged,
            attributes=users,
            passed_over=passed,
            warnings=kept.warnings,
        )


def _may_be_ours(part: bytes) -> bool:
    """Whether an object names both fields by which events are ours; most bodies end here."""
    return b'"type"' in part and b'"time"' in part


def _rows(
    parts: Sequence[Part], decode: Decode, rejected: list[Rejected]
) -> Iterator[tuple[int, Row]]:
    """The objects of a body with their places; bulk bodies and dumps of hits are opened."""

    def refuse(bad: BadLine) -> None:
        rejected.append(Rejected(bad.line, "", f"{bad.reason}."))

    opener = Opener((), refuse, FileForm())
    for place, part in enumerate(parts):
        try:
            value = decode(part)
        except BadPart as bad:
            rejected.append(Rejected(place, bad.field, f"{bad.message}."))
            continue
        yield from opener.rows(place, value)


def _logged(sink: ImportedRankings) -> RankingsKept:
    """The rankings on the disk; the events are there already, so nothing that fails here undoes
    them."""
    try:
        return sink.finish()
    except (OSError, Failure) as error:
        log.error("rankings of a log cannot be kept: %s", error)
        return RankingsKept(warnings=["the rankings cannot be kept now; the log has the reason"])


def events_routes(keeper: EventKeeper, logs: LogKeeper) -> Blueprint:
    """The route that a shop sends its events to."""
    routes = Blueprint("events", __name__)

    @routes.post("/events")
    def events_route() -> Response:
        columns = _columns(request.args.getlist("map"))
        body = read_body(keeper.limits.body_bytes)
        parts = split_events(body, keeper.settings.request_events)
        format_ = logs.format_of(request.args.get("format"), columns, parts)
        try:
            kept = keeper.keep(parts) if format_ is None else logs.keep(format_, parts, columns)
        except HistoryFailure as failure:
            return not_kept(failure)
        return json_answer(kept)

    return routes


def _columns(texts: list[str]) -> dict[str, str]:
    try:
        return read_columns(tuple(texts))
    except Failure as failure:
        raise BadRequest(failure.message.replace("--map", "map"), field="map") from None
