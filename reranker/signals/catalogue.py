"""catalogue.py: what the catalogue itself says: matching words, freshness, availability."""

from typing import Final

import numpy as np

from indexes.items.columns import UNKNOWN
from indexes.items.words import fold
from indexes.storage.arrays import Rows, Values
from reranker.signals.columns import Column, Mask, Missing, Parts, indexed_only, over_all
from reranker.signals.context import Scene

WORDS_SHARE: Final = 0.75
BRAND_SHARE: Final = 0.25
HALF_LIFE_DAYS: Final = 90.0
_DAY: Final = 86400.0


def match(scene: Scene) -> Column | Missing:
    """1 for the exact title, id or model; else 3/4 share of query words + 1/4 brand named."""
    if not scene.query_words:
        return Missing("no_query")
    if not scene.indexed.any():
        return Missing("not_in_index")
    rows = scene.indexed_rows
    share = _share_of_query_words(scene, rows)
    brand = _brand_named(scene, rows).astype(np.float64)
    exact = named_exactly(scene).astype(np.float64)
    value = np.maximum(exact, WORDS_SHARE * share + BRAND_SHARE * brand)

    def parts() -> Parts:
        spread = {"words": share, "brand": brand, "exact": exact}
        return {name: over_all(part, scene.indexed) for name, part in spread.items()}

    return indexed_only(over_all(value, scene.indexed), scene.indexed, parts)


def fresh(scene: Scene) -> Column | Missing:
    """0.5 ** (age / 90 days); a date in the future counts as today."""
    updated = scene.index.columns.updated[scene.indexed_rows]
    if not np.isfinite(updated).any():
        return Missing("no_field", degraded=False)
    age = np.maximum(scene.now - updated, 0.0) / _DAY
    values = over_all(np.exp2(-age / HALF_LIFE_DAYS), scene.indexed)
    return Column(np.nan_to_num(values), over_all(np.isfinite(updated), scene.indexed) > 0)


def available(scene: Scene) -> Column | Missing:
    """1 where the catalogue says available, 0 where it says not."""
    flags = scene.index.columns.available[scene.indexed_rows]
    told = flags != UNKNOWN
    if not told.any():
        return Missing("no_field", degraded=False)
    known = scene.indexed if told.all() else over_all(told, scene.indexed) > 0
    return Column(over_all(flags == 1, scene.indexed), known)


def _share_of_query_words(scene: Scene, rows: Rows) -> Values:
    found, _ = scene.index.columns.title_words.count(rows, scene.terms.hashes)
    return np.asarray(found / len(scene.terms.hashes))


def _brand_named(scene: Scene, rows: Rows) -> Mask:
    """All words of the brand stand in the query."""
    keys, brands = scene.index.columns.brands(rows)
    query = set(scene.terms.hashes.tolist())
    named = {key for key, found in brands.items() if found and found <= query}
    if not named:
        return np.zeros(len(rows), dtype=bool)
    return np.array([key in named for key in keys], dtype=bool)


def named_exactly(scene: Scene) -> Mask:
    """Which of the indexed candidates (m,) the query names: by title, id or model number."""
    rows, terms, columns = scene.indexed_rows, scene.terms, scene.index.columns
    named: Mask = columns.title_keys[rows] == np.uint64(terms.title)
    if len(terms.models):
        codes, _ = columns.codes.count(rows, terms.models)
        named |= codes > 0
    places = _ids_named(scene.ids, terms.folded)
    if places:
        spread = np.zeros(len(scene.ids), dtype=bool)
        spread[places] = True
        named |= spread[scene.indexed]
    return named


def _ids_named(ids: list[str], folded: str) -> list[int]:
    """Places of the ids that are this text, once folded; folding plain letters keeps the length."""
    size = len(folded)
    return [
        place
        for place, item_id in enumerate(ids)
        if (len(item_id) == size or not item_id.isascii()) and fold(item_id) == folded
    ]
