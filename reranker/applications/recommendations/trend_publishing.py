"""trend_publishing.py: a training run -> what was taken up day by day, in its model version.

For a service that has not read the histories yet. What fewer than `train.min_users` shoppers met is
nobody's trend; times are days.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats, Ints
from reranker.applications.recommendations.trending import DAY, TRENDS, TrendCard
from reranker.model.card import NONE
from reranker.model_selection.train import TrainingRun
from reranker.training.item_statistics import COUNT_DIGITS, days, rounded
from reranker.training.sequences import met_by

DAYS: Final = 28  # before the newest event
ITEMS: Final = 1000  # of which most is taken up


def write_trends(run: TrainingRun, folder: Path) -> None:
    """Nothing where nothing counts."""
    sequences = run.sequences
    by_type = np.maximum(np.array(list(sequences.weights.values())), 0.0)
    worth = by_type[sequences.types]
    places = np.flatnonzero((worth > 0) & (sequences.items != NONE))
    day = days(sequences.times[places])
    places = places[day > day.max(initial=0) - DAYS]
    items, owner = sequences.items[places], sequences.owner[places]
    usual = np.isin(items, met_by(items, owner, run.settings.min_users))
    places, items, owner = places[usual], items[usual], owner[usual]
    if not len(places):
        return
    day, amounts = _by_day(items, owner, days(sequences.times[places]), worth[places])
    most, totals = np.unique(day[:, 0], return_inverse=True)
    often = np.bincount(totals, amounts)
    chosen = most[np.argsort(-often, kind="stable")[:ITEMS]]
    kept = np.isin(day[:, 0], chosen)
    ids = run.index.ids.ids(chosen)
    place = {row: at for at, row in enumerate(chosen.tolist())}
    counts = [
        (place[row], when, amount)
        for (row, when), amount in zip(day[kept].tolist(), amounts[kept].tolist(), strict=True)
    ]
    newest = DAY * float(day[:, 1].max())
    (folder / TRENDS).write_bytes(msgspec.json.encode(TrendCard(ids, counts, newest)))


def _by_day(items: Ints, owner: Ints, day: Ints, worth: Floats) -> tuple[Any, Floats]:
    """(item, day) pairs (k, 2) and the sum over shoppers of their strongest event's weight (k,)."""
    keys = np.stack([items, day, owner])
    order = np.lexsort(keys[::-1])
    keys = keys[:, order]
    first = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))
    strongest = np.maximum.reduceat(worth[order], np.flatnonzero(first))
    pairs = keys[:2, first]
    new = np.append(True, (pairs[:, 1:] != pairs[:, :-1]).any(axis=0))
    sums = np.add.reduceat(strongest, np.flatnonzero(new))
    return pairs[:, new].T, rounded(sums, COUNT_DIGITS)
