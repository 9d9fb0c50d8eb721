"""importer.py: an events file (JSONL, CSV, Parquet) -> histories, and the count of every step.

The file is read and checked as a whole before anything is kept. A second run, or one after a crash,
adds only what is not there yet.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.items.columns import ItemIds
from indexes.progress import Progress
from indexes.readers.bad_lines import BadLine, BadLines
from indexes.readers.rows import Rows
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.events.cleaning import BadEvent, Cleaner, NobodysEvent, NoConsent
from reranker.events.events import HistoryEvent
from reranker.events.formats import NO_EVENTS_HINT
from reranker.events.settings import EventSettings
from reranker.histories.histories import Appended, Histories
from reranker.ingestion.known_items import mismatch, not_in_index, published_ids
from reranker.ingestion.log_reading import LogReading
from reranker.ingestion.null_ids import NullIds, written_as_floats
from reranker.ingestion.spool import EventSpool
from reranker.pseudonyms.keys import PseudonymKeys

_BREATH: Final = 0.005  # between two batches, so that a service beside us gets its turn
_BOTS_SHOWN: Final = 20
_NEEDED: Final = ("type", "time")  # columns
_LOOKED_AT: Final = 100  # lines, for the columns that they name
_NAMED: Final = 20  # columns in a message


class Bot(msgspec.Struct, frozen=True):
    """Somebody too fast for a person."""

    shopper: str
    events_in_a_minute: int


class Rejection(msgspec.Struct, frozen=True):
    """Why lines were rejected. line, reason: of the first of them."""

    lines: int
    line: int
    reason: str


class Conflict(msgspec.Struct, frozen=True):
    """An event whose id another event of the same shopper has."""

    shopper: str
    id: str
    type: str
    item: str | None


class ImportSummary(msgspec.Struct, kw_only=True):
    """What happened to the events of a file, step by step."""

    format: str = "events"
    read: int = 0  # lines, good or bad; of other formats: the events in them
    rejected: int = 0
    rejected_by_field: dict[str, int] = {}
    without_consent: int = 0  # of those read: personalize is false, so they are not kept
    rejected_reasons: list[Rejection] = []  # the commonest
    null_ids: int = 0  # events of which an id such as null was dropped: events.drop_null_ids
    ignored_columns: list[str] = []
    ahead_of_clock: int = 0
    without_zone: int = 0
    out_of_order: int = 0
    duplicates: int = 0  # the same shopper, id and content before in this file
    conflicts: int = 0  # stored, though their shopper has another event with the same id
    first_conflict: Conflict | None = None
    bots: int = 0
    bot_events: int = 0
    bots_dropped: bool = False
    fastest: list[Bot] = []
    unknown_item_events: int | None = None  # None: no index is published, so nobody looked
    unknown_items: int | None = None
    users: int = 0
    anonymous_sessions: int = 0
    visits: int = 0
    types: dict[str, int] = {}
    already_kept: int = 0
    passed_over: dict[str, int] = {}  # what of another format says nothing here
    attributes: int = 0  # users of whom attributes are kept
    rankings: int = 0  # logged; those of an earlier import, and whose items are no ids, are not
    rankings_already_logged: int = 0
    rankings_by_number: int = 0
    stored: int = 0
    merged: int = 0
    trimmed: int = 0
    too_old: int = 0
    warnings: list[str] = []
    seconds: float = 0.0


class Importer:
    """One import: first everything is checked, then everything is kept."""

    def __init__(
        self,
        workspace: Workspace,
        path: Path,
        progress: Progress,
        log: LogReading | None = None,
    ) -> None:
        """log: the file in its format, which else its first rows tell."""
        self.settings = workspace.section(EventSettings)
        self.bad = BadLines(path)
        self.summary = ImportSummary()
        self._workspace, self._path, self._progress = workspace, path, progress
        self._log = log or LogReading.of(workspace, path)
        self._fields: Counter[str] = Counter()
        self._columns: dict[str, None] = {}  # of the first lines, in their order
        self._nobody = 0  # lines whose only shopper was an id that events.drop_null_ids drops

    def run(self, histories: Histories, max_bad_share: float | None = None) -> ImportSummary:
        """Import the file; Failure when it cannot be read or too many lines are bad."""
        started = time.perf_counter()
        share = self.settings.max_bad_share if max_bad_share is None else max_bad_share
        spool = EventSpool(
            self._workspace.home / "events", PseudonymKeys(self._workspace.home).open()
        )
        try:
            self._check(spool, share)
            if len(spool):
                bots = self._look_for_bots(spool)
                self._keep(spool, bots, histories)
            self._log_rankings()
        finally:
            spool.close()
            self._log.close()
        histories.forget_old()
        self.summary.seconds = round(time.perf_counter() - started, 3)
        return self.summary

    def _check(self, spool: EventSpool, max_bad_share: float) -> None:
        """Read, clean and spool every line."""
        cleaner = Cleaner(self.settings, self._workspace.section(TimeSettings))
        types, nobodies = Counter[str](), NullIds()
        with self._progress("checking", None) as advance:
            for line, row in self._rows():
                event = self._cleaned(cleaner, line, row)
                if event is None:
                    continue
                spool.add(event)
                if self._log.sink is not None:
                    self._log.sink.follow(event)
                nobodies.add(event)
                types[event.type] += 1
                advance(1)
        self._check_lines(len(spool), max_bad_share)
        summary, log = self.summary, self._log
        if log.format is not None:
            summary.format = log.format.name
        summary.passed_over = dict(log.passed_over.most_common())
        summary.warnings += log.warnings()
        summary.null_ids = cleaner.null_ids
        summary.rejected = self.bad.count + self._nobody
        summary.read = len(spool) + summary.without_consent + summary.rejected
        summary.rejected_by_field = dict(self._fields.most_common())
        summary.rejected_reasons = [Rejection(many, *bad) for many, bad in self.bad.commonest()]
        summary.ignored_columns = sorted(cleaner.ignored)
        summary.ahead_of_clock, summary.without_zone = (
            cleaner.ahead_of_clock,
            cleaner.times.without_zone,
        )
        summary.out_of_order, summary.types = spool.out_of_order, dict(types.most_common())
        summary.users = sum(is_user for is_user, _ in spool.shoppers)
        summary.anonymous_sessions = len(spool.shoppers) - summary.users
        gap = self.settings.session_minutes
        summary.visits = spool.visits(gap) if len(spool) else 0
        summary.warnings += nobodies.warnings(summary.visits, len(spool.shoppers), gap)
        users = [name for is_user, name in spool.shoppers if is_user]
        more = written_as_floats(users), cleaner.times.mixed()
        summary.warnings += [warning for warning in more if warning is not None]

    def _rows(self) -> Rows:
        """The file's rows, whatever its format; what has none of its own is refused."""
        return self._log.rows(self._refuse, self._unreadable, self._look_at)

    def _look_at(self, line: int, row: dict[str, Any]) -> None:
        if line <= _LOOKED_AT:
            self._columns |= dict.fromkeys(row)

    def _refuse(self, line: int, error: BadEvent) -> None:
        self._fields[error.field or "event"] += 1
        self.bad.add(BadLine(line, error.message))

    def _cleaned(self, cleaner: Cleaner, line: int, row: dict[str, Any]) -> HistoryEvent | None:
        """The row's event; None where it is refused, which is counted."""
        try:
            return cleaner.clean(row)
        except NoConsent:
            self.summary.without_consent += 1
        except BadEvent as error:
            if isinstance(error, NobodysEvent):  # no fault of the file: the setting wants it
                self._fields[error.field or "event"] += 1
                self._nobody += 1
            else:
                self._refuse(line, error)
        return None

    def _check_lines(self, good: int, max_bad_share: float) -> None:
        """Failure where too many lines are bad, or none holds an event."""
        refused = self.summary.without_consent + self._nobody
        beside = self._log.rankings + self._log.passed_over.total() + len(self._log.facts)
        try:
            self.bad.check(good + refused + beside, max_bad_share)
            if not good and not refused and not beside:
                why = f": {self.bad.reasons()}" if self.bad.count else ""
                hint = "One event a line is expected."
                raise Failure(f"{self._path} holds no event{why}.", hint=hint)
        except Failure as failure:
            missing = [name for name in _NEEDED if name not in self._columns]
            if missing and self._columns and self._log.format is None:
                names = ", ".join(map(repr, list(self._columns)[:_NAMED]))
                failure.message += f" Its lines have no {' and no '.join(missing)}, but {names}."
                failure.hint = NO_EVENTS_HINT
            raise

    def _unreadable(self, bad: BadLine) -> None:
        self._fields["line"] += 1
        self.bad.add(bad)

    def _look_for_bots(self, spool: EventSpool) -> set[int]:
        """Numbers of the shoppers whose events are left out."""
        bots = spool.bots(self.settings.bot_events_per_minute)
        names = spool.shoppers
        fastest = sorted(bots.items(), key=lambda bot: -bot[1])[:_BOTS_SHOWN]
        self.summary.bots = len(bots)
        self.summary.bot_events = spool.events_of(bots)
        self.summary.bots_dropped = self.settings.drop_bots
        self.summary.fastest = [Bot(names[number][1], most) for number, most in fastest]
        return set(bots) if self.settings.drop_bots else set()

    def _keep(self, spool: EventSpool, bots: set[int], histories: Histories) -> None:
        ids = published_ids(self._workspace)
        unknown = self._unknown(spool, ids)
        unknown_events = handed = 0
        with self._progress("keeping", len(spool)) as advance:
            for batch in spool.batches():
                handed += len(batch.events)
                keep = [at for at, shopper in enumerate(batch.shoppers) if shopper not in bots]
                events = [batch.events[at] for at in keep]
                unknown_events += sum(event.item in unknown for event in events)
                appended = histories.append(events, [batch.keys[at] for at in keep])
                self._count(appended)
                if appended.first_conflict is not None and self.summary.first_conflict is None:
                    place = keep[appended.first_conflict]
                    shopper = spool.shoppers[batch.shoppers[place]][1]
                    self.summary.first_conflict = _conflict(batch.events[place], shopper)
                advance(len(batch.events))
                time.sleep(_BREATH)
        self.summary.duplicates = len(spool) - handed
        self.summary.unknown_item_events = unknown_events if ids is not None else None

    def _log_rankings(self) -> None:
        """Those of the file, where somebody takes them; and what it says of users."""
        self.summary.attributes = Attributes(self._workspace.home).put(self._log.facts)
        if self._log.sink is None:
            return
        kept, summary = self._log.sink.finish(), self.summary
        summary.rankings, summary.rankings_already_logged = kept.logged, kept.already
        summary.rankings_by_number = kept.by_number
        summary.warnings += kept.warnings

    def _unknown(self, spool: EventSpool, ids: ItemIds | None) -> frozenset[str]:
        if ids is None:
            return frozenset()
        unknown = not_in_index(ids, sorted(spool.items))
        self.summary.unknown_items = len(unknown)
        if warning := mismatch(ids, spool.items, unknown):
            self.summary.warnings.append(warning)
        return frozenset(unknown)

    def _count(self, appended: Appended) -> None:
        self.summary.already_kept += appended.duplicates
        for name in ("stored", "conflicts", "merged", "trimmed", "too_old"):
            setattr(self.summary, name, getattr(self.summary, name) + getattr(appended, name))


def _conflict(event: HistoryEvent, shopper: str) -> Conflict:
    return Conflict(shopper, event.id or "", event.type, event.item or event.query)
