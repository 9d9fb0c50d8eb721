"""position_weights.py: sequences, logged rankings -> how far each event after a search counts.

What stands on top is taken for its place, too. So an item that was taken at position k counts
1 / p(k), clipped (Joachims et al. 2017); p, how likely a position is looked at, is the
position-based model of these very rankings and what followed them (feedback/click_models.py).
"""

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from indexes.items.words import folded
from indexes.storage.arrays import Floats, Ints
from reranker.feedback.click_counts import MAX_POSITIONS, sums
from reranker.feedback.click_models import Examination, fit_clicks, telling_pairs
from reranker.feedback.days import logged_days
from reranker.feedback.off_policy import CLIP
from reranker.feedback.records import LoggedRanking, read_rankings
from reranker.training.search_statistics import led_by_searches
from reranker.training.sequences import Sequences
from reranker.tuning.logged_searches import APART, shopper_of

LEAST_PAIRS: Final = 20  # clicked at several positions; of fewer no curve is believed


def position_weights(
    folder: Path,
    sequences: Sequences,
    ids: Sequence[str],
    sessions: Mapping[str, str],
    minutes: float,
    limits: Ints,
) -> Floats | None:
    """How far each event counts (events,): 1 / p of the position at which its search showed its
    item, at most CLIP; 1 where that is not known. None where the log does not tell p.

    folder: of the log; it may be missing. ids: of the sequences' items, by their number. sessions:
    those of users, and whose, as sequences name them. limits (s,): p is fitted to what each
    shopper did before. Memory grows with the searches and the items that were taken after them,
    not with the log.
    """
    files = [path for _, path in logged_days(folder)]
    searches, targets = led_by_searches(sequences, minutes)
    if not files or not len(targets):
        return None
    shown = _Shown(sequences, searches, targets, ids)
    for ranking in read_rankings(files, lambda _line: None):
        if (who := shopper_of(ranking, sessions)) is not None:
            shown.meet(who, ranking)
    examination = shown.examination(limits)
    if examination is None:
        return None
    places = shown.positions()
    known = places >= 0
    weights = np.ones(len(sequences.items))
    chances = np.maximum(examination.at(places[known], MAX_POSITIONS), 1.0 / CLIP)
    weights[targets[known]] = 1.0 / chances
    return weights


class _Shown:
    """At which position each search showed what was taken after its query, by whomever.

    searches, targets (t,): what led to what, as positions in the sequences.
    """

    def __init__(
        self, sequences: Sequences, searches: Ints, targets: Ints, ids: Sequence[str]
    ) -> None:
        self._sequences, self._searches = sequences, searches
        texts = [folded(text) for text in sequences.query_texts]
        self._numbers: dict[str, dict[str, int]] = {}  # folded query -> item -> pair
        rows = sequences.items[targets]
        names = {row: ids[row] for row in np.unique(rows).tolist()}
        pairs, count = array("q"), 0
        for query, row in zip(sequences.queries[searches].tolist(), rows.tolist(), strict=True):
            pair = self._numbers.setdefault(texts[query], {}).setdefault(names[row], count)
            count += pair == count
            pairs.append(pair)
        self._pairs = np.array(pairs, np.int64)  # of each target (t,)
        self._asked: dict[tuple[str, str], list[int]] = {}  # (shopper, folded query) -> searches
        events = sequences.searches
        owners = sequences.shoppers_at(events).tolist()
        for event, owner in zip(events.tolist(), owners, strict=True):
            if (words := texts[sequences.queries[event]]) in self._numbers:
                self._asked.setdefault((sequences.shoppers[owner], words), []).append(event)
        # Of each search the nearest ranking: seconds between them, positions, pairs.
        self._nearest: dict[int, tuple[float, array[int], array[int]]] = {}

    def meet(self, who: str, ranking: LoggedRanking) -> None:
        """Note what this ranking showed for the searches that it answered."""
        query = folded(ranking.query)
        for event in self._asked.get((who, query), ()):
            apart = abs(ranking.at - float(self._sequences.times[event]))
            if apart <= APART and (event not in self._nearest or apart < self._nearest[event][0]):
                numbers, places, pairs = self._numbers[query], array("B"), array("i")
                for place, item in enumerate(ranking.items[:MAX_POSITIONS]):
                    if (pair := numbers.get(item)) is not None:
                        places.append(place)
                        pairs.append(pair)
                self._nearest[event] = apart, places, pairs

    def positions(self) -> Ints:
        """From 0, of each target in what its search showed (t,); -1 where that is not known."""
        found = np.full(len(self._pairs), -1)
        searches = self._searches.tolist()
        for number, (event, pair) in enumerate(zip(searches, self._pairs.tolist(), strict=True)):
            if event in self._nearest and pair in self._nearest[event][2]:
                _, places, pairs = self._nearest[event]
                found[number] = places[pairs.index(pair)]
        return found

    def examination(self, limits: Ints) -> Examination | None:
        """Fitted to all rankings that answered a search before the shopper's limit (s,), whether
        something was taken or not; None where too few pairs tell it.

        What nobody took after a query tells nothing of positions and is left out.
        """
        events = np.fromiter(self._nearest, np.int64, len(self._nearest))
        events = events[events < limits[self._sequences.shoppers_at(events)]]
        if not len(events):
            return None
        _, places, pairs = zip(*(self._nearest[event] for event in events.tolist()), strict=True)
        place, pair = (np.concatenate(part).astype(np.int64) for part in (places, pairs))
        most = len(self._pairs)
        shown = np.repeat(events, [len(each) for each in pairs]) * most + pair
        was_taken = np.isin(shown, self._searches * most + self._pairs)
        keys, row = np.unique(pair * MAX_POSITIONS + place, return_inverse=True)
        times, clicks = sums(row, np.ones(len(row))), sums(row, was_taken.astype(np.float64))
        pair_numbers = np.unique(keys // MAX_POSITIONS, return_inverse=True)[1]
        position = keys % MAX_POSITIONS
        if (
            not len(keys)
            or telling_pairs(pair_numbers, clicks) < LEAST_PAIRS
            or not sums(position, clicks)[0]
        ):
            return None
        return fit_clicks(pair_numbers, position, times, clicks).examination
