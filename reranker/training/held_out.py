"""held_out.py: sequences -> the moments of some shoppers from which on nothing is learned.

A moment is a shopper's last search that led to an item, with what they did after it; where they do
not search, their last item. A model is validated on the item that came next, and the default blend
is fitted on the same moments: neither encoder nor statistics have seen what came after them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from indexes.storage.arrays import Floats, Ints
from reranker.model.card import NONE
from reranker.training.batches import Cases, cases_at
from reranker.training.sequences import Sequences

_FEWEST_SEARCHES: Final = 100
MINUTES: Final = 30.0  # from a search to what it led to, where no setting says


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Moments (n,), in the order of their shoppers.

    begins: position of the first event that is held out: the search, else the target itself.
    targets: position of the first target from there on. ends: position after the last event of the
    moment. limits (s,): for every shopper, where learning ends.
    """

    shoppers: Ints
    begins: Ints
    targets: Ints
    ends: Ints
    limits: Ints

    def __len__(self) -> int:
        return len(self.shoppers)

    def cases(self, sequences: Sequences) -> Cases:
        """The first target of each moment, to be foreseen from all before it, the search too."""
        return cases_at(sequences, self.targets)


def held_out(
    sequences: Sequences,
    limits: Ints,
    most: int,
    seed: int,
    minutes: float = MINUTES,
    unseen_from: Floats | None = None,
) -> HeldOut:
    """The moments of at most so many shoppers, and of no more than half of those who have one;
    those that began with a search, where there are enough.

    limits (s,): nothing at or after this position of a shopper counts. A shopper needs two events
    before the last target. Who is chosen goes by a hash of the shopper's place: one with more
    events holds out the same shoppers, and so does one of the same events elsewhere.
    unseen_from (s,): times before which a moment must not begin; None: any.
    """
    last = sequences.last_target_before(limits)
    can = np.flatnonzero((last != NONE) & (last > sequences.at[:-1] + 1))
    half = max(len(can) // 2, 1)
    begins = _begins(sequences, can, last[can], 60.0 * minutes)
    searched = begins != last[can]
    if searched.sum() >= _FEWEST_SEARCHES:  # what is asked for is the ranking of searches
        can, begins = can[searched], begins[searched]
    if unseen_from is not None:
        unseen = sequences.times[begins] >= unseen_from[can]
        can, begins = can[unseen], begins[unseen]
    hashes = [xxhash.xxh64_intdigest(b"%d" % place, seed) for place in can.tolist()]
    drawn = np.argsort(np.array(hashes, np.uint64), kind="stable")[: min(most, half)]
    drawn = np.sort(drawn)
    chosen, begins = can[drawn], begins[drawn]
    stops = limits.copy()
    stops[chosen] = begins
    targets = sequences.first_target(begins, limits[chosen])
    return HeldOut(chosen, begins, targets, last[chosen] + 1, stops)


def _begins(sequences: Sequences, shoppers: Ints, last: Ints, seconds: float) -> Ints:
    """The newest search before each last target (n,), where it led there; else that target.

    A search that is the shopper's first event stays in what is read: a history is wanted.
    """
    searches = np.flatnonzero(sequences.queries != NONE)
    if not len(searches):
        return last
    place = np.searchsorted(searches, last) - 1
    search = searches[np.maximum(place, 0)]
    led = (place >= 0) & (search > sequences.at[shoppers])
    led &= sequences.times[last] - sequences.times[search] <= seconds
    return np.where(led, search, last)
