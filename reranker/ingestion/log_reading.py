"""log_reading.py: a file of events, or another system's log -> rows of events, rankings aside."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from indexes.errors import Failure
from indexes.readers.bad_lines import OnBad
from indexes.readers.file_forms import FileForm
from indexes.readers.rows import Rows, file_kind, read_rows
from indexes.times import TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.attributes.attributes import Fact, read_fact
from reranker.events.cleaning import BadEvent
from reranker.events.events import HistoryEvent
from reranker.events.formats import NO_EVENTS_HINT
from reranker.events.settings import EventSettings
from reranker.log_formats.column_maps import COLUMNS, columns_needed, said_otherwise
from reranker.log_formats.formats import EVENTS, format_of_file, named_format
from reranker.log_formats.instacart import INSTACART, MADE_UP
from reranker.log_formats.translated import Log, LogFormat, Translated, careful
from reranker.log_formats.values import Row

_NEEDED: Final = ("type", "time")  # columns of events as they are here
Refuse = Callable[[int, BadEvent], object]


class RankingsKept(msgspec.Struct, frozen=True):
    """What became of a log's rankings. already: logged by an earlier import. by_number: not kept,
    because their items are document numbers of an engine. warnings: what is to be said of them."""

    logged: int = 0
    already: int = 0
    by_number: int = 0
    warnings: list[str] = []


class RankingSink(Protocol):
    """Where the rankings of a log go, and what was done with them."""

    def add(self, translated: Translated) -> None:
        """Take the rankings and impressions of a row; BadEvent for one that is none."""

    def follow(self, event: HistoryEvent) -> None:
        """Note what was done, to tell rankings whose items are no ids."""

    def finish(self) -> RankingsKept:
        """Log them."""

    def close(self) -> None:
        """Let go of what is not logged."""


class LogReading:
    """One file in its format. passed_over: what of it says nothing here, by reason."""

    def __init__(
        self,
        path: Path,
        format_: LogFormat | None,
        settings: EventSettings,
        columns: Mapping[str, str],
        sink: RankingSink | None,
        times: TimeSettings | None = None,
    ) -> None:
        self.format, self.sink = format_, sink
        self.passed_over: Counter[str] = Counter()
        self.rankings = 0
        self.facts: list[Fact] = []
        self._times = TimeReader(times)
        self._path, self._columns = path, columns
        own = frozenset((*settings.weights(), *settings.words()))
        self._translate = careful(format_, Log(path, own, columns)) if format_ else None

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        path: Path,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        sink: RankingSink | None = None,
    ) -> "LogReading":
        """name: of the format; without one the file's first rows tell. Failure for an unknown one,
        and for a map of columns that are called as here."""
        format_ = format_of_file(path) if name is None else named_format(name)
        if format_ is None and columns:
            if name == EVENTS:
                raise Failure(
                    f"--format {EVENTS} reads columns by their own names, and --map names others.",
                    hint=f"Leave --format {EVENTS} out.",
                )
            format_ = COLUMNS
        section = workspace.section
        return cls(
            path, format_, section(EventSettings), columns or {}, sink, section(TimeSettings)
        )

    def close(self) -> None:
        """Let go of what the sink holds."""
        if self.sink is not None:
            self.sink.close()

    def warnings(self) -> list[str]:
        """What the format makes of its times, and what of all of it is kept."""
        return [MADE_UP] if self.format is INSTACART else []

    def rows(self, refuse: Refuse, on_bad: OnBad, on_row: Callable[[int, Row], object]) -> Rows:
        """Rows of events with their lines. refuse: a row that is none of its format's."""
        if self._translate is None:
            for line, row in self._own_rows(on_bad):
                on_row(line, row)
                yield line, row
            return
        for line, row in read_rows(
            self._path, self._required(), on_bad, FileForm(nan_is_null=True)
        ):
            on_row(line, row)
            try:
                translated = self._translated(row)
            except BadEvent as error:
                refuse(line, error)
                continue
            for event in translated.events:
                yield line, event

    def _own_rows(self, on_bad: OnBad) -> Rows:
        """Where a table has not the columns of events, the hint says what to do."""
        try:
            yield from read_rows(self._path, _NEEDED, on_bad)
        except Failure as failure:
            if " no column " in failure.message:
                failure.hint = NO_EVENTS_HINT
            raise

    def _required(self) -> list[str]:
        """Columns of a table; JSON has paths, and none has to be in every row."""
        if self.format is None or file_kind(self._path) == ".jsonl":
            return []
        return [*self.format.needs, *columns_needed(self._columns)]

    def _translated(self, row: dict[str, Any]) -> Translated:
        assert self._translate is not None
        translated = self._translate(row)
        if self._columns and self.format is not COLUMNS:
            translated = said_otherwise(translated, row, self._columns)
        if translated.passed_over is not None:
            self.passed_over[translated.passed_over] += 1
        self.facts += [read_fact(fact, self._times) for fact in translated.attributes]
        if translated.rankings or translated.impressions:
            if self.sink is not None:
                self.sink.add(translated)
            self.rankings += len(translated.rankings) + len(translated.impressions)
        return translated
