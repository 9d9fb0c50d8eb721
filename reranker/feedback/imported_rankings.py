"""imported_rankings.py: rankings and impressions of another log -> days of logged rankings.

They wait in a nameless file until the whole log is read: what its impressions amount to, and
whether its items are ids at all, only the whole log tells. Names are pseudonyms there already.
"""

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.names import BadName, read_name
from indexes.storage.durable import make_own_folder
from indexes.times import TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.events.cleaning import BadEvent
from reranker.events.events import HistoryEvent
from reranker.feedback.days import append_lines, day_lines, imported_file, logged_days
from reranker.feedback.files import rankings_folder, room_for
from reranker.feedback.records import LoggedRanking, logged_ranking
from reranker.feedback.settings import RankingLogSettings
from reranker.ingestion.known_items import not_in_index, published_ids
from reranker.ingestion.log_reading import RankingsKept
from reranker.log_formats.translated import Impression, Translated
from reranker.log_formats.values import Row
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms

_CHECKED: Final = 20_000  # rankings whose items are remembered, to tell ids from numbers
_HINT: Final = (
    "Set ext.ubi.object_id_field to the field of your ids; until then impression events say what "
    "was shown"
)
_encode: Final = msgspec.json.Encoder().encode


class _Id(msgspec.Struct):
    id: str = ""


_id: Final = msgspec.json.Decoder(_Id)


@dataclass
class _Shown:
    """What impressions say of one ranking so far."""

    about: Row
    items: dict[str, tuple[float, int]] = field(default_factory=dict)  # place, order of arrival


class ImportedRankings:
    """The rankings of one log, on their way into the home."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = rankings_folder(workspace)
        self._names: Pseudonyms | None = None
        self._settings = workspace.section(RankingLogSettings)
        self._times = TimeReader(workspace.section(TimeSettings))
        self._file = tempfile.TemporaryFile()
        self._at, self._starts, self._ends = array("d"), array("q"), array("q")
        self._doubtful = array("b")  # whether the items are bare numbers
        self._ids: set[str] = set()
        self._numbers: dict[str, frozenset[str]] = {}  # the doubtful ones' items
        self._impressions: dict[str, _Shown] = {}
        self._followed: dict[str, set[str]] = {}

    def add(self, translated: Translated) -> None:
        """Take the rankings and impressions of a row; BadEvent for one that is none."""
        for row in translated.rankings:
            self._add(row, translated.by_number)
        for seen in translated.impressions:
            self._see(seen)

    def follow(self, event: HistoryEvent) -> None:
        """Note what was done, to tell rankings whose items are no ids."""
        if event.ranking is not None and event.item is not None and len(self._followed) < _CHECKED:
            self._followed.setdefault(event.ranking, set()).add(event.item)

    def finish(self) -> RankingsKept:
        """Log them, each under its own day; those of an earlier import of the same log stay."""
        by_number = self._are_document_numbers()
        dropped = sum(self._doubtful) if by_number else 0
        warnings = [by_number] if by_number else []
        warnings += self._add_seen(by_number)
        kept = [at for at, doubt in enumerate(self._doubtful) if not (by_number and doubt)]
        if kept and (refusal := self._refusal()):
            return RankingsKept(0, 0, dropped, [*warnings, refusal])
        logged, already = self._write(kept)
        return RankingsKept(logged, already, dropped, warnings)

    def close(self) -> None:
        """Let go of the file, and so of what is in it."""
        self._file.close()

    def _add(self, row: Row, doubtful: bool) -> None:
        try:
            ranking = logged_ranking(row, self._times)
        except (msgspec.ValidationError, Failure) as error:
            raise BadEvent("ranking", f"the ranking is none: {str(error).rstrip('.')}") from None
        if not ranking.items:
            return
        self._ids.add(ranking.id)
        if doubtful and len(self._numbers) < _CHECKED:
            self._numbers[ranking.id] = frozenset(ranking.items)
        line = _encode(self._hidden(ranking)) + b"\n"
        self._starts.append(self._file.tell())
        self._file.write(line)
        self._ends.append(self._file.tell())
        self._at.append(ranking.at)
        self._doubtful.append(doubtful)

    def _hidden(self, ranking: LoggedRanking) -> LoggedRanking:
        names = self._names = self._names or PseudonymKeys(self._workspace.home).open()
        return msgspec.structs.replace(
            ranking,
            user=None if ranking.user is None else names.user(ranking.user),
            session=None if ranking.session is None else names.session(ranking.session),
        )

    def _see(self, seen: Impression) -> None:
        try:
            name, item = read_name("ranking", seen.ranking), read_name("item", seen.item)
        except BadName as error:
            raise BadEvent("ranking", str(error)) from None
        if name is None or item is None:
            return
        shown = self._impressions.setdefault(name, _Shown({}))
        for key in ("time", "user", "session", "query"):
            value = seen.about.get(key)
            if value is not None and key not in shown.about:
                shown.about[key] = value
        place = _place(seen.position)
        shown.items.setdefault(item, (place, len(shown.items)))

    def _add_seen(self, by_number: str) -> list[str]:
        """Take the rankings that only impressions are of; what is to be said of those that are
        none."""
        wrong: list[str] = []
        for name, shown in self._impressions.items():
            if name not in self._ids or (by_number and name in self._numbers):
                try:
                    self._add(self._seen(name, shown), False)
                except BadEvent as bad:
                    wrong.append(f"of {name!r} {bad.message}")
        if not wrong:
            return []
        many = "1 ranking" if len(wrong) == 1 else f"{len(wrong):,} rankings"
        return [f"{many} of impressions are not kept: {wrong[0]}."]

    def _seen(self, name: str, shown: _Shown) -> Row:
        """The ranking that impressions were of, by position, else as they came."""
        return shown.about | {"id": name, "items": sorted(shown.items, key=shown.items.__getitem__)}

    def _are_document_numbers(self) -> str:
        """Why the doubtful rankings hold no ids; "" where they may well be ids.

        What was clicked on but not shown tells; else an index that knows few of them.
        """
        if not self._numbers:
            return ""
        count = f"{sum(self._doubtful):,} rankings hold document numbers of the engine"
        clicked = [(item, name) for name in self._numbers for item in self._followed.get(name, ())]
        missing = [item for item, name in clicked if item not in self._numbers[name]]
        if 2 * len(missing) > len(clicked):
            example = f"clicked on was {missing[0]!r}, which is not among the items shown"
            return f"{count}, not ids ({example}): they are not kept. {_HINT}."
        ids = published_ids(self._workspace)
        items = sorted(set().union(*self._numbers.values()))
        if ids is not None and 2 * len(not_in_index(ids, items)) > len(items):
            example = f"such as {items[0]!r}, which the published index lacks"
            return f"{count}, not ids ({example}): they are not kept. {_HINT}."
        return ""

    def _refusal(self) -> str:
        if not self._settings.log:
            return "rankings.log is false: the rankings of this log are not kept."
        more = self._file.tell()
        if more > room_for(self._folder, self._settings):
            return (
                f"the rankings of this log are {more / 1e6:,.1f} MB, and rankings.megabytes "
                f"({self._settings.megabytes:,}) leaves less: they are not kept. Raise it, and "
                "import again."
            )
        return ""

    def _write(self, kept: list[int]) -> tuple[int, int]:
        """How many are logged now, and how many were."""
        logged = 0
        today = datetime.now(UTC).date().isoformat()
        for day, lines in self._by_day(kept):
            make_own_folder(self._folder)
            there = self._logged_on(day)
            new: dict[str, bytes] = {}
            for line in lines:
                name = _id.decode(line).id
                if name not in there:
                    new.setdefault(name, line)
            if new:
                append_lines(imported_file(self._folder, day, today), b"".join(new.values()))
            logged += len(new)
        return logged, len(kept) - logged

    def _by_day(self, kept: list[int]) -> Iterator[tuple[str, Iterable[bytes]]]:
        """The lines of each UTC day, in the order of time."""
        at = np.frombuffer(self._at)[kept] if kept else np.empty(0)
        order = [kept[place] for place in np.argsort(at, kind="stable")]
        days: dict[str, list[int]] = {}
        for place in order:
            day = datetime.fromtimestamp(self._at[place], UTC).date().isoformat()
            days.setdefault(day, []).append(place)
        for day, places in days.items():
            yield day, map(self._line, places)

    def _line(self, place: int) -> bytes:
        self._file.seek(self._starts[place])
        return self._file.read(self._ends[place] - self._starts[place])

    def _logged_on(self, day: str) -> set[str]:
        """Ids of the rankings that this day holds already."""
        names = set()
        for date, path in logged_days(self._folder):
            if date.isoformat() == day:
                for line in day_lines(path):
                    try:
                        names.add(_id.decode(line.content).id)
                    except (msgspec.DecodeError, UnicodeDecodeError):  # overwritten, or torn
                        continue
        return names


def _place(position: Any) -> float:
    """A position as a number; behind all others where it is none."""
    try:
        return float("inf") if position is None or position == "" else float(position)
    except (TypeError, ValueError, OverflowError):
        return float("inf")
