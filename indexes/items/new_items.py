"""new_items.py: items that came after the index was built -> their vectors, until the next one.

They have no row. What reads an item's vector finds it here by id; columns come with the rebuild.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from indexes.items.changes import REMOVED
from indexes.items.columns import changed_item
from indexes.items.records import Item
from indexes.items.text import ItemText
from indexes.storage.arrays import Mask, Vectors

_LONGEST: Final = 20_000  # characters of a text; encoders read fewer
_AT_ONCE: Final = 4  # texts that are encoded together: a search may wait for them


class NewItems:
    """Those of one worker; at most items.changed_items. template: of the index's texts.

    One thread changes and encodes; those that read meanwhile see an item's vector, or none yet.
    """

    def __init__(self, template: str) -> None:
        self._text = ItemText(template)
        self._fields: dict[str, dict[str, Any]] = {}
        self._waiting: dict[str, str] = {}
        self._vectors: dict[str, Vectors] = {}

    def __bool__(self) -> bool:
        """Whether any vector is there."""
        return bool(self._vectors)

    def change(self, item_id: str, fields: Mapping[str, Any]) -> None:
        """Take up changed fields of an item that the index lacks."""
        every = self._fields[item_id] = self._fields.get(item_id, {}) | dict(fields)
        if every.get(REMOVED) or "title" not in every:
            self._waiting.pop(item_id, None)
            self._vectors.pop(item_id, None)
            return
        item = changed_item(Item(item_id, every["title"]), every)
        self._waiting[item_id] = self._text.render(item)[:_LONGEST]

    def encode(self, encode: Callable[[Sequence[str]], Vectors], most: int) -> int:
        """Encode at most so many of the texts that have no vector yet; how many it were.

        encode: texts -> vectors (n, d). What it raises leaves the rest for the next time.
        """
        waiting = list(self._waiting.items())[:most]
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            vectors = encode([text for _, text in part])
            for (item_id, text), vector in zip(part, vectors, strict=True):
                if self._waiting.get(item_id) == text:  # else it was changed meanwhile
                    self._vectors[item_id] = vector.copy()  # a row would keep the whole batch
                    del self._waiting[item_id]
        return len(waiting)

    def fill(self, item_ids: Sequence[str], vectors: Vectors, known: Mask) -> None:
        """Write the vectors of these items (n,) into (n, d) where they are not `known` (n,)."""
        for place, item_id in enumerate(item_ids):
            vector = None if known[place] else self._vectors.get(item_id)
            if vector is not None:
                vectors[place], known[place] = vector, True
