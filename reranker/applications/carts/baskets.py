"""baskets.py: all sequences -> baskets: what was bought in one visit, by every shopper."""

from dataclasses import dataclass

import numpy as np

from indexes.storage.arrays import Floats, Ints
from reranker.applications.carts.carts import PURCHASE
from reranker.model.card import NONE
from reranker.training.item_statistics import visits_of
from reranker.training.sequences import Sequences


@dataclass(frozen=True, eq=False)
class Baskets:
    """What was bought in one visit, shopper by shopper, oldest first.

    shoppers, times (b,); at (b + 1,): where each one's items begin; items: once each.
    """

    shoppers: Ints
    times: Floats
    at: Ints
    items: Ints

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, basket: int) -> Ints:
        return self.items[self.at[basket] : self.at[basket + 1]]

    @property
    def owner(self) -> Ints:
        """The basket of each item (items,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.at))

    def where(self, chosen: Ints) -> "Baskets":
        """These baskets (k,) alone, in this order."""
        sizes = np.diff(self.at)[chosen]
        at = np.append(0, np.cumsum(sizes))
        flat = np.repeat(self.at[chosen] - at[:-1], sizes) + np.arange(at[-1])
        return Baskets(self.shoppers[chosen], self.times[chosen], at, self.items[flat])

    def before(self, time: float) -> "Baskets":
        """Those from before this time."""
        return self.where(np.flatnonzero(self.times < time))

    def earlier(self, basket: int) -> list[int]:
        """The same shopper's baskets before this one, oldest first."""
        first = int(np.searchsorted(self.shoppers, self.shoppers[basket]))
        return list(range(first, basket))


def baskets_of(sequences: Sequences, gap_minutes: float) -> Baskets:
    """All baskets in the sequences; items are numbered as there. Without a purchase, none.

    Cancels are passed over: what was bought together was, whatever came of it.
    """
    types = list(sequences.weights)
    bought = np.zeros(len(sequences.items), bool)
    if PURCHASE in types:
        bought = (sequences.types == types.index(PURCHASE)) & (sequences.items != NONE)
    places = np.flatnonzero(bought)
    visits = visits_of(sequences, gap_minutes)[places]
    most = int(sequences.items.max(initial=0)) + 1
    _, first = np.unique(visits * most + sequences.items[places], return_index=True)
    first = np.sort(first)
    places, visits = places[first], visits[first]
    _, begin = np.unique(visits, return_index=True)
    return Baskets(
        sequences.owner[places[begin]],
        sequences.times[places[begin]],
        np.append(begin, len(places)),
        sequences.items[places],
    )
