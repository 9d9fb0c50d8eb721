"""trending.py: stored histories -> what shoppers take up now, each shopper once an item.

An item's score is the sum over shoppers of the weight of their strongest event with it, halved with
every half-life before now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Rows, Values
from reranker.histories.histories import Histories

TRENDS: Final = "trends.json"
DAY: Final = 86_400.0
WINDOW_DAYS: Final = 7.0
HALF_LIFE_DAYS: Final = 2.0
FRESH_SECONDS: Final = 60.0  # after which stored events are read anew


class TrendCard(msgspec.Struct, frozen=True):
    """items: ids. counts: [place in items, day since 1970, sum over the shoppers of that day of the
    weight of their strongest event with it]. newest: the beginning of the newest day."""

    items: list[str]
    counts: list[tuple[int, int, float]]
    newest: float
    format: int = 1


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


def published_trends(folder: Path) -> StoredEvents | None:
    """Of a model version's folder: each count as one shopper's event in the middle of the day; None
    without any."""
    path = folder / TRENDS
    if not path.is_file():
        return None
    card = msgspec.json.decode(path.read_bytes(), type=TrendCard)
    item, day, worth = (np.array(column) for column in zip(*card.counts, strict=True))
    times = (day + 0.5) * DAY
    every = np.arange(len(item))
    return StoredEvents(every, item.astype(np.int64), worth.astype(np.float64), times, card.items)
