"""settings.py: the sections [events] and [history]."""

import math
from typing import Annotated, Final

import msgspec

from indexes.errors import Failure
from indexes.names import normalised
from indexes.workspace import Settings, Workspace
from reranker.events.events import TYPES

_MAX_WEIGHT: Final = 1000


class EventSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are taken, and how they are cleaned."""

    types: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Event types as name=weight, beside or instead of view=1, search=1, "
            "cart=3, uncart=-3, purchase=5, cancel=-5; and other words for a type as name=type, "
            'such as "add_to_cart=cart".'
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
    drop_null_ids: Annotated[
        bool,
        msgspec.Meta(
            description="Take a user or session named null, undefined, NaN, (not set), 0 and the "
            "like for absent; an event without another shopper is rejected."
        ),
    ] = False
    max_bad_share: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="A larger share of bad lines fails an import."),
    ] = 0.01
    request_events: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Most events in one POST /events, or items in one POST /items; "
            "more is 422.",
        ),
    ] = 10_000

    def __post_init__(self) -> None:
        self.words()

    def weights(self) -> dict[str, float]:
        """Every allowed type with its weight; Failure names an entry that cannot be read."""
        entries = dict(map(_entry, self.types))
        return TYPES | {name: value for name, value in entries.items() if isinstance(value, float)}

    def words(self) -> dict[str, str]:
        """The shop's own words with the type that each stands for; Failure as for `weights`."""
        types = self.weights()
        entries = dict(map(_entry, self.types))
        words = {name: value for name, value in entries.items() if isinstance(value, str)}
        for name, kind in words.items():
            if name in types or kind not in types:
                problem = f"{name!r} is a type itself" if name in types else f"{kind!r} is no type"
                raise Failure(
                    f"events.types holds '{name}={kind}', but {problem}; a word of your own and "
                    f"one of {', '.join(types)} are expected, or a word and its weight.",
                    field="events.types",
                )
        return words


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
            gt=0,
            description="Longest wait for another process that writes, or for a Redis that is "
            "away; then it fails.",
        ),
    ] = 5.0
    url: Annotated[
        str,
        msgspec.Meta(
            description="Where histories are kept: empty is SQLite in the home; "
            '"redis://[user:password@]host:6379/0" is a Redis or Valkey, "rediss://" with TLS, '
            '"redis://host1:7000,host2:7000" a cluster. Passwords belong in '
            "RERANKER_HISTORY_URL, not in a file."
        ),
    ] = ""
    read_seconds: Annotated[
        float,
        msgspec.Meta(
            gt=0, description="Longest wait for a Redis that a request reads a history from."
        ),
    ] = 0.25
    wait_replicas: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Replicas of a Redis that must have an event before it counts as accepted.",
        ),
    ] = 0


def event_weights(workspace: Workspace) -> dict[str, float]:
    """What an event of each type counts, for signals and training."""
    return workspace.section(EventSettings).weights()


def _entry(entry: str) -> tuple[str, float | str]:
    """A type's name with its weight, or a word with the type it stands for."""
    name, _, value = entry.partition("=")
    name, value = normalised(name).lower(), normalised(value).lower()
    try:
        weight = float(value)
    except ValueError:
        if name and value:
            return name, value
        weight = math.nan
    if not name or not abs(weight) <= _MAX_WEIGHT:
        raise Failure(
            f"events.types holds {entry!r}; a name and a number from -{_MAX_WEIGHT} to "
            f'{_MAX_WEIGHT} are expected, such as "wishlist=2", or a word and its type, such as '
            '"add_to_cart=cart".',
            field="events.types",
        )
    return name, weight
