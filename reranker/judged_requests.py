"""judged_requests.py: requests file (.jsonl, .jsonl.gz) -> judged requests, and what a shop sends.

A line that cannot be used is reported with its number and reason, and skipped.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from indexes.bad_lines import BadLine, OnBad
from indexes.errors import Failure
from indexes.row_files import file_kind, read_rows
from reranker.metrics import MAX_GRADE
from reranker.requests import Candidate, Event, JudgedRequest, RerankRequest
from reranker.times import epoch_seconds


def read_requests(path: Path, on_bad: OnBad) -> Iterator[JudgedRequest]:
    """The requests of a file in its order, streaming. Equal ids are all kept."""
    if file_kind(path) != ".jsonl":
        raise Failure(
            f"{path} is no requests file: its name has to end in .jsonl or .jsonl.gz.",
            hint='One JSON object a line: {"id", "query", "candidates", "ratings"}.',
        )
    for number, row in read_rows(path, (), on_bad):
        try:
            yield judged_request(row)
        except (msgspec.ValidationError, Failure) as error:
            on_bad(BadLine(number, str(error).rstrip(".")))


def judged_request(row: dict[str, Any]) -> JudgedRequest:
    """One line's object as a request; ValidationError or Failure says what is wrong with it."""
    if "candidates" in row:
        row["candidates"] = _known_keys(row["candidates"], Candidate)
    request = msgspec.convert(row, JudgedRequest)
    _check_candidates(request)
    for item, grade in request.ratings.items():
        check_grade(grade, f"ratings.{item}")
    rerank_request(request)  # times and events can be read
    return request


def rerank_request(judged: JudgedRequest) -> RerankRequest:
    """What a search backend would have sent at that time.

    Point in time: of the history only events before the request's time are kept; a logged history
    may hold what came after it, the very purchase that is to be foreseen.
    """
    return RerankRequest(
        candidates=judged.candidates,
        query=judged.query,
        user=judged.user,
        session=judged.session,
        history=_history_before(judged),
        time=judged.time,
    )


def check_grade(grade: float, where: str) -> None:
    """Failure unless this is a grade: a number from 0 that 2^grade can be taken of."""
    if not 0 <= grade <= MAX_GRADE:
        raise Failure(f"{where} is {grade}; grades are numbers from 0 to {MAX_GRADE:g}")


def _check_candidates(request: JudgedRequest) -> None:
    ids = [candidate.id for candidate in request.candidates]
    if not ids:
        raise Failure("candidates is empty, so there is nothing to order")
    if len(set(ids)) < len(ids):
        [(item, times)] = Counter(ids).most_common(1)
        raise Failure(f"candidates holds {item!r} {times} times; every item may stand there once")


def _history_before(judged: JudgedRequest) -> list[Event] | None:
    if judged.history is None:
        return None
    now = None if judged.time is None else epoch_seconds(judged.time)
    events = []
    for position, row in enumerate(_known_keys(judged.history, Event)):
        event = _event(row, position)
        if event.time is not None:
            at = epoch_seconds(event.time, f"history[{position}].time")
            if now is not None and at >= now:
                continue
        events.append(event)
    return events


def _event(row: dict[str, Any], position: int) -> Event:
    try:
        return msgspec.convert(row, Event)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`$.", f"`$.history[{position}].")
        raise Failure(f"history[{position}]: {reason}") from None


def _known_keys(rows: Any, kind: type[msgspec.Struct]) -> Any:
    """The same objects with only the keys that we read: shops log more than that."""
    if not isinstance(rows, list):
        return rows
    known = frozenset(kind.__struct_fields__)
    return [
        {key: row[key] for key in row if key in known} if isinstance(row, dict) else row
        for row in rows
    ]
