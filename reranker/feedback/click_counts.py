"""click_counts.py: joined rankings -> how often each item was shown and clicked at each position.

A click is any of the counted actions; an item that was clicked twice after one ranking counts once.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from indexes.items.words import folded
from indexes.storage.arrays import Floats, Ints
from reranker.feedback.joins import JoinedRanking

MAX_POSITIONS = 200

Clicked = Callable[[JoinedRanking, str], bool]


def clicked_on(action: str) -> Clicked:
    """What counts: "click" is any graded action, else actions of this type alone."""
    if action == "click":
        return lambda joined, item: item in joined.followed
    return lambda joined, item: action in joined.followed.get(item, ())


def sums(number: Ints, weights: Floats, count: int = 0) -> Floats:
    """The sum of the weights of each number from 0, at least up to `count`."""
    return np.bincount(number, weights, count).astype(np.float64)


class ClickCounts:
    """Counts by pair (query, item) and position from 0; a row for each that was seen.

    Memory grows with the different rows, not with the rankings.
    """

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[int, int], list[int]] = {}  # (pair, position) -> shown, clicked

    def watched(
        self, rankings: Iterable[JoinedRanking], clicked: Clicked
    ) -> Iterator[JoinedRanking]:
        """The same rankings, counted as they pass."""
        for joined in rankings:
            self.add(joined, clicked)
            yield joined

    def add(self, joined: JoinedRanking, clicked: Clicked) -> None:
        """Count one ranking."""
        query = folded(joined.ranking.query)
        for position, item in enumerate(joined.ranking.items[:MAX_POSITIONS]):
            pair = self.pairs.setdefault((query, item), len(self.pairs))
            count = self._counts.setdefault((pair, position), [0, 0])
            count[0] += 1
            count[1] += clicked(joined, item)

    def columns(self) -> tuple[Ints, Ints, Floats, Floats]:
        """Pair, position, times shown and times clicked of every row."""
        keys = np.array(list(self._counts), dtype=np.int64).reshape(-1, 2)
        counts = np.array(list(self._counts.values()), dtype=np.float64).reshape(-1, 2)
        return keys[:, 0], keys[:, 1], counts[:, 0], counts[:, 1]
