"""folding.py: a catalogue and the changes since the last rebuild -> the items of the next version.

A change counts unless the catalogue knows better: unless its value differs from the served
version's, which is what the change was made to, or its item was `updated` after the change.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from indexes.items.changes import EXTRA, REMOVED, Pending
from indexes.items.columns import ItemColumns, ItemIds, changed_item
from indexes.items.records import FIELDS, Item
from indexes.storage.versions import Version

_NO_LINE: Final = 0  # of an item that no line of the catalogue holds


class Folding:
    """pending: what is to be folded in. old: the version that is served, which the changes were
    made to. taken, left: how many items and values counted, and did not."""

    def __init__(self, pending: Pending, old: Version | None) -> None:
        self.pending = pending
        self.taken = self.left = 0
        known = old is not None and bool(pending.fields)
        self._ids = ItemIds(old.folder) if old and known else None
        self._columns = ItemColumns(old.folder) if old and known else None

    def items(self, catalogue: Iterable[tuple[int, Item]]) -> Iterator[tuple[int, Item]]:
        """The items of the next version with their lines: new ones last, removed ones left out."""
        fields = self.pending.fields
        if not fields:
            yield from catalogue
            return
        met = set()
        for line, item in catalogue:
            if item.id not in fields:
                yield line, item
                continue
            met.add(item.id)
            folded = self._folded(item)
            if folded is not None:
                yield line, folded
        for item_id in fields.keys() - met:
            new = self._new(item_id)
            if new is not None:
                yield _NO_LINE, new

    def _folded(self, item: Item) -> Item | None:
        changed = dict(self.pending.fields[item.id])
        if item.updated is not None and item.updated > self.pending.times[item.id]:
            self.left += len(changed)
            return item
        if changed.pop(REMOVED, False):
            self.taken += 1
            return None
        before = self._before(item.id)
        counts = {
            name: value
            for name, value in changed.items()
            if before is None or _value(item, name) == _value(before, name)
        }
        self.left += len(changed) - len(counts)
        self.taken += bool(counts)
        return changed_item(item, counts)

    def _new(self, item_id: str) -> Item | None:
        """An item that no line holds: a new one. One that the served version has was taken out of
        the catalogue, and what was changed of it goes with it."""
        fields = self.pending.fields[item_id]
        if "title" not in fields or fields.get(REMOVED) or self._before(item_id) is not None:
            return None
        self.taken += 1
        return changed_item(Item(item_id, fields["title"]), fields)

    def _before(self, item_id: str) -> Item | None:
        if self._ids is None or self._columns is None:
            return None
        row = int(self._ids.rows([item_id])[0])
        return self._columns.item(row) if row >= 0 else None


def _value(item: Item, name: str) -> Any:
    return getattr(item, name) if name in FIELDS else item.extra.get(name.removeprefix(EXTRA))
