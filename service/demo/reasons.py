"""reasons.py: what a shopper did, against an item -> why it stands higher for them, in words."""

from collections.abc import Iterable
from typing import Final

from indexes.items.index import ItemIndex
from indexes.items.records import Item
from reranker.requests import Event

# In rising order: what stands before what it was done with, and after.
_DID: Final = {
    "view": ("looked at", ""),
    "cart": ("put", " in the cart"),
    "purchase": ("bought", ""),
}
_COUNTS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Reasons:
    """The items of one history; of each, the strongest thing that was done with it."""

    def __init__(self, index: ItemIndex, events: Iterable[Event]) -> None:
        self._index = index
        self._did: dict[str, str] = {}
        for event in events:
            if event.item is not None and event.type in _DID:
                strongest = (self._did.get(event.item, "view"), event.type)
                self._did[event.item] = max(strongest, key=list(_DID).index)
        self._items = [item for name in self._did if (item := self._item(name))]

    def is_new_of_a_liked_kind(self, name: str) -> bool:
        """Whether the shopper never met this item, but two and more of its brand and shelf."""
        item = self._item(name)
        return item is not None and name not in self._did and len(self._alike(item)) > 1

    def of(self, name: str) -> str:
        """`because you looked at three Pipistrel Lane sports watches`; "" where nothing says so."""
        item = self._item(name)
        if item is None:
            return ""
        if name in self._did:
            verb, after = _DID[self._did[name]]
            return f"because you {verb} it{after} before"
        alike = self._alike(item)
        shelf = [other for other in self._items if other.category == item.category]
        brand = [other for other in self._items if other.brand == item.brand]
        if alike:
            return self._because(alike, _some(alike, item.brand, item.category))
        if shelf:
            also = f", and {_number(brand)} by {item.brand}" if brand else ""
            return self._because(shelf, _some(shelf, "", item.category) + also)
        if brand:
            things = "thing" if len(brand) == 1 else "things"
            return self._because(brand, f"{_number(brand)} {things} by {item.brand}")
        return ""

    def _item(self, name: str) -> Item | None:
        row = int(self._index.rows([name])[0])
        return self._index.columns.item(row) if row >= 0 else None

    def _alike(self, item: Item) -> list[Item]:
        return [
            other
            for other in self._items
            if (other.brand, other.category) == (item.brand, item.category)
        ]

    def _because(self, items: list[Item], what: str) -> str:
        """One verb for all: what was done with each of them, else that they were looked at."""
        did = {self._did[item.id] for item in items}
        verb, after = _DID[did.pop()] if len(did) == 1 else _DID["view"]
        return f"because you {verb} {what}{after}"


def _number(items: list[Item]) -> str:
    return _COUNTS[len(items)] if len(items) < len(_COUNTS) else str(len(items))


def _some(items: list[Item], brand: str, category: str) -> str:
    """ "three Pipistrel Lane sports watches", "one of the sports watches", "two in Digging"."""
    shelf = category.rpartition(" > ")[2]
    named = f"{brand} {shelf.lower()}".strip()
    if not shelf.endswith("s"):
        return f"{_number(items)} {brand}".rstrip() + f" in {shelf}"
    return f"one of the {named}" if len(items) == 1 else f"{_number(items)} {named}"
