"""search_statistics.py: all sequences -> what shoppers took after each search: counts by query.

A search led to what its shopper met after it in the same visit, until the next search. Each shopper
counts once for a query and an item, by the strongest thing that was done, halved every 90 days;
where it is known at which position the item was shown, what was taken further down counts more.
What too few shoppers did is left out, so that no query tells of one person.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from indexes.items.columns import id_hash
from indexes.items.words import folded
from indexes.storage.arrays import Floats, Ints, Vectors
from reranker.model.card import NONE
from reranker.model.search_statistics import SEARCHES
from reranker.model.settings import TrainSettings
from reranker.training.item_statistics import HALF_LIFE_DAYS, days, rounded
from reranker.training.sequences import Sequences

_DIGITS: Final = 7  # binary, of published amounts
_MOST: Final = 50_000  # queries kept: those that led to most
_VISIT: Final = 60.0  # seconds in a minute


@dataclass(frozen=True, eq=False)
class CountedSearches:
    """keys (q,): hashes of the folded queries, sorted. vectors (q, d): of the queries. at (q + 1,),
    items, amounts (p,): of each query the items it led to, by their row, and how much."""

    keys: np.ndarray[tuple[int], np.dtype[np.uint64]]
    vectors: Vectors
    at: Ints
    rows: Ints
    amounts: Floats

    def save(self, folder: Path, numbers: Ints) -> None:
        """numbers (rows,): of the item statistics, NONE for an item that they lack."""
        from safetensors.numpy import save_file

        known = numbers[self.rows] != NONE
        before = np.append(0, np.cumsum(known))  # how many known ones stand before each place
        at = before[self.at]
        save_file(
            {
                "keys": self.keys.view(np.int64),
                "vectors": np.ascontiguousarray(self.vectors, np.float32),
                "at": at.astype(np.int64),
                "numbers": numbers[self.rows][known].astype(np.int32),
                "amounts": self.amounts[known].astype(np.float32),
            },
            folder / SEARCHES,
        )


def count_searches(
    sequences: Sequences,
    vectors: Vectors | None,
    settings: TrainSettings,
    minutes: float,
    position_weights: Floats | None = None,
) -> CountedSearches:
    """sequences: their items are rows of the catalogue. vectors: of their query texts (t, d).

    settings: min_users_together, shoppers who went from a query to an item.
    position_weights: how far each event counts by the position of its item (events,).
    """
    searches, targets = led_by_searches(sequences, minutes)
    queries = sequences.queries[searches]
    shoppers, weights = sequences.shoppers_at(targets), _weights(sequences, targets)
    if position_weights is not None:
        weights = weights * position_weights[targets]
    today = days(sequences.times).max(initial=0)
    worth = weights * np.exp2(-(today - days(sequences.times[targets])) / HALF_LIFE_DAYS)
    texts = [folded(text) for text in sequences.query_texts]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    number_of = np.array([distinct[text] for text in texts], np.int64)
    if vectors is None or not len(targets):
        return _nothing(vectors)
    pairs = _pairs(number_of[queries], sequences.items[targets], shoppers, worth)
    query, row, amount = _of_enough(*pairs, settings.min_users_together)
    totals = np.bincount(query, amount, len(distinct))
    kept = np.argsort(-totals, kind="stable")[: min(_MOST, int((totals > 0).sum()))]
    names = list(distinct)
    keys = np.array([id_hash(names[number]) for number in kept.tolist()], np.uint64)
    order = np.argsort(keys)
    kept, keys = kept[order], keys[order]
    place = np.full(len(distinct), NONE)
    place[kept] = np.arange(len(kept))
    inside = place[query] != NONE
    sort = np.lexsort((row[inside], place[query[inside]]))
    query, row, amount = place[query[inside]][sort], row[inside][sort], amount[inside][sort]
    first = np.full(len(distinct), NONE)
    first[number_of[::-1]] = np.arange(len(texts))[::-1]
    return CountedSearches(
        keys=keys,
        vectors=vectors[first[kept]],
        at=np.append(0, np.cumsum(np.bincount(query, minlength=len(kept)))),
        rows=row,
        amounts=rounded(amount, _DIGITS),
    )


def searched_pairs(sequences: Sequences, minutes: float) -> tuple[Ints, Ints, Ints, Floats]:
    """What each shopper met after each query in the same visit, each pair once: numbers of the
    query texts, items, shoppers and the weight of the most that was done, (p,) each."""
    searches, targets = led_by_searches(sequences, minutes)
    shoppers, queries = sequences.shoppers_at(targets), sequences.queries[searches]
    return _pairs(queries, sequences.items[targets], shoppers, _weights(sequences, targets))


def _weights(sequences: Sequences, targets: Ints) -> Floats:
    """By the type of each of these events (t,)."""
    weights: Floats = np.array(list(sequences.weights.values()))[sequences.types[targets]]
    return weights


def led_by_searches(sequences: Sequences, minutes: float) -> tuple[Ints, Ints]:
    """Positions (t,) of the search that led to each target, and of those targets.

    minutes: after a search within which something belongs to it.
    """
    searches, targets = sequences.searches, sequences.targets
    if not len(searches) or not len(targets):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place = np.searchsorted(searches, targets) - 1
    search = searches[np.maximum(place, 0)]
    led = (place >= 0) & (search >= sequences.at[sequences.shoppers_at(targets)])
    led &= sequences.times[targets] - sequences.times[search] <= minutes * _VISIT
    return search[led], targets[led]


def _pairs(
    queries: Ints, rows: Ints, shoppers: Ints, worth: Floats
) -> tuple[Ints, Ints, Ints, Floats]:
    """Each shopper's query and item once, with the most that was done."""
    order = np.lexsort((-worth, shoppers, rows, queries))
    queries, rows, shoppers, worth = queries[order], rows[order], shoppers[order], worth[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(queries) != 0) | (np.diff(rows) != 0) | (np.diff(shoppers) != 0)
    return queries[new], rows[new], shoppers[new], worth[new]


def _of_enough(
    queries: Ints, rows: Ints, shoppers: Ints, worth: Floats, least: int
) -> tuple[Ints, Ints, Floats]:
    """Queries, items and their sums where so many shoppers did it; sorted."""
    new = np.ones(len(queries), bool)
    new[1:] = (np.diff(queries) != 0) | (np.diff(rows) != 0)
    starts = np.flatnonzero(new)
    users = np.diff(np.append(starts, len(queries)))
    sums = np.add.reduceat(worth, starts)
    enough = users >= least
    return queries[starts][enough], rows[starts][enough], sums[enough]


def _nothing(vectors: Vectors | None) -> CountedSearches:
    width = 0 if vectors is None else vectors.shape[1]
    none = np.zeros(0, np.int64)
    return CountedSearches(
        np.zeros(0, np.uint64),
        np.zeros((0, width), np.float32),
        np.zeros(1, np.int64),
        none,
        np.array([], np.float64),
    )
