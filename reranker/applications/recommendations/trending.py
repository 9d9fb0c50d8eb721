"""trending.py: stored histories -> what shoppers take up now, each shopper once an item.

An item's score is the sum over shoppers of the weight of their strongest event with it, halved with
every half-life before now.
"""

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Rows, Values
from reranker.histories.histories import Histories

DAY: Final = 86_400.0
WINDOW_DAYS: Final = 7.0
HALF_LIFE_DAYS: Final = 2.0
FRESH_SECONDS: Final = 60.0  # after which stored events are read anew


@dataclass(frozen=True, eq=False)
class StoredEvents:
    """Events with an item and a type that counts. shoppers, items, weights, times: (e,)."""

    shoppers: Rows
    items: Rows
    weights: Values
    times: Floats
    names: list[str]

    @property
    def newest(self) -> float | None:
        """The time of the newest; None without any."""
        return float(self.times.max()) if len(self.times) else None


def stored_events(histories: Histories, weights: Mapping[str, float]) -> StoredEvents:
    """All that is stored, in one pass. weights: of types; those of 0 or less do not count."""
    numbers: dict[str, int] = {}
    shoppers: list[int] = []
    items: list[int] = []
    worth: list[float] = []
    times: list[float] = []
    for shopper, (_, events) in enumerate(histories.stream()):
        for event in events:
            weight = weights.get(event.type, 0.0)
            if event.item is not None and weight > 0:
                shoppers.append(shopper)
                items.append(numbers.setdefault(event.item, len(numbers)))
                worth.append(weight)
                times.append(event.time)
    return StoredEvents(
        np.array(shoppers, np.int64),
        np.array(items, np.int64),
        np.array(worth),
        np.array(times, np.float64),
        list(numbers),
    )


def trending_scores(
    events: StoredEvents, index: ItemIndex, now: float, window_days: float, half_life_days: float
) -> tuple[Rows, Values]:
    """Rows (n,) of the index that were met in the window that ends now, and their scores (n,)."""
    age = (now - events.times) / DAY
    inside = (age >= 0) & (age <= window_days)
    worth = events.weights[inside] * np.exp2(-age[inside] / half_life_days)
    pairs = events.shoppers[inside] * max(len(events.names), 1) + events.items[inside]
    distinct, place = np.unique(pairs, return_inverse=True)
    strongest = np.zeros(len(distinct))
    np.maximum.at(strongest, place, worth)
    scores = np.asarray(
        np.bincount(distinct % max(len(events.names), 1), strongest, len(events.names)), np.float64
    )
    rows = index.rows(events.names)
    usable = (rows >= 0) & (scores > 0)
    order = np.argsort(-scores[usable], kind="stable")
    return rows[usable][order], scores[usable][order]


class Trends:
    """Stored events as of a minute ago, for every request of a process; safe between threads."""

    def __init__(self, histories: Histories, weights: Mapping[str, float]) -> None:
        self._histories, self._weights = histories, weights
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._events: StoredEvents | None = None

    def events(self) -> StoredEvents:
        """Those that are stored; reads them anew where they are a minute old."""
        with self._lock:
            if self._events is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._events = stored_events(self._histories, self._weights)
                self._read_at = time.monotonic()
            return self._events
