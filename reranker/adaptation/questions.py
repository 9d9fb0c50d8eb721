"""questions.py: judged requests, searches of shoppers, the catalogue -> queries with wanted items.

A query that shoppers typed wants what they met after it in the same visit; its gain is what they
did, added up. Where neither shoppers nor judges say anything, the catalogue asks its own: the words
of a category, alone and with a brand, want the items that stand there. The candidates are what
words and vectors find, and whatever is wanted besides.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from indexes.items.categories import split_paths
from indexes.items.index import ItemIndex
from indexes.items.words import folded
from indexes.storage.arrays import Floats, Ints, Rows
from reranker.adaptation.candidates import Candidates
from reranker.requests import JudgedRequest
from reranker.training.search_statistics import searched_pairs
from reranker.training.sequences import Sequences

Source = Literal["judgments", "behaviour", "catalogue"]
_MOST_QUERIES: Final = 2_000  # made of the catalogue
_WANTED: Final = 20  # items of a shelf that a query wants at least some of in its candidates
_SHELF: Final = 3  # items without which a category, or a brand within it, is no query


@dataclass(frozen=True, eq=False)
class Question:
    """A query; rows (n,): its candidates in the index; gains (n,): how much each is wanted, 0 for
    those that are not. ideal: gains of all that is wanted, most first. times: how often asked."""

    query: str
    source: Source
    rows: Rows
    gains: Floats
    ideal: Floats
    times: int = 1


def judged_questions(requests: Iterable[JudgedRequest], index: ItemIndex) -> list[Question]:
    """Requests with a query and items of the index; gains are 2^grade - 1."""
    questions = []
    for request in requests:
        ids = list(dict.fromkeys([*(each.id for each in request.candidates), *request.ratings]))
        rows = index.rows(ids)
        gains = np.array([2.0 ** request.ratings.get(item, 0.0) - 1.0 for item in ids])
        known = rows >= 0
        if request.query and gains[known].any():
            ideal = np.sort(gains[gains > 0])[::-1]
            questions.append(Question(request.query, "judgments", rows[known], gains[known], ideal))
    return questions


def behaviour_questions(
    sequences: Sequences, minutes: float, least_users: int, candidates: Candidates
) -> list[Question]:
    """Queries that so many shoppers typed; gains are the weights of what was done, added up.

    sequences: their items are rows of the index.
    """
    queries, rows, shoppers, worth = searched_pairs(sequences, minutes)
    texts = [folded(text) for text in sequences.query_texts]
    wanted: dict[str, dict[int, float]] = defaultdict(dict)
    users: dict[str, set[int]] = defaultdict(set)
    for query, row, shopper, weight in zip(
        queries.tolist(), rows.tolist(), shoppers.tolist(), worth.tolist(), strict=True
    ):
        text = texts[query]
        users[text].add(shopper)
        wanted[text][row] = wanted[text].get(row, 0.0) + weight
    asked = [text for text in wanted if text and len(users[text]) >= least_users]
    return [
        _question(text, "behaviour", listed, list(wanted[text]), wanted[text], len(users[text]))
        for text, listed in zip(asked, candidates.of(asked), strict=True)
    ]


def catalogue_questions(
    index: ItemIndex, candidates: Candidates, seed: int, most: int = _MOST_QUERIES
) -> list[Question]:
    """The last words of each category want its items, and with a brand those of the brand most."""
    shelves: dict[str, list[int]] = defaultdict(list)
    brands: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in range(len(index)):
        item = index.columns.item(row)
        for leaf in {path.split(">")[-1].strip() for path in split_paths(item.category)}:
            shelves[leaf].append(row)
            if item.brand:
                brands[item.brand, leaf].append(row)
    asked = [
        (leaf, dict.fromkeys(rows, 1.0)) for leaf, rows in shelves.items() if len(rows) >= _SHELF
    ]
    for (brand, leaf), rows in brands.items():
        if _SHELF <= len(rows) < len(shelves[leaf]):
            gains = dict.fromkeys(shelves[leaf], 1.0) | dict.fromkeys(rows, 3.0)
            asked.append((f"{brand} {leaf}", gains))
    numbers = np.random.default_rng(seed).permutation(len(asked))[:most]
    chosen = [asked[number] for number in numbers.tolist()]
    questions = []
    for (query, gains), listed in zip(
        chosen, candidates.of([query for query, _ in chosen]), strict=True
    ):
        most_wanted = sorted(gains, key=lambda row: -gains[row])[:_WANTED]
        questions.append(_question(query, "catalogue", listed, most_wanted, gains, 1))
    return [question for question in questions if question.gains.any()]


def _question(
    query: str,
    source: Source,
    listed: Rows,
    more: list[int],
    wanted: Mapping[int, float],
    times: int,
) -> Question:
    rows = np.array(list(dict.fromkeys([*listed.tolist(), *more])), np.int64)
    gains = np.array([wanted.get(row, 0.0) for row in rows.tolist()])
    return Question(query, source, rows, gains, np.sort(gains[gains > 0])[::-1], times)


def numbered(questions: Iterable[Question]) -> Ints:
    """All rows that stand in these questions, sorted."""
    rows = [question.rows for question in questions]
    return np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)
