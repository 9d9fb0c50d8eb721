"""requests.py: joined rankings -> judged requests, as a search backend would have sent them.

Point in time: the history holds what came before the ranking, the ratings what came after it.
"""

import gzip
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from indexes.readers.lines import is_packed
from indexes.storage.durable import replaced
from reranker.events.events import as_sent
from reranker.feedback.followed import LoggedEvents
from reranker.feedback.joins import JoinedRanking
from reranker.feedback.records import LoggedRanking
from reranker.requests import JudgedRequest, RerankRequest

HISTORY: Final = 100  # newest events that go along with a request


def request_row(
    joined: JoinedRanking, events: LoggedEvents, grades: Mapping[str, float], history: int = HISTORY
) -> dict[str, Any]:
    """One line of a requests file; beside what is read there, the blend that ranked then."""
    ranking = joined.ranking
    past = [as_sent(event) for event in events.before(joined.who, ranking, history)]
    row: dict[str, Any] = {"id": ranking.id, "query": ranking.query, "time": _time(ranking)}
    who = {"user": ranking.user, "session": ranking.session}  # pseudonyms in the service's log
    row |= {name: value for name, value in who.items() if value}
    row["history"] = past
    row["candidates"] = msgspec.to_builtins(ranking.candidates())
    row["shown"] = ranking.items
    row["ratings"] = joined.grades(grades)
    return row | ({"blend": ranking.blend} if ranking.blend else {})


def _time(ranking: LoggedRanking) -> float | str:
    """Whoever reads the file is to know, too, that a time came without a zone."""
    if ranking.timing != "no_zone":
        return ranking.time
    return datetime.fromtimestamp(ranking.at, UTC).replace(tzinfo=None).isoformat()


def judged_by(ranking: LoggedRanking, items: Iterable[str]) -> JudgedRequest:
    """The ranking as a request whose answers are these items: what the leak guard looks at."""
    return JudgedRequest(
        candidates=[],
        id=ranking.id,
        time=ranking.at,
        user=ranking.user,
        session=ranking.session,
        ratings=dict.fromkeys(items, 1.0),
        timing=ranking.timing,
    )


def request_again(
    joined: JoinedRanking, events: LoggedEvents, history: int = HISTORY
) -> RerankRequest:
    """What was asked then, to be ranked by another blend."""
    ranking = joined.ranking
    past = events.before(joined.who, ranking, history) if ranking.personalize else []
    return RerankRequest(
        candidates=ranking.candidates(),
        query=ranking.query,
        history=list(past),
        personalize=ranking.personalize,
        time=ranking.at,
    )


def write_requests(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write a requests file, whole or not at all; how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with replaced(path) as raw, _packed(raw) if is_packed(path) else nullcontext(raw) as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


def _packed(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0)
