"""item_signals.py: what the catalogue itself says: matching words, freshness, availability."""

from typing import Final

import numpy as np

from indexes.arrays import Ragged, Rows
from indexes.item_columns import UNKNOWN, title_key
from indexes.words import WordHashes, fold
from reranker.columns import Column, Mask, Missing, Values, indexed_only, over_all
from reranker.scenes import Scene

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
    rows = scene.rows[scene.indexed]
    share = _share_of_query_words(scene, rows)
    brand = _brand_named(scene, rows).astype(np.float64)
    exact = named_exactly(scene, rows).astype(np.float64)
    value = np.maximum(exact, WORDS_SHARE * share + BRAND_SHARE * brand)
    spread = {"words": share, "brand": brand, "exact": exact}
    parts = {name: over_all(part, scene.indexed) for name, part in spread.items()}
    return indexed_only(over_all(value, scene.indexed), scene.indexed, **parts)


def fresh(scene: Scene) -> Column | Missing:
    """0.5 ** (age / 90 days); a date in the future counts as today."""
    rows = scene.rows[scene.indexed]
    updated = scene.index.columns.updated[rows]
    if not np.isfinite(updated).any():
        return Missing("no_field", degraded=False)
    age = np.maximum(scene.now - updated, 0.0) / _DAY
    values = over_all(np.exp2(-age / HALF_LIFE_DAYS), scene.indexed)
    return Column(np.nan_to_num(values), over_all(np.isfinite(updated), scene.indexed) > 0)


def available(scene: Scene) -> Column | Missing:
    """1 where the catalogue says available, 0 where it says not."""
    flags = scene.index.columns.available[scene.rows[scene.indexed]]
    if (flags == UNKNOWN).all():
        return Missing("no_field", degraded=False)
    values = over_all(flags == 1, scene.indexed)
    return Column(values, over_all(flags != UNKNOWN, scene.indexed) > 0)


def _hits(column: Ragged[np.uint32], rows: Rows, wanted: WordHashes) -> tuple[Values, Values]:
    """How many of a row's hashes are wanted (m,), and how many it has (m,)."""
    values, owner = column.gather(rows)
    has = np.bincount(owner, minlength=len(rows)).astype(np.float64)
    if not len(wanted) or not len(values):
        return np.zeros(len(rows)), has
    place = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    found = wanted[place] == values
    return np.bincount(owner[found], minlength=len(rows)).astype(np.float64), has


def _share_of_query_words(scene: Scene, rows: Rows) -> Values:
    found, _ = _hits(scene.index.columns.title_words, rows, scene.query_hashes)
    return found / len(scene.query_hashes)


def _brand_named(scene: Scene, rows: Rows) -> Mask:
    """All words of the brand stand in the query."""
    found, has = _hits(scene.index.columns.brand_words, rows, scene.query_hashes)
    named: Mask = (has > 0) & (found == has)
    return named


def named_exactly(scene: Scene, rows: Rows) -> Mask:
    codes, _ = _hits(scene.index.columns.codes, rows, scene.query_models)
    named: Mask = codes > 0
    named |= scene.index.columns.title_keys[rows] == np.uint64(title_key(scene.query))
    query = fold(scene.query)
    ids = (item_id for item_id, known in zip(scene.ids, scene.indexed, strict=True) if known)
    named |= np.fromiter((fold(item_id) == query for item_id in ids), dtype=bool, count=len(rows))
    return named
