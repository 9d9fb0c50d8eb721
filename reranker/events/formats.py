"""formats.py: a file that holds no events -> what to do, in a hint."""

from typing import Final

NO_EVENTS_HINT: Final = (
    "An event needs type and time, a user or a session, an item or a query: see docs/events.md. "
    "Columns of other names: `reranker events import FILE --map item=sku,...`; logs of other "
    "systems: --format NAME (docs/importing-logs.md)."
)
