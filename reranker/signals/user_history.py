"""user_history.py: a request and the stored histories -> the events that personal signals read.

Only what came before the request's time; `history` in the request replaces what is stored.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from indexes.cached import lazily
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Values
from reranker.events.events import HistoryEvent
from reranker.histories.histories import AtHand, Recent, SamePerson
from reranker.model.learned import Learned
from reranker.requests import Event, RerankRequest
from reranker.runtime.budget import HISTORY, Left, NotAtHand, Unavailable, current
from reranker.signals.columns import Missing
from reranker.signals.user_profiles import UserProfile, UserProfiles
from reranker.times import seconds_of

log = logging.getLogger("reranker")

NOT_ASKED: Final = Missing("not_asked", degraded=False)
PROFILES: Final = 1000
LENGTH: Final = 50  # newest events that are read where no model says how many


@dataclass(frozen=True, eq=False)
class Personalization:
    """reason: why nothing learned is served. recent: none where no histories are read.

    profiles: what is kept worked out of stored histories. same_person, at_hand: none where no
    histories are. attributes: of a user, known before a time.
    """

    learned: Learned | None = None
    reason: str = "no_model"
    recent: Recent | None = None
    profiles: UserProfiles = field(default_factory=lambda: UserProfiles(PROFILES))
    same_person: SamePerson | None = None
    at_hand: AtHand | None = None
    attributes: Callable[[str | None, float | None], Mapping[str, Any]] | None = None

    @lazily
    def length(self) -> int:
        """Newest events that are read."""
        return self.learned.model.length if self.learned else LENGTH


class UserHistory:
    """What a shopper did before now, at least one event of which the index or a text knows.

    events: oldest first. rows: of the index (h,), of the items met, newest first, without those
    that the index lacks.
    """

    def __init__(self, profile: UserProfile, now: float) -> None:
        self.profile, self.events, self.rows = profile, profile.events, profile.rows
        self._now = now

    @lazily
    def ages(self) -> Values:
        """Seconds since each event (e,), at least 0."""
        return np.maximum(self._now - self.profile.times, 0.0)


def user_history_of(
    request: RerankRequest, now: Callable[[], float], personal: Personalization, index: ItemIndex
) -> UserHistory | Missing:
    """The history that counts for this request, or why there is none."""
    if not request.personalize:
        return NOT_ASKED
    events = _events(request, now, personal)
    if isinstance(events, Missing):
        return events
    profile = _profile(request, events, personal, index)
    if profile is None:
        return Missing("no_history")
    if not len(profile.rows) and not any(event.query for event in events):
        return Missing("unknown_history")
    return UserHistory(profile, now())


def attributes_of(
    request: RerankRequest, now: Callable[[], float], personal: Personalization
) -> Mapping[str, Any]:
    """What is known of the request's user beside the events; nothing where it cannot be read."""
    if personal.attributes is None or not request.user or not request.personalize:
        return {}
    try:
        return personal.attributes(request.user, now() if request.time is not None else None)
    except Exception:  # it must not cost the search
        log.exception("the attributes cannot be read")
        return {}


def _profile(
    request: RerankRequest, events: list[HistoryEvent], personal: Personalization, index: ItemIndex
) -> UserProfile | None:
    """What is kept of a stored history, or worked out anew; None without any event."""
    if request.history is not None:
        return UserProfile(events, index, personal.learned) if events else None
    shopper = request.user, request.session
    if events:
        return personal.profiles.of(shopper, events, index, personal.learned)
    personal.profiles.drop(shopper)
    return None


def shopper_events(
    request: RerankRequest,
    now: Callable[[], float],
    personal: Personalization,
    most: int | None = None,
) -> list[HistoryEvent] | Missing:
    """The events of a request's shopper before now, oldest first; Missing where there are none.

    most: the newest so many, instead of those that the model reads.
    """
    return _events(request, now, personal, most) or Missing("no_history")


def _events(
    request: RerankRequest,
    now: Callable[[], float],
    personal: Personalization,
    most: int | None = None,
) -> list[HistoryEvent] | Missing:
    most = personal.length if most is None else most
    if request.history is not None:
        return _sent(request.history, request.time is not None, now())[-most:]
    if personal.recent is None or not (request.user or request.session):
        return []
    before = now() if request.time is not None else None
    asked = personal, request.user, request.session, most, before
    budget = current()
    if budget is not None and budget.at_hand:
        return _at_hand(*asked)
    try:
        return _stored(*asked) if budget is None else budget.call(HISTORY, _stored, *asked)
    except Left:
        raise
    except Unavailable as unavailable:
        return Missing(unavailable.reason)
    except Exception:  # histories that cannot be read must not cost the search
        log.exception("the stored history cannot be read")
        return Missing("history_unavailable")


def _at_hand(
    personal: Personalization, user: str | None, session: str | None, n: int, before: float | None
) -> list[HistoryEvent]:
    """The newest n events, of which the profile is kept; NotAtHand where either is not."""
    events = None
    if personal.at_hand is not None and before is None:
        events = personal.at_hand(user, session, n)
    if events is None or (events and not personal.profiles.has((user, session), events)):
        raise NotAtHand
    return events


def _stored(
    personal: Personalization, user: str | None, session: str | None, n: int, before: float | None
) -> list[HistoryEvent]:
    """The newest n events; TypeError for what is no list of events with a time."""
    assert personal.recent is not None
    events = personal.recent(user, session, n, before)
    if personal.profiles.has((user, session), events) or _is_history(events):
        return events
    raise TypeError(f"the stored history gave {type(events)}, which is no history")


def _is_history(events: object) -> bool:
    return isinstance(events, list) and all(
        type(event) is HistoryEvent and math.isfinite(event.time) for event in events
    )


def _sent(history: Sequence[Event], timed: bool, now: float) -> list[HistoryEvent]:
    """The request's own events; one without a time happened with the one before it.

    timed: the request has a time, so that what is not before it is not read.
    """
    events, last = [], None
    for position, event in enumerate(history):
        if event.time is None:
            time = now if last is None else last
        else:
            time = seconds_of(event.time, f"history[{position}].time")
            if timed and time >= now:
                continue
        last = time
        events.append(HistoryEvent(**{**msgspec.structs.asdict(event), "time": time}))
    return sorted(events, key=lambda event: event.time)
