"""item_views.py: ids of items -> what people know them by: title, brand, price, picture."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from indexes.items.index import ItemIndex
from indexes.items.records import Item

Thumbnail = Callable[[Item], str | None]  # an item -> the address of its picture, if it has one
_UNKNOWN: Final[dict[str, Any]] = {"brand": "", "price": None, "image": None}


def no_picture(_item: Item) -> None:
    """Where there are no pictures."""


def describe(
    index: ItemIndex, items: Sequence[str], show: Thumbnail = no_picture
) -> list[dict[str, Any]]:
    """What people know an item by; its id alone where the index lacks it. show: its picture."""
    rows = index.rows(list(items)).tolist() if items else []
    return [_described(index, item, row, show) for item, row in zip(items, rows, strict=True)]


def _described(index: ItemIndex, item_id: str, row: int, show: Thumbnail) -> dict[str, Any]:
    if row < 0:
        return {"id": item_id, "title": item_id, "known": False} | _UNKNOWN
    item = index.columns.item(row)
    return {
        "id": item_id,
        "title": item.title,
        "brand": item.brand,
        "price": item.price,
        "image": show(item),
        "known": True,
    }
