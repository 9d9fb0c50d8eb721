"""records.py: an answer as it was shown -> LoggedRanking, one line of a rankings file, and back.

Files are `.jsonl` or `.jsonl.gz`; a folder is read file by file in the order of the names, which
for the service's own log is the order of time.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from indexes.errors import Failure
from indexes.names import BadName, read_name
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.lines import is_packed
from indexes.readers.rows import file_kind, read_rows
from indexes.times import BadTime, TimeReader
from reranker.requests import Candidate, Id, Time
from reranker.times import Timing, seconds_of, timing_of

_KIND: Final = ".jsonl"
_NAMES: Final = frozenset(("id", "user", "session"))
_LISTS: Final = frozenset(("items", "others"))


class LoggedRanking(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was shown, to whom and when; `items` are ids in the order in which they were shown.

    The rest is what the service knows besides, and a file from elsewhere may lack:
    order: the place of each of `items` in the engine's list, from 0. others: the candidates that
    were not shown, in the engine's order. scores: the engine's, in the engine's order.
    weights, personalize: what the request changed of the blend. timing: how far a file's time can
    be relied on.
    """

    id: Annotated[str, msgspec.Meta(min_length=1)]
    time: Time
    items: list[Id]
    user: str | None = None
    session: str | None = None
    query: str = ""
    blend: str = ""
    order: list[int] | None = None
    others: list[str] = []
    scores: list[float | None] | None = None
    top_n: int | None = None
    weights: dict[str, float] = {}
    personalize: bool = True
    timing: Timing = "known"

    @property
    def at(self) -> float:
        """The time in epoch seconds."""
        return seconds_of(self.time)

    def engine_order(self) -> list[str]:
        """All candidates as the engine sent them; the shown order where nothing else is known."""
        if self.order is None:
            return [*self.items, *self.others]
        by_place = dict(zip(self.order, self.items, strict=True))
        others = iter(self.others)
        return [by_place.get(place) or next(others) for place in range(self._count)]

    def candidates(self) -> list[Candidate]:
        """The candidates of the request, with the engine's scores where they were sent."""
        scores = self.scores or [None] * self._count
        return [Candidate(*pair) for pair in zip(self.engine_order(), scores, strict=True)]

    @property
    def _count(self) -> int:
        return len(self.items) + len(self.others)

    def check(self) -> None:
        """Failure when the parts do not fit each other."""
        if len({*self.items, *self.others}) < self._count:
            raise Failure("an item stands twice in items and others")
        order = self.order
        if order is not None and (
            len(order) != len(self.items)
            or len(set(order)) < len(order)
            or not all(0 <= place < self._count for place in order)
        ):
            raise Failure("order does not give each of items its own place among the candidates")
        if self.scores is not None and len(self.scores) != self._count:
            raise Failure(f"scores has {len(self.scores)} entries for {self._count} candidates")


def ranking_files(path: Path) -> list[Path]:
    """The file itself, or the rankings files of a folder; Failure where there is none."""
    if not path.is_dir():
        if file_kind(path) != _KIND:
            raise Failure(
                f"{path} is no rankings file: its name has to end in .jsonl or .jsonl.gz."
            )
        return [path]
    files = sorted(file for file in path.iterdir() if _is_rankings(file))
    if not files:
        raise Failure(
            f"{path} holds no rankings (.jsonl, .jsonl.gz).",
            hint="`reranker serve` logs them unless rankings.log is false; or name a file with "
            "--rankings.",
        )
    return files


def _is_rankings(file: Path) -> bool:
    kind = Path(file.stem).suffix if is_packed(file) else file.suffix
    return kind == _KIND and file.is_file()


def read_rankings(
    files: Iterable[Path], on_bad: OnBad, times: TimeReader | None = None
) -> Iterator[LoggedRanking]:
    """The rankings of these files, streaming; lines that are none go to on_bad.

    times: reads their times, and knows afterwards in which forms they came.
    """
    times = times or TimeReader()
    for file in files:
        for number, row in read_rows(file, (), on_bad):
            try:
                yield logged_ranking(row, times)
            except (msgspec.ValidationError, Failure) as error:
                on_bad(BadLine(number, str(error).rstrip(".")))


def logged_ranking(row: dict[str, Any], times: TimeReader | None = None) -> LoggedRanking:
    """One line's object, ids and time in their one form; ValidationError or Failure says what is
    wrong with it."""
    try:
        fields = _read(row, times or TimeReader())
    except (BadName, BadTime) as error:
        raise Failure(str(error)) from None
    ranking = msgspec.convert(fields, LoggedRanking)
    ranking.check()
    return ranking


def _read(row: dict[str, Any], times: TimeReader) -> dict[str, Any]:
    fields = {key: value for key, value in row.items() if value is not None and key != "timing"}
    if "time" in fields:
        moment = times.read(fields["time"])
        fields["time"] = moment.seconds
        fields["timing"] = timing_of(moment, times.now)
    for name in _NAMES & fields.keys():
        fields[name] = read_name(name, fields[name]) or ""
    for name in _LISTS & fields.keys():
        if isinstance(fields[name], list):
            fields[name] = [
                read_name(f"{name}[{place}]", item) for place, item in enumerate(fields[name])
            ]
    return fields
