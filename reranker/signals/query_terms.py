"""query_terms.py: query text -> its words as signals compare them with items, remembered."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from indexes.items.ids import id_hash
from indexes.items.words import WordHashes, fold, model_numbers, word_hashes, words

_REMEMBERED: Final = 4096
_LONGEST: Final = 200  # characters; longer queries are rare, and would fill the memory


@dataclass(frozen=True, slots=True, eq=False)
class QueryTerms:
    """One query. words: folded, in order; hashes: of distinct ones, sorted; models: hashes of the
    model numbers named; title: equal to `title_key` of a title of the same words."""

    words: list[str]
    folded: str
    hashes: WordHashes
    models: WordHashes
    title: int


def query_terms(query: str) -> QueryTerms:
    """The terms of a query."""
    return _remembered(query) if len(query) <= _LONGEST else _terms(query)


def _terms(query: str) -> QueryTerms:
    query_words = words(query)
    return QueryTerms(
        words=query_words,
        folded=fold(query),
        hashes=word_hashes(query_words),
        models=word_hashes(model_numbers(query)),
        title=id_hash(" ".join(query_words)),
    )


_remembered: Final = lru_cache(maxsize=_REMEMBERED)(_terms)
