"""notes.py: how a catalogue was read -> what its owner should know, a sentence each."""

from typing import Final

from indexes.build.catalogue_pass import Source

ALIKE: Final = 0.05  # a larger share of items with one text is warned of
_FEW: Final = 2  # so many alike are no pattern
_NAMES_SHOWN: Final = 12


def source_notes(source: Source) -> list[str]:
    """What was assumed of the file, which column became which field, what could not be read."""
    reader = source.reader
    notes = [f"read as: {what}" for what in source.form.assumed]
    report = reader.chooser.report()
    parts = [f"{field} from {name!r}" for field, name in report["from"].items()]
    if report["not_read"]:
        names = report["not_read"]
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        parts.append(f"not read: {', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}")
    if parts:
        notes.append(f"columns: {'; '.join(parts)}")
    notes += [
        f"warning: {bad.unreadable:,} values of {field} could not be read and are absent, "
        f"the first in line {bad.line:,}: {bad.example}"
        for field, bad in reader.fields.items()
    ]
    return notes + [f"warning: {what}" for what in reader.warnings()]


def many_alike(alike: int, items: int) -> str | None:
    """A warning where too many items have one and the same text, and so one vector."""
    if alike <= _FEW or alike <= ALIKE * items:
        return None
    return (
        f"{alike:,} of {items:,} items ({alike / items:.0%}) have one and the same text: their "
        "meaning cannot tell them apart; look at the catalogue's titles, or name more columns in "
        "rebuild.template"
    )
