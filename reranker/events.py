"""events.py: what shoppers did -> the one form in which events are kept; types and weights."""

import math
import time
from typing import Annotated, Any, Final

import msgspec

from indexes.errors import Failure
from indexes.workspace import Settings, Workspace
from reranker.requests import Event

SEARCH: Final = "search"
TYPES: Final = {"view": 1.0, "search": 1.0, "cart": 3.0, "purchase": 5.0, "cancel": -5.0}
_MAX_WEIGHT: Final = 1000


class HistoryEvent(Event, frozen=True, kw_only=True, array_like=True):
    """An event as histories hold it: cleaned, its time in epoch seconds.

    unknown: when it came, its item was in no published index. Whether it is known now is for the
    index to say.
    """

    time: float
    unknown: bool = False


def as_sent(event: HistoryEvent) -> dict[str, Any]:
    """An event in the format of events files: what `reranker events import` reads."""
    fields = msgspec.structs.asdict(event)
    return {
        name: value for name, value in fields.items() if value is not None and value is not False
    }


class EventSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are taken, and how they are cleaned."""

    types: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Event types as name=weight, beside or instead of view=1, search=1, "
            "cart=3, purchase=5, cancel=-5."
        ),
    ] = ()
    session_minutes: Annotated[
        float, msgspec.Meta(gt=0, description="A longer silence begins a new visit.")
    ] = 30.0
    bot_events_per_minute: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Users with more events in one minute are reported as bot-like. The lines "
            "of one basket count once.",
        ),
    ] = 120
    drop_bots: Annotated[
        bool,
        msgspec.Meta(
            description="Leave all events of bot-like users out of an import; in POST /events "
            "reject those beyond the limit."
        ),
    ] = False
    max_bad_share: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="A larger share of bad lines fails an import."),
    ] = 0.01
    request_events: Annotated[
        int, msgspec.Meta(ge=1, description="Most events in one POST /events; more is 422.")
    ] = 10_000

    def __post_init__(self) -> None:
        self.weights()

    def weights(self) -> dict[str, float]:
        """Every allowed type with its weight; Failure names an entry that cannot be read."""
        return TYPES | dict(_weight(entry) for entry in self.types)


class HistorySettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and how much is remembered of each shopper."""

    events_per_user: Annotated[
        int, msgspec.Meta(ge=2500, description="Newest events kept of each user.")
    ] = 10_000
    days: Annotated[
        float,
        msgspec.Meta(ge=0, description="Days after which events are forgotten; 0 keeps them."),
    ] = 0.0
    expire_hours: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description="Hours between two times that a running service deletes what is older than "
            "history.days and rankings.days; 0: only `reranker events expire` does.",
        ),
    ] = 24.0
    wait_seconds: Annotated[
        float,
        msgspec.Meta(
            gt=0, description="Longest wait for another process that writes; then it fails."
        ),
    ] = 5.0

    def cutoff(self) -> float:
        """The time before which events are no longer remembered."""
        return time.time() - self.days * 86_400 if self.days else -math.inf


def event_weights(workspace: Workspace) -> dict[str, float]:
    """What an event of each type counts, for signals and training."""
    return workspace.section(EventSettings).weights()


def _weight(entry: str) -> tuple[str, float]:
    name, _, number = entry.partition("=")
    name = name.strip().lower()
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not abs(weight) <= _MAX_WEIGHT:
        raise Failure(
            f"events.types holds {entry!r}; a name and a number from -{_MAX_WEIGHT} to "
            f'{_MAX_WEIGHT} are expected, such as "wishlist=2".',
            field="events.types",
        )
    return name, weight
