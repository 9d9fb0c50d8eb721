"""catalogue.py: what the catalogue itself says: matching words, freshness, availability."""

from typing import Final

import numpy as np

from indexes.items.columns import UNKNOWN
from indexes.items.words import fold
from indexes.storage.arrays import Mask, Rows, Values
from reranker.signals.columns import Column, Missing, Parts, indexed_only, over_all
from reranker.signals.context import RankingContext

WORDS_SHARE: Final = 0.75
BRAND_SHARE: Final = 0.25
HALF_LIFE_DAYS: Final = 90.0
_DAY: Final = 86400.0


def match(context: RankingContext) -> Column | Missing:
    """1 for the exact title, id or model; else 3/4 share of query words + 1/4 brand named."""
    if not context.query_words:
        return Missing("no_query")
    if not context.indexed.any():
        return Missing("not_in_index")
    rows = context.indexed_rows
    share = _share_of_query_words(context, rows)
    brand = _brand_named(context, rows).astype(np.float64)
    exact = named_exactly(context).astype(np.float64)
    value = np.maximum(exact, WORDS_SHARE * share + BRAND_SHARE * brand)

    def parts() -> Parts:
        spread = {"words": share, "brand": brand, "exact": exact}
        return {name: over_all(part, context.indexed) for name, part in spread.items()}

    return indexed_only(over_all(value, context.indexed), context.indexed, parts)


def fresh(context: RankingContext) -> Column | Missing:
    """0.5 ** (age / 90 days); a date in the future counts as today."""
    updated = context.index.columns.updated[context.indexed_rows]
    if not np.isfinite(updated).any():
        return Missing("no_field", degraded=False)
    age = np.maximum(context.now - updated, 0.0) / _DAY
    values = over_all(np.exp2(-age / HALF_LIFE_DAYS), context.indexed)
    return Column(np.nan_to_num(values), over_all(np.isfinite(updated), context.indexed) > 0)


def available(context: RankingContext) -> Column | Missing:
    """1 where the catalogue says available, 0 where it says not."""
    flags = context.index.columns.available[context.indexed_rows]
    stated = flags != UNKNOWN
    if not stated.any():
        return Missing("no_field", degraded=False)
    known = context.indexed if stated.all() else over_all(stated, context.indexed) > 0
    return Column(over_all(flags == 1, context.indexed), known)


def _share_of_query_words(context: RankingContext, rows: Rows) -> Values:
    matched, _ = context.index.columns.title_words.count(rows, context.terms.hashes)
    return np.asarray(matched / len(context.terms.hashes))


def _brand_named(context: RankingContext, rows: Rows) -> Mask:
    """All words of the brand stand in the query."""
    keys, brands = context.index.columns.brands(rows)
    query = set(context.terms.hashes.tolist())
    named = {key for key, brand_words in brands.items() if brand_words and brand_words <= query}
    if not named:
        return np.zeros(len(rows), dtype=bool)
    return np.array([key in named for key in keys], dtype=bool)


def named_exactly(context: RankingContext) -> Mask:
    """Which of the indexed candidates (m,) the query names: by title, id or model number."""
    rows, terms, columns = context.indexed_rows, context.terms, context.index.columns
    named: Mask = columns.title_keys[rows] == np.uint64(terms.title)
    if len(terms.models):
        codes, _ = columns.codes.count(rows, terms.models)
        named |= codes > 0
    places = _ids_named(context.ids, terms.folded)
    if places:
        spread = np.zeros(len(context.ids), dtype=bool)
        spread[places] = True
        named |= spread[context.indexed]
    return named


def _ids_named(ids: list[str], folded: str) -> list[int]:
    """Places of the ids that are this text, once folded; folding plain letters keeps the length."""
    size = len(folded)
    return [
        place
        for place, item_id in enumerate(ids)
        if (len(item_id) == size or not item_id.isascii()) and fold(item_id) == folded
    ]
