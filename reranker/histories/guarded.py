"""guarded.py: stored histories that may fail or hang -> sound events, or why none."""

import logging
import math

from reranker.events.events import HistoryEvent
from reranker.histories.histories import Recent
from reranker.runtime.budget import HISTORY, Unavailable, current

log = logging.getLogger("reranker")


class GuardedRecent:
    """`Histories.recent` behind a breaker. Where nobody is in a hurry it is called as it is."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def __call__(
        self, user: str | None, session: str | None, n: int, before: float | None, /
    ) -> list[HistoryEvent]:
        """The newest n events; Unavailable where they cannot be had, or are none."""

        def asked() -> list[HistoryEvent]:
            try:
                events = self._recent(user, session, n, before)
            except Exception as error:
                log.exception("the stored history cannot be read")
                raise Unavailable("history_unavailable") from error
            if not sound(events):
                log.error("the stored history gave %s, which is no history", type(events))
                raise Unavailable("history_unavailable")
            return events

        budget = current()
        return asked() if budget is None else budget.call(HISTORY, asked)


def sound(events: object) -> bool:
    """Whether this is a list of events with a time."""
    return isinstance(events, list) and all(
        type(event) is HistoryEvent and math.isfinite(event.time) for event in events
    )
