"""known_items.py: item ids -> those that the published index does not hold."""

from collections.abc import Sequence

from indexes.item_ids import ItemIds
from indexes.versions import VersionStore
from indexes.workspace import Workspace


def published_ids(workspace: Workspace) -> ItemIds | None:
    """The ids of the published index; None before the first one."""
    version = VersionStore(workspace.index_root).current()
    return ItemIds(version.folder) if version else None


def not_in_index(ids: ItemIds, items: Sequence[str]) -> set[str]:
    """Items that were never in the index, or are no longer."""
    rows = ids.rows(items).tolist()
    return {item for item, row in zip(items, rows, strict=True) if row < 0}
