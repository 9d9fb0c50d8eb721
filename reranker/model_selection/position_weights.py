"""position_weights.py: sequences, logged rankings -> how far each event after a search counts.

What stands on top is taken for its place, too. So an item that was taken at position k counts
1 / p(k), clipped (Joachims et al. 2017); p, how likely a position is looked at, is the
position-based model of these very rankings and what followed them (feedback/click_models.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

Shown = list[tuple[int, int]]  # position, pair


def position_weights(
    folder: Path,
    sequences: Sequences,
    ids: Sequence[str],
    sessions: Mapping[str, str],
    minutes: float,
) -> Floats | None:
    """How far each event counts (events,): 1 / p of the position at which its search showed its
    item, at most CLIP; 1 where that is not known. None where the log does not tell p.

    folder: of the log; it may be missing. ids: of the sequences' items, by their number. sessions:
    those of users, and whose, as sequences name them. Memory grows with the searches and the items
    that were taken after them, not with the log.
    """
    files = [path for _, path in logged_days(folder)]
    searches, targets = led_by_searches(sequences, minutes)
    if not files or not len(targets):
        return None
    asked = _Searches.of(sequences, searches, targets, ids)
    for ranking in read_rankings(files, lambda _line: None):
        if (who := shopper_of(ranking, sessions)) is not None:
            asked.meet(who, ranking)
    examination = asked.examination(searches, targets)
    if examination is None:
        return None
    places = asked.positions(searches, targets)
    shown = places >= 0
    weights = np.ones(len(sequences.items))
    chances = np.maximum(examination.at(places[shown], MAX_POSITIONS), 1.0 / CLIP)
    weights[targets[shown]] = 1.0 / chances
    return weights


@dataclass(eq=False)
class _Searches:
    """Every search of the sequences, and at which positions it showed what is taken after it."""

    sequences: Sequences
    numbers: dict[tuple[str, str], int]  # (folded query, item) that was taken after it -> pair
    rows: dict[int, str]  # the items taken, by their number
    asked: dict[tuple[str, str], list[int]]  # (shopper, folded query) -> positions of its events
    nearest: dict[int, tuple[float, Shown]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, sequences: Sequences, searches: Ints, targets: Ints, ids: Sequence[str]
    ) -> "_Searches":
        texts = [folded(text) for text in sequences.query_texts]
        items = sequences.items
        rows = {row: ids[row] for row in np.unique(items[targets]).tolist()}
        numbers: dict[tuple[str, str], int] = {}
        queries = sequences.queries[searches].tolist()
        for query, row in zip(queries, items[targets].tolist(), strict=True):
            numbers.setdefault((texts[query], rows[row]), len(numbers))
        asked: dict[tuple[str, str], list[int]] = {}
        events = sequences.searches
        owners = sequences.shoppers_at(events).tolist()
        for event, owner in zip(events.tolist(), owners, strict=True):
            words = texts[sequences.queries[event]]
            asked.setdefault((sequences.shoppers[owner], words), []).append(event)
        return cls(sequences, numbers, rows, asked)

    def meet(self, who: str, ranking: LoggedRanking) -> None:
        """Note what this ranking showed for the searches that it answered."""
        query = folded(ranking.query)
        for event in self.asked.get((who, query), ()):
            apart = abs(ranking.at - float(self.sequences.times[event]))
            if apart <= APART and (event not in self.nearest or apart < self.nearest[event][0]):
                places = enumerate(ranking.items[:MAX_POSITIONS])
                pairs = ((place, self.numbers.get((query, item))) for place, item in places)
                shown = [(place, pair) for place, pair in pairs if pair is not None]
                self.nearest[event] = apart, shown

    def positions(self, searches: Ints, targets: Ints) -> Ints:
        """From 0, of each target in what its search showed (t,); -1 where that is not known."""
        places = np.full(len(targets), -1)
        for number, (event, pair) in enumerate(self._pairs(searches, targets)):
            for place, other in self.nearest.get(event, (0.0, []))[1]:
                if other == pair:
                    places[number] = place
        return places

    def examination(self, searches: Ints, targets: Ints) -> Examination | None:
        """Fitted to all rankings that answered a search; None where too few pairs tell it.

        What nobody took after a query tells nothing of positions and is left out.
        """
        taken = set(self._pairs(searches, targets))
        counts: dict[tuple[int, int], list[int]] = {}
        for event, (_, shown) in self.nearest.items():
            for place, pair in shown:
                count = counts.setdefault((pair, place), [0, 0])
                count[0] += 1
                count[1] += (event, pair) in taken
        if not counts:
            return None
        keys = np.array(list(counts), np.int64)
        times, clicks = np.array(list(counts.values()), np.float64).T
        pairs, places = np.unique(keys[:, 0], return_inverse=True)[1], keys[:, 1]
        if telling_pairs(pairs, clicks) < LEAST_PAIRS or not sums(places, clicks)[0]:
            return None
        return fit_clicks(pairs, places, times, clicks).examination

    def _pairs(self, searches: Ints, targets: Ints) -> list[tuple[int, int]]:
        """The search that led to each target, and the number of their query and item."""
        texts, sequences = self.sequences.query_texts, self.sequences
        queries = sequences.queries[searches].tolist()
        items = sequences.items[targets].tolist()
        pairs = [
            self.numbers[folded(texts[query]), self.rows[row]]
            for query, row in zip(queries, items, strict=True)
        ]
        return list(zip(searches.tolist(), pairs, strict=True))
