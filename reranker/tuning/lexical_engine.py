"""lexical_engine.py: an index -> a search engine by words, where the shop's own is not at hand.

Okapi BM25 (Robertson and Zaragoza 2009) over title, brand and category, as a shop's engine does it
before anybody tuned it. What is fitted on its candidates is fitted on lists such as engines make:
every item that the words find competes, none is drawn by chance.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy import sparse

from indexes.items.index import ItemIndex
from indexes.items.records import Item
from indexes.items.words import words
from indexes.storage.arrays import Rows, Values

_K1: Final = 1.2
_B: Final = 0.75


class LexicalEngine:
    """BM25 over the items of one index, in memory."""

    def __init__(self, index: ItemIndex) -> None:
        self._words: dict[str, int] = {}
        counts = _counted(index, self._words)
        lengths = np.asarray(counts.sum(axis=1), np.float64).ravel()
        usual = _K1 * (1.0 - _B + _B * lengths / max(float(lengths.mean()), 1e-9))
        often = counts.data / (counts.data + np.repeat(usual, np.diff(counts.indptr)))
        having = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log1p((counts.shape[0] - having + 0.5) / (having + 0.5))
        weights = (_K1 + 1.0) * often * rarity[counts.indices]
        matrix = sparse.csr_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)
        self._by_word = matrix.tocsc()

    def search(self, query: str, most: int) -> tuple[Rows, Values]:
        """Rows (n,) of at most so many items that have a word of the query, best first, and
        their scores (n,); equal scores in the order of rows."""
        asked = [self._words[word] for word in dict.fromkeys(words(query)) if word in self._words]
        scores = np.asarray(self._by_word[:, asked].sum(axis=1), np.float64).ravel()
        matching = np.flatnonzero(scores > 0)
        best = matching[np.argsort(-scores[matching], kind="stable")[:most]]
        return best, scores[best]


def _counted(index: ItemIndex, numbers: dict[str, int]) -> sparse.csr_matrix:
    """How often each item has each word (items, words); numbers: filled with the words' columns."""
    columns: list[int] = []
    counts: list[int] = []
    at = [0]
    for row in range(len(index)):
        counted = Counter(_words_of(index.columns.item(row)))
        columns.extend(numbers.setdefault(word, len(numbers)) for word in counted)
        counts.extend(counted.values())
        at.append(len(columns))
    shape = (len(index), max(len(numbers), 1))
    return sparse.csr_matrix((np.array(counts, np.float64), columns, at), shape=shape)


def _words_of(item: Item) -> Iterator[str]:
    for text in (item.title, item.brand, item.category):
        yield from words(text)
