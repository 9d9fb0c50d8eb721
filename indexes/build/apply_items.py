"""apply_items.py: a file of partial items -> changes, on the disk, and the lines that are none."""

from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.build.settings import RebuildSettings
from indexes.items.changes import ItemChange, ItemChanges
from indexes.items.columns import ItemIds
from indexes.items.index import published_version
from indexes.items.partial import change_reader, read_change, without_title
from indexes.items.records import BadValue
from indexes.items.settings import ItemSettings
from indexes.readers.bad_lines import BadLine
from indexes.readers.file_forms import FileForm
from indexes.readers.rows import read_rows
from indexes.times import TimeSettings
from indexes.workspace import Workspace

_AT_ONCE: Final = 1000  # changes in one write to the disk
_SHOWN: Final = 1000


class Applied(msgspec.Struct, kw_only=True):
    """What became of a file. rejected: at most a thousand lines; rejected_count: all of them."""

    accepted: int = 0
    duplicates: int = 0
    rejected_count: int = 0
    rejected: list[dict[str, Any]] = []


class _Applying:
    def __init__(self, workspace: Workspace) -> None:
        self._ids = ItemIds(published_version(workspace).folder)
        most = workspace.section(ItemSettings).changed_items
        self._changes = ItemChanges(workspace.home, most)
        self.applied = Applied(rejected=[])
        self._waiting: list[tuple[int, ItemChange]] = []

    def reject(self, bad: BadLine) -> None:
        self.applied.rejected_count += 1
        if len(self.applied.rejected) < _SHOWN:
            self.applied.rejected.append({"line": bad.line, "reason": bad.reason})

    def add(self, line: int, change: ItemChange) -> None:
        self._waiting.append((line, change))
        if len(self._waiting) == _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        lacking = without_title([change for _, change in waiting], self._known)
        for line, change in waiting:
            if change.id in lacking:
                reason = f"title is missing, and there is no item {change.id!r} yet"
                self.reject(BadLine(line, reason))
        kept = self._changes.apply(change for _, change in waiting if change.id not in lacking)
        self.applied.accepted += kept.accepted
        self.applied.duplicates += kept.duplicates

    def _known(self, item_ids: Any) -> set[str]:
        rows = self._ids.rows(item_ids).tolist()
        known = {item_id for item_id, row in zip(item_ids, rows, strict=True) if row >= 0}
        return known | self._changes.titled(set(item_ids) - known)


def apply_items(workspace: Workspace, source: Path) -> Applied:
    """Apply every line that says something of an item; a bad one costs itself.

    Failure where the file as a whole cannot be read, nothing is published, or there is no room:
    what was applied before then stays.
    """
    applying = _Applying(workspace)
    columns = workspace.section(RebuildSettings).columns
    reader = change_reader(columns, workspace.section(TimeSettings))
    form = FileForm()
    form.names, form.nan_is_null = reader.chooser.names, True
    for line, row in read_rows(source, ("id",), applying.reject, form):
        try:
            applying.add(line, read_change(reader, line, row))
        except BadValue as reason:
            applying.reject(BadLine(line, str(reason)))
    applying.flush()
    return applying.applied
