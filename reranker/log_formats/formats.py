"""formats.py: the name of a log's format, or what its first rows say -> the format."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from indexes.errors import Failure
from indexes.quoting import nearest_or_all
from indexes.readers.rows import read_rows
from reranker.log_formats.column_maps import COLUMNS
from reranker.log_formats.ga4 import GA4
from reranker.log_formats.google_retail import GOOGLE_RETAIL
from reranker.log_formats.instacart import INSTACART
from reranker.log_formats.metarank import METARANK
from reranker.log_formats.public_exports import ONLINE_RETAIL, REES46, RETAILROCKET
from reranker.log_formats.translated import ODD, LogFormat
from reranker.log_formats.ubi import UBI
from reranker.log_formats.values import Row

FORMATS: Final = {
    format_.name: format_
    for format_ in (
        *(METARANK, UBI, GA4, GOOGLE_RETAIL, RETAILROCKET, REES46, ONLINE_RETAIL, INSTACART),
        COLUMNS,
    )
}
EVENTS: Final = "events"  # what docs/events.md describes
NAMES: Final = (EVENTS, *FORMATS)
_OWN: Final = frozenset(("type", "time"))
_LOOKED_AT: Final = 20  # rows


def named_format(name: str) -> LogFormat | None:
    """The format of this name; None for events as they are here, Failure for any other name."""
    if name == EVENTS:
        return None
    if name not in FORMATS:
        near = nearest_or_all(name, NAMES)
        raise Failure(f"format is {name!r}{near}.", field="format")
    return FORMATS[name]


def detected_format(rows: Iterable[Row]) -> LogFormat | None:
    """The format that most of these rows are of; None where they are ours or nobody's."""
    looked: Sequence[Row] = list(islice(rows, _LOOKED_AT))
    for format_ in FORMATS.values():
        if 2 * sum(not row.keys() >= _OWN and _is_of(format_, row) for row in looked) > len(looked):
            return format_
    return None


def _is_of(format_: LogFormat, row: Row) -> bool:
    """Whether a row is of a format; a row of quite another build is of none."""
    try:
        return format_.is_of(row)
    except ODD:
        return False


def format_of_file(path: Path) -> LogFormat | None:
    """The same of a file's first rows; None, too, where it cannot be read: whoever reads it says
    why."""
    try:
        return detected_format(row for _, row in read_rows(path, (), lambda _bad: None))
    except Failure:
        return None
