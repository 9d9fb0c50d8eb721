"""known_items.py: item ids -> those that the published index does not hold."""

from collections.abc import Collection, Sequence

import numpy as np

from indexes.items.columns import ItemIds
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace


def published_ids(workspace: Workspace) -> ItemIds | None:
    """The ids of the published index; None before the first one."""
    version = VersionStore(workspace.index_root).current()
    return ItemIds(version.folder) if version else None


def mismatch(ids: ItemIds, items: Collection[str], unknown: Collection[str]) -> str | None:
    """A warning where most items of events are unknown to the index, with one of each side."""
    if not items or not len(ids) or 2 * len(unknown) <= len(items):
        return None
    ending = sorted(item for item in unknown if item.endswith(".0"))
    whole = [item.removesuffix(".0") for item in ending]
    places = [at for at, row in enumerate(ids.rows(whole).tolist()) if row >= 0]
    count = f"{len(unknown):,} of {len(items):,} items are not in the published index"
    if places:
        return (
            f"{count}, but {len(places):,} of them are without '.0', as data frames write numbers: "
            f"{ending[places[0]]!r} is {whole[places[0]]!r} there"
        )
    example = ids.ids(np.zeros(1, dtype=np.int64))[0]
    doubt = "do both use the same ids" if len(unknown) == len(items) else "is the index of today"
    return f"{count}: the events have {min(unknown)!r}, the index has {example!r}; {doubt}?"


def not_in_index(ids: ItemIds, items: Sequence[str]) -> set[str]:
    """Items that were never in the index, or are no longer."""
    rows = ids.rows(items).tolist()
    return {item for item, row in zip(items, rows, strict=True) if row < 0}
