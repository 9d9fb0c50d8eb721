"""baselines.py: training events -> simple affinities that a sequence model has to beat.

Each takes cases and gives scores (n, items). None uses an event outside the training part.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from indexes.storage.arrays import Floats, Ints
from reranker.model.card import NONE
from reranker.training.batches import Cases, flat_places
from reranker.training.data import Catalogue
from reranker.training.inference import Scores
from reranker.training.sequences import Sequences

Score = Callable[[Cases], Scores]
WEEK: Final = 7 * 86_400.0
DENSE_ITEMS: Final = 20_000  # EASE inverts a matrix of this size squared
_RECENT: Final = 50
_DECAY: Final = 0.8  # what each earlier item of a history counts of the one after it
_RIDGE: Final = 250.0


class TrainingPart:
    """The item events before each shopper's limit, in the order of time."""

    def __init__(self, sequences: Sequences, limits: Ints, items: int) -> None:
        places = flat_places(sequences.at[:-1], limits)
        places = places[sequences.items[places] != NONE]
        self.items = items
        self.shoppers = sequences.owner[places]
        self.rows = sequences.items[places]
        self.times = sequences.times[places]
        self.count = len(sequences)

    def matrix(self) -> sparse.csr_matrix:
        """Shoppers by items, 1 where they met."""
        ones = np.ones(len(self.rows), np.float32)
        shape = (self.count, self.items)
        matrix = sparse.csr_matrix((ones, (self.shoppers, self.rows)), shape=shape)
        matrix.data[:] = 1.0  # duplicates were added up
        return matrix


def baselines(
    sequences: Sequences, limits: Ints, catalogue: Catalogue, cutoff: float | None
) -> Mapping[str, Callable[[], Score]]:
    """Those that are possible here, each made when it is called for.

    cutoff: the time at which all training events end, in a time split.
    """
    part = TrainingPart(sequences, limits, len(catalogue.ids))
    scores: dict[str, Callable[[], Score]] = {
        "popular": lambda: popular(part),
        "popular-7d": lambda: popular_of_the_week(part, cutoff),
        "together": lambda: together(part, sequences),
        "own-newest": lambda: own_newest(part, sequences),
    }
    texts = catalogue.texts
    if texts is not None:
        scores["last-item"] = lambda: last_item(texts, sequences)
    if len(catalogue.ids) <= DENSE_ITEMS:
        scores["ease"] = lambda: ease(part, sequences)
    return scores


def popular(part: TrainingPart) -> Score:
    """How often each item was met."""
    counts = np.bincount(part.rows, minlength=part.items).astype(np.float32)
    return lambda cases: np.tile(counts, (len(cases), 1))


def popular_of_the_week(part: TrainingPart, cutoff: float | None) -> Score:
    """The same over the seven days before each case, or before the cutoff if that is earlier."""
    order = np.argsort(part.times, kind="stable")
    times, rows = part.times[order], part.rows[order]

    def score(cases: Cases) -> Scores:
        now = cases.now if cutoff is None else np.minimum(cases.now, cutoff)
        return _counts_between(times, rows, now, part.items)

    return score


def _counts_between(times: Floats, rows: Ints, now: Floats, items: int) -> Scores:
    """Counts (n, items) of the week before each moment (n,), by a window that slides."""
    week_counts = np.empty((len(now), items), np.float32)
    first = np.searchsorted(times, now - WEEK)
    last = np.searchsorted(times, now)
    counts = np.zeros(items, np.float32)
    begin = end = 0
    for case in np.argsort(now, kind="stable"):
        np.add.at(counts, rows[end : last[case]], 1.0)
        np.subtract.at(counts, rows[begin : first[case]], 1.0)
        begin, end = int(first[case]), int(last[case])
        week_counts[case] = counts
    return week_counts


def last_item(texts: npt.NDArray[np.float32], sequences: Sequences) -> Score:
    """Nearness of whitened text vectors to the newest item's."""

    def score(cases: Cases) -> Scores:
        history = _history(sequences, cases, 1, len(texts))
        return np.asarray(history @ texts @ texts.T, dtype=np.float32)

    return score


def own_newest(part: TrainingPart, sequences: Sequences) -> Score:
    """The shopper's own items, newest first: what a model that copies the history comes to."""

    def score(cases: Cases) -> Scores:
        history = _history(sequences, cases, _RECENT, part.items, _DECAY)
        return np.asarray(history.todense(), dtype=np.float32)

    return score


def together(part: TrainingPart, sequences: Sequences) -> Score:
    """Cosine of who met both items, summed over the history, earlier items less and less."""
    met = part.matrix()
    lengths = np.sqrt(np.maximum(np.asarray(met.sum(axis=0)).ravel(), 1.0))
    scaled = met @ sparse.diags((1.0 / lengths).astype(np.float32))
    near = (scaled.T @ scaled).tocsr()
    near = near - sparse.diags(near.diagonal())  # an item is not its own neighbour

    def score(cases: Cases) -> Scores:
        history = _history(sequences, cases, _RECENT, part.items, _DECAY)
        return np.asarray((history @ near).todense(), dtype=np.float32)

    return score


def ease(part: TrainingPart, sequences: Sequences) -> Score:
    """EASE (Steck 2019): the linear map from histories to items, its diagonal held at 0."""
    met = part.matrix()
    gram = np.asarray((met.T @ met).todense(), dtype=np.float32)
    gram[np.diag_indices_from(gram)] += _RIDGE
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)

    def score(cases: Cases) -> Scores:
        history = _history(sequences, cases, len(sequences.items), part.items)
        return np.asarray(history @ weights, dtype=np.float32)

    return score


def _history(
    sequences: Sequences, cases: Cases, most: int, items: int, decay: float = 1.0
) -> sparse.csr_matrix:
    """Cases by items: decay ** (how many items came later), over the newest `most` item events."""
    begin = sequences.at[cases.shoppers]
    places = flat_places(begin, cases.stops)
    case = np.repeat(np.arange(len(cases)), cases.stops - begin)
    known = sequences.items[places] != NONE
    places, case = places[known], case[known]
    ends = np.cumsum(np.bincount(case, minlength=len(cases)))
    later = ends[case] - 1 - np.arange(len(case))
    recent = later < most
    shares = (decay ** later[recent]).astype(np.float32)
    rows = sequences.items[places[recent]]
    return sparse.csr_matrix((shares, (case[recent], rows)), shape=(len(cases), items))
