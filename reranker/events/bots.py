"""bots.py: events as they come -> which of them are too many for a person in one minute.

For one process and without a disk: what an import can tell of a whole file, a service has to tell
from what it remembers.
"""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import Final

from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key
from reranker.events.settings import EventSettings

BASKETS: Final = frozenset({"purchase", "cancel", "uncart"})  # many lines, one action
MINUTE: Final = 60.0
MAX_SHOPPERS: Final = 50_000
MAX_ACTIONS: Final = 1_000_000  # of all shoppers together, 16 bytes each
_BASKET: Final = -1  # the key of a basket's lines; those of events are not negative

Name = tuple[bool, str]  # whether it is a user, and the name


def shopper_of(event: HistoryEvent) -> Name:
    """Whose events it counts among: the user's, and without one the session's."""
    return event.user is not None, event.user or event.session or ""


class _Actions:
    """What one shopper did lately: times in order, and what tells actions of one time apart."""

    __slots__ = ("keys", "times")

    def __init__(self) -> None:
        self.times, self.keys = array("d"), array("q")

    def __len__(self) -> int:
        return len(self.times)

    def holds(self, at: float, key: int) -> bool:
        first, stop = bisect_left(self.times, at), bisect_right(self.times, at)
        return key in self.keys[first:stop]

    def add(self, at: float, key: int) -> None:
        place = bisect_right(self.times, at)
        self.times.insert(place, at)
        self.keys.insert(place, key)

    def drop_farthest(self, at: float) -> None:
        """Forget the action that is farthest from this time."""
        place = 0 if at - self.times[0] >= self.times[-1] - at else -1
        del self.times[place], self.keys[place]

    def more_than(self, most: int, at: float) -> bool:
        """Whether some minute that holds this time has more actions than `most`."""
        times = self.times
        first, stop = bisect_right(times, at - MINUTE), bisect_left(times, at + MINUTE)
        return any(
            times[place + most] - times[place] < MINUTE for place in range(first, stop - most)
        )


class EventRates:
    """The latest actions of the latest shoppers; those not heard of for longest are forgotten.

    The lines of one basket are one action, and so is an event that comes again with its id. With
    events.drop_bots what is too much is not remembered: what was let pass is let pass again.
    """

    def __init__(
        self,
        settings: EventSettings,
        *,
        shoppers: int = MAX_SHOPPERS,
        actions: int = MAX_ACTIONS,
    ) -> None:
        self.most = settings.bot_events_per_minute
        self.dropping = settings.drop_bots
        # A full minute of one shopper, and room for events of another time.
        self._per_shopper = min(2 * self.most, actions)
        self._shoppers, self._total = shoppers, actions
        self._known: OrderedDict[Name, _Actions] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def held(self) -> int:
        """Actions that are remembered now."""
        return self._held

    def too_many(self, event: HistoryEvent) -> bool:
        """Whether its shopper has, with it, more events in one minute than a person would."""
        name, at = shopper_of(event), event.time
        key = _BASKET if event.type in BASKETS else event_key(event)
        with self._lock:
            actions = self._known.get(name)
            if actions is None:
                actions = self._known[name] = _Actions()
            else:
                self._known.move_to_end(name)
            if actions.holds(at, key):
                return not self.dropping and actions.more_than(self.most, at)
            actions.add(at, key)
            self._held += 1
            beyond = actions.more_than(self.most, at)
            if beyond and self.dropping:
                self._remove(actions, at, key)
            self._make_room(actions, at)
            return beyond

    def _remove(self, actions: _Actions, at: float, key: int) -> None:
        place = actions.keys.index(key, bisect_left(actions.times, at))
        del actions.times[place], actions.keys[place]
        self._held -= 1

    def _make_room(self, actions: _Actions, at: float) -> None:
        if len(actions) > self._per_shopper:
            actions.drop_farthest(at)
            self._held -= 1
        while len(self._known) > self._shoppers or self._held > self._total:
            self._held -= len(self._known.popitem(last=False)[1])
