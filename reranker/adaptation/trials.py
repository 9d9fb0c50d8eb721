"""trials.py: questions -> parts that no query is in twice; vectors -> NDCG@10 of each question.

A candidate's score is the cosine of its text and the query's, and nothing else: what is measured is
the text encoder alone. The order in which the candidates are listed breaks ties.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import xxhash

from indexes.items.words import folded
from indexes.storage.arrays import Floats, Vectors
from reranker.adaptation.questions import Question

CUT: Final = 10
_TENTHS: Final = (6, 8)  # of ten: below the first learned from, below the second chosen by
_LEARNED: Final = 6_000  # the most queries of each part
_CHOSEN: Final = 300
_PROOF: Final = 1_000


class Parts(NamedTuple):
    """learned: what the encoder learns from; chosen: by which its best state is chosen; proof: of
    which neither has seen a query, nor one that differs by case, accents or spaces only."""

    learned: list[Question]
    chosen: list[Question]
    proof: list[Question]


def parts_of(questions: Sequence[Question], seed: int) -> Parts:
    """Six, two and two tenths of all queries, by a hash of the query; of very many the commonest
    are learned from, and as many of the others as tell enough are asked."""
    parts = Parts([], [], [])
    for question in questions:
        tenth = xxhash.xxh3_64_intdigest(folded(question.query).encode(), seed=seed) % 10
        parts[sum(tenth >= end for end in _TENTHS)].append(question)
    commonest = sorted(parts.learned, key=lambda question: -question.times)
    return Parts(commonest[:_LEARNED], parts.chosen[:_CHOSEN], parts.proof[:_PROOF])


def ndcg_of(question: Question, query: Vectors, items: Vectors) -> float:
    """query (d,); items (n, d): of the candidates, in their order."""
    order = np.argsort(-(items @ query), kind="stable")[:CUT]
    return _discounted(question.gains[order]) / _discounted(question.ideal[:CUT])


def _discounted(gains: Floats) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
