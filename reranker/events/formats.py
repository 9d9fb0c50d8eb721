"""formats.py: columns of a file that holds no events -> whose format it is, in a hint."""

import re
from collections.abc import Iterable
from typing import Final

_NEEDED: Final = (
    "An event needs type and time, a user or a session, an item or a query: see docs/events.md."
)
# Columns by which a format is known, its name, and what its columns are here.
_FORMATS: Final = (
    (
        frozenset({"action_name", "timestamp"}),
        "User Behavior Insights (UBI)",
        "action_name is the type, timestamp the time, client_id the user, session_id the session, "
        "user_query the query, query_id the ranking, event_attributes.object.object_id the item",
    ),
    (
        frozenset({"event_name", "event_timestamp"}),
        "an export of Google Analytics 4",
        "event_name is the type, event_timestamp the time, user_id or user_pseudo_id the user, "
        "ga_session_id the session, each of items an event with its item_id as the item",
    ),
    (
        frozenset({"event", "timestamp", "fields"}),
        "Metarank",
        "of lines with event = interaction timestamp is the time, and user, session, item and type "
        "are called as here; ranking is the ranking",
    ),
    (
        frozenset({"event_time", "event_type"}),
        "REES46",
        "event_type is the type, event_time the time, user_id the user, user_session the session, "
        "product_id the item",
    ),
    (
        frozenset({"visitorid", "event", "itemid"}),
        "Retailrocket",
        "event is the type, timestamp the time, visitorid the user, itemid the item",
    ),
)
_QUOTED: Final = re.compile(r"'([^']*)'")


def format_hint(columns: Iterable[str]) -> str:
    """What an event needs and, where the columns are known, how they are called here."""
    names = frozenset(columns)
    for columns_of_format, name, meaning in _FORMATS:
        if columns_of_format <= names:
            return f"This looks like {name}: {meaning}. Rename the columns. {_NEEDED}"
    return _NEEDED


def named_columns(message: str) -> list[str]:
    """The columns that a message about a file's columns quotes."""
    return _QUOTED.findall(message)
