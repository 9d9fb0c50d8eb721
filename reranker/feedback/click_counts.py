"""click_counts.py: joined rankings -> how often each item was shown and clicked at each position.

A click is any of the counted actions; an item that was clicked twice after one ranking counts once.
"""

from array import array
from collections.abc import Callable, Hashable, Iterator

import numpy as np

from indexes.items.words import folded
from indexes.storage.arrays import Floats, Ints
from reranker.feedback.joins import JoinedRanking

MAX_POSITIONS = 200

Columns = tuple[Ints, Ints, Floats, Floats]  # pair, position, times shown, times clicked
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

    Memory grows with the different rows, not with the rankings; with `by_shopper` by nine bytes an
    impression, so that the same can be counted of shoppers drawn again.
    """

    def __init__(self, by_shopper: bool = False) -> None:
        self.pairs: dict[tuple[str, str], int] = {}
        # (pair, position) -> its row, shown, clicked
        self._counts: dict[tuple[int, int], list[int]] = {}
        self._by_shopper = by_shopper
        self._shoppers: dict[Hashable, int] = {}
        self._owner, self._row, self._clicked = array("I"), array("I"), array("B")

    def add(self, joined: JoinedRanking, clicked: Clicked, shopper: Hashable = None) -> None:
        """Count one ranking. shopper: whose it is, asked for by `resampled` alone."""
        query = folded(joined.ranking.query)
        owner = self._shoppers.setdefault(shopper, len(self._shoppers))
        for position, item in enumerate(joined.ranking.items[:MAX_POSITIONS]):
            pair = self.pairs.setdefault((query, item), len(self.pairs))
            count = self._counts.setdefault((pair, position), [len(self._counts), 0, 0])
            is_clicked = clicked(joined, item)
            count[1] += 1
            count[2] += is_clicked
            if self._by_shopper:
                self._owner.append(owner)
                self._row.append(count[0])
                self._clicked.append(is_clicked)

    def columns(self) -> Columns:
        """Pair, position, times shown and times clicked of every row."""
        pair, position = self._keys()
        counts = np.array(list(self._counts.values()), dtype=np.float64).reshape(-1, 3)
        return pair, position, counts[:, 1], counts[:, 2]

    def _keys(self) -> tuple[Ints, Ints]:
        keys = np.array(list(self._counts), dtype=np.int64).reshape(-1, 2)
        return keys[:, 0], keys[:, 1]

    def resampled(self, draws: int, seed: int) -> Iterator[Columns]:
        """The columns of as many shoppers, drawn with replacement, once for each draw."""
        rng, count = np.random.default_rng(seed), len(self._shoppers)
        owner, row = np.array(self._owner, np.int64), np.array(self._row, np.int64)
        clicked = np.array(self._clicked, np.float64)
        pair, position = self._keys()
        for _ in range(draws):
            times = np.bincount(rng.integers(0, count, count), minlength=count)[owner]
            shown = sums(row, times.astype(np.float64), len(pair))
            was_shown = shown > 0
            clicks = sums(row, times * clicked, len(pair))
            yield pair[was_shown], position[was_shown], shown[was_shown], clicks[was_shown]
