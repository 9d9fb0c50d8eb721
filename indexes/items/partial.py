"""partial.py: a row with an id and some fields of an item -> an ItemChange, or why it is none."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from indexes.items.changes import EXTRA, REMOVED, ItemChange
from indexes.items.records import FIELDS, BadValue, ItemReader
from indexes.quoting import shown
from indexes.readers.file_forms import Row
from indexes.times import TimeSettings

_PLACEHOLDER: Final = "x"


def read_change(reader: ItemReader, line: int, row: Row) -> ItemChange:
    """What a row says of an item: the fields that it has, by the rules of catalogues.

    A null empties its field. reader: strict, and `foreseen`: a price that leaves open which mark is
    decimal is read as it comes. BadValue with the field, the value and what may be.
    """
    fields = dict(row)
    removed = fields.pop(REMOVED, None)
    if removed is not None and not isinstance(removed, bool):
        raise BadValue(f"{REMOVED} is {shown(removed)}; true or false is expected")
    sources = reader.chooser.sources(tuple(fields))
    if "title" not in sources:
        fields["title"] = _PLACEHOLDER
    item = reader.read(line, fields)
    changed: dict[str, Any] = {
        name: getattr(item, name) for name in sources if name in FIELDS and name != "id"
    }
    changed |= {f"{EXTRA}{name}": value for name, value in item.extra.items()}
    if removed is not None:
        changed[REMOVED] = removed
    elif "title" in changed:  # whoever sends a whole item has it again
        changed[REMOVED] = False
    if not changed:
        raise BadValue(f"nothing is said of {item.id!r}; a field of an item is expected")
    return ItemChange(item.id, changed)


def change_reader(columns: Sequence[str], times: TimeSettings) -> ItemReader:
    """A reader for `read_change`. columns: rebuild.columns."""
    reader = ItemReader(strict=True, times=times, columns=columns)
    reader.foreseen = True
    return reader


def without_title(
    changes: Sequence[ItemChange], known: Callable[[Sequence[str]], set[str]]
) -> set[str]:
    """Ids of changes to items that nobody knows and that bring no title, so that they can never be
    items. known: which of some ids the index holds, or changes that wait."""
    titled = {change.id for change in changes if "title" in change.fields}
    open_ids = [
        change.id
        for change in changes
        if change.id not in titled and not change.fields.get(REMOVED)
    ]
    return set(open_ids) - known(open_ids) if open_ids else set()
