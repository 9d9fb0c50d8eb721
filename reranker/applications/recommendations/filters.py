"""filters.py: filters -> which rows of the index pass them.

Category, brand, price and availability are columns; attributes are read from the items themselves,
so they are looked at last, and only of items that pass the rest.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np

from indexes.items.columns import ItemColumns, category_paths, title_key
from indexes.items.index import ItemIndex
from indexes.items.words import fold, word_hash
from indexes.storage.arrays import Mask
from reranker.applications.recommendations.wishes import Filters
from reranker.runtime.caches import RecentlyUsed

_KEPT: Final = 64  # sets of filters whose rows are kept; one byte an item
_STALE_SECONDS: Final = 1.0  # after which they are looked up anew where items changed


class ItemFilters:
    """Filters over one index. A set of filters that was asked for lately is not worked out anew."""

    def __init__(self, index: ItemIndex) -> None:
        self._index = index
        self._masks: RecentlyUsed[bytes, tuple[Mask, int, float]] = RecentlyUsed(_KEPT)

    def passing(self, filters: Filters) -> Mask | None:
        """Which rows (items,) pass; None where nothing is asked for, so that all do."""
        if filters == Filters():
            return None
        key = msgspec.msgpack.encode(filters)
        kept, revision, now = self._masks.get(key), self._index.revision, time.monotonic()
        if kept is not None and (kept[1] == revision or now - kept[2] < _STALE_SECONDS):
            return kept[0]
        mask = self._passing(filters)
        self._masks.put(key, (mask, revision, now))
        return mask

    def in_category(self, category: str) -> Mask:
        """Which rows (items,) stand at or below this category."""
        mask = self.passing(Filters(category=category))
        assert mask is not None
        return mask

    def _passing(self, filters: Filters) -> Mask:
        columns = self._index.columns
        mask = np.ones(len(self._index), bool)
        if filters.category:
            mask &= _in_category(columns, len(mask), filters.category)
        if filters.brand:
            keys = np.array([title_key(name) for name in filters.brand], np.uint64)
            mask &= np.isin(columns.brand_keys, keys) & (columns.brand_keys != 0)
        if filters.price is not None:
            low, high = filters.price.min, filters.price.max
            mask &= np.isfinite(columns.price)
            mask &= columns.price >= np.float32(-np.inf if low is None else low)
            mask &= columns.price <= np.float32(np.inf if high is None else high)
        if filters.available is not None:
            # What the catalogue does not say counts as available: most catalogues say it of none.
            mask &= columns.available != 0 if filters.available else columns.available == 0
        if filters.attributes:
            rows = np.flatnonzero(mask)
            mask[rows] = [_has(columns.item(row).attributes, filters) for row in rows.tolist()]
        return mask


def _in_category(columns: ItemColumns, items: int, category: str) -> Mask:
    """Items at or below the deepest level that the filter names."""
    paths = category_paths(category)
    if not paths:
        return np.zeros(items, bool)
    deepest = max(paths, key=lambda path: path.count(" > "))
    wanted = np.array([word_hash(deepest)], np.uint32)
    return np.asarray(columns.categories.count(np.arange(items), wanted) > 0)


def _has(attributes: dict[str, Any], filters: Filters) -> bool:
    by_name = {fold(name): value for name, value in attributes.items()}
    return all(
        {_form(value) for value in wanted} & {_form(value) for value in _each(by_name, name)}
        for name, wanted in filters.attributes.items()
    )


def _each(attributes: dict[str, Any], name: str) -> Iterable[Any]:
    value = attributes.get(fold(name))
    return value if isinstance(value, list) else () if value is None else (value,)


def _form(value: Any) -> str:
    """Values are compared without case and accents; 5 and 5.0 and "5" are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return fold(str(value))
