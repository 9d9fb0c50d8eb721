"""events.py: what shoppers did -> the one form in which events are kept; types and weights."""

from typing import Any, Final

import msgspec

from reranker.requests import Event

SEARCH: Final = "search"
TYPES: Final = {
    "view": 1.0,
    "search": 1.0,
    "cart": 3.0,
    "uncart": -3.0,
    "purchase": 5.0,
    "cancel": -5.0,
}
TAKEN_BACK: Final = {"uncart": "cart", "cancel": "purchase"}  # by which type, which type


class HistoryEvent(
    Event, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=False, gc=False
):
    """An event as histories hold it: cleaned, its time in epoch seconds.

    Stored events may have one element more, which is passed over.
    """

    time: float


def as_sent(event: HistoryEvent) -> dict[str, Any]:
    """An event in the format of events files: what `reranker events import` reads."""
    fields = msgspec.structs.asdict(event)
    return {name: value for name, value in fields.items() if value is not None}
