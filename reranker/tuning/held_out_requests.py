"""held_out_requests.py: moments held out of training -> searches with what was wanted in them.

Neither the encoder nor the statistics have seen what came after a moment began. A moment that began
with a search asks what the shopper typed; one without asks the words of the category that the
shopper went to, as one who looks along a shelf. The candidates are those of the shop's own engine
where the home has logged what the search showed; else what `LexicalEngine` finds for these words,
every item of the catalogue competing; what was met stays where that put it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

from indexes.items.categories import split_paths
from indexes.items.index import ItemIndex
from reranker.events.events import HistoryEvent
from reranker.feedback.records import LoggedRanking
from reranker.model.card import NONE
from reranker.requests import Candidate, Event, JudgedRequest
from reranker.training.held_out import HeldOut
from reranker.training.sequences import Sequences
from reranker.tuning.lexical_engine import LexicalEngine

CANDIDATES: Final = 100
_NOTHING: Final[Mapping[int, LoggedRanking]] = {}
_GRADES: Final = (1.0, 2.0, 3.0)  # of types by weight: looked at, put in the cart, bought


def held_out_requests(
    sequences: Sequences,
    moments: HeldOut,
    index: ItemIndex,
    length: int,
    logged: Mapping[int, LoggedRanking] = _NOTHING,
    done: Callable[[int], object] = lambda _n: None,
) -> list[JudgedRequest]:
    """A request for each moment whose candidates hold an item that was wanted.

    sequences: their items are rows of the index. length: newest events of a history that go along.
    logged: by the number of its moment, what a search showed.
    """
    engine = LexicalEngine(index)
    grades = grades_by_type(sequences.weights)
    requests = []
    for number in range(len(moments)):
        done(1)
        ratings = _ratings(sequences, moments, number, grades, index)
        query = _query(sequences, moments, number, index)
        ranking = logged.get(number)
        if ranking is not None and ratings.keys() & set(ranking.items):
            candidates, listed = ranking.candidates(), ranking.items
            ratings = {item: ratings[item] for item in listed if item in ratings}
        else:
            rows, scores = engine.search(query, CANDIDATES)
            pairs = zip(index.ids.ids(rows), scores.tolist(), strict=True)
            candidates, listed = [Candidate(*pair) for pair in pairs], None
        if not ratings.keys() & {candidate.id for candidate in candidates}:
            continue
        begin = int(moments.begins[number])
        requests.append(
            JudgedRequest(
                candidates=candidates,
                id=f"{number}",
                query=query,
                time=float(sequences.times[begin]),
                user=sequences.shoppers[moments.shoppers[number]],
                history=list(events_before(sequences, begin, index, length)),
                ratings=ratings,
                shown=listed,
                timing="known",
            )
        )
    return requests


def grades_by_type(weights: dict[str, float]) -> dict[int, float]:
    """1, 2 or 3 for each type (by its number) that counts above 0: by its weight's third."""
    above = sorted({weight for weight in weights.values() if weight > 0})
    places = {weight: place for place, weight in enumerate(above)}
    return {
        number: _GRADES[min(len(_GRADES) * places[weight] // len(above), len(_GRADES) - 1)]
        for number, weight in enumerate(weights.values())
        if weight > 0
    }


def _ratings(
    sequences: Sequences, moments: HeldOut, number: int, grades: dict[int, float], index: ItemIndex
) -> dict[str, float]:
    """The best grade of each item that was met in the moment."""
    ratings: dict[str, float] = {}
    for place in range(int(moments.targets[number]), int(moments.ends[number])):
        row, grade = int(sequences.items[place]), grades.get(int(sequences.types[place]))
        if row != NONE and grade is not None:
            [item] = index.ids.ids(np.array([row]))
            ratings[item] = max(grade, ratings.get(item, 0.0))
    return ratings


def _query(sequences: Sequences, moments: HeldOut, number: int, index: ItemIndex) -> str:
    """What was typed, else the words of the first path of the category that was gone to."""
    typed = int(sequences.queries[moments.begins[number]])
    if typed != NONE:
        return sequences.query_texts[typed]
    item = index.columns.item(int(sequences.items[moments.targets[number]]))
    paths = split_paths(item.category)
    return " ".join(level.strip() for level in paths[0].split(">")) if paths else ""


def events_before(
    sequences: Sequences, place: int, index: ItemIndex, length: int
) -> Iterator[Event]:
    """The newest events of the same shopper before this place, oldest first."""
    [shopper] = sequences.shoppers_at(np.array([place])).tolist()
    first = max(int(sequences.at[shopper]), place - length)
    types = list(sequences.weights)
    rows = sequences.items[first:place]
    ids = iter(index.ids.ids(rows[rows != NONE]))
    for at in range(first, place):
        query = int(sequences.queries[at])
        yield HistoryEvent(
            type=types[sequences.types[at]],
            item=next(ids) if sequences.items[at] != NONE else None,
            query=sequences.query_texts[query] if query != NONE else None,
            time=float(sequences.times[at]),
        )
