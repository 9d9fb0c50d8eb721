"""live_texts.py: texts that came or changed after the index was built -> their vectors, until the
next one.

An item that the index lacks has no row: what reads an item's vector finds it here by id. One that
it holds keeps the vector that it has until that of its new text is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexes.items.changes import EXTRA, REMOVED
from indexes.items.columns import ItemColumns, changed_item
from indexes.items.records import FIELDS, Item
from indexes.items.text import ItemText, text_digest
from indexes.storage.arrays import Mask, Rows, Vectors
from indexes.storage.overlays import GrowingVectors, RowSlots

_LONGEST: Final = 20_000  # characters of a text that are encoded; encoders read fewer
_SLACK: Final = 4096  # vectors that were replaced, kept before there is a tidying
Vector = npt.NDArray[Any]
Owner = int | str  # a row of the index, or the id of an item that it lacks


class LiveTexts:
    """Those of one worker; at most items.changed_items. template: of the index's texts.

    Only one thread at a time changes anything; those that read meanwhile see an item's vector as it
    was or as it is.
    """

    def __init__(self, template: str, columns: ItemColumns, items: int, dimensions: int) -> None:
        self._text = ItemText(template)
        self._columns, self._items, self._dimensions = columns, items, dimensions
        self._read = frozenset(self._names())
        self._fields: dict[str, dict[str, Any]] = {}  # of items that the index lacks
        self._new: dict[str, Vector] = {}
        self._waiting: dict[Owner, bytes] = {}  # digests of texts without a vector
        self._owners: dict[bytes, set[Owner]] = {}
        self._has: dict[int, bytes] = {}  # the text of each row's vector here
        self._slots: RowSlots | None = None
        self._vectors: GrowingVectors | None = None

    def _names(self) -> Iterable[str]:
        """The template's, as changes name them."""
        for name in self._text.names:
            of_field = name.split(".", 1)[0]
            yield of_field if of_field in FIELDS else f"{EXTRA}{name}"

    def __bool__(self) -> bool:
        """Whether any item that the index lacks has a vector."""
        return bool(self._new)

    @property
    def waiting(self) -> int:
        """How many items wait for the vector of their text."""
        return len(self._waiting)

    def reads(self, fields: Iterable[str]) -> bool:
        """Whether a text may change with these fields."""
        return not self._read.isdisjoint(fields)

    def change_new(self, item_id: str, fields: Mapping[str, Any]) -> None:
        """Take up changed fields of an item that the index lacks."""
        every = self._fields[item_id] = self._fields.get(item_id, {}) | dict(fields)
        if every.get(REMOVED) or "title" not in every:
            self._want(item_id, None)
            self._new.pop(item_id, None)
            return
        self._want(item_id, text_digest(self._text_of(item_id)[:_LONGEST]))

    def change_row(self, row: int) -> bool:
        """Take up that fields of an item changed in the columns; whether its vector did, too:
        where the text is the published one again."""
        text = self._text_of(row)
        if text == self._text.render(self._columns.published(row)):
            self._want(row, None)
            if self._slots is not None:
                self._slots.reset(row)
            return self._has.pop(row, None) is not None
        # Of what is encoded: a rebuild, which may read more, must not take it for the whole text.
        digest = text_digest(text[:_LONGEST])
        self._want(row, None if self._has.get(row) == digest else digest)
        return False

    def _want(self, owner: Owner, digest: bytes | None) -> None:
        before = self._waiting.pop(owner, None)
        if before is not None:
            owners = self._owners[before]
            owners.discard(owner)
            if not owners:
                del self._owners[before]
        if digest is not None:
            self._waiting[owner] = digest
            self._owners.setdefault(digest, set()).add(owner)

    def _text_of(self, owner: Owner) -> str:
        if isinstance(owner, int):
            return self._text.render(self._columns.item(owner))
        fields = self._fields[owner]
        return self._text.render(changed_item(Item(owner, fields["title"]), fields))

    def next_texts(self, most: int) -> dict[bytes, str]:
        """At most so many texts that have no vector yet, by digest, those first that came first."""
        texts: dict[bytes, str] = {}
        for owner, digest in self._waiting.items():
            if len(texts) == most:
                break
            if digest not in texts:
                texts[digest] = self._text_of(owner)[:_LONGEST]
        return texts

    def put_off(self, digests: Iterable[bytes]) -> None:
        """Let others go first: these could not be encoded."""
        for digest in digests:
            for owner in self._owners.get(digest, ()):
                self._waiting[owner] = self._waiting.pop(owner)

    def take(self, vectors: Mapping[bytes, Vector]) -> list[int]:
        """Take up vectors (d,) by the digests of their texts; the rows that have another one now.
        Vectors that no item waits for are left."""
        rows = []
        for digest, vector in vectors.items():
            for owner in list(self._owners.get(digest, ())):
                self._want(owner, None)
                if isinstance(owner, int):
                    self._lay(owner, digest, vector)
                    rows.append(owner)
                else:
                    self._new[owner] = np.array(vector, np.float16)
        return rows

    def _lay(self, row: int, digest: bytes, vector: Vector) -> None:
        if self._slots is None or self._slots.taken > 2 * len(self._has) + _SLACK:
            self._tidy()
        assert self._slots is not None and self._vectors is not None
        self._vectors.append(vector)
        self._slots.point(row)
        self._has[row] = digest

    def _tidy(self) -> None:
        """Begin, or leave out vectors that were replaced since."""
        rows = np.fromiter(self._has, np.int64)
        kept = np.zeros((len(rows), self._dimensions), np.float32)
        self.lay_over(rows, kept)
        slots = RowSlots(self._items, self._slots)
        vectors = GrowingVectors(slots, self._dimensions)
        for row, vector in zip(rows.tolist(), kept, strict=True):
            vectors.append(vector)
            slots.point(row)
        self._slots, self._vectors = slots, vectors

    def lay_over(self, rows: Rows, vectors: Vectors) -> None:
        """Write the vectors of changed texts over those of the index (n, d) of rows (n,)."""
        live = self._vectors
        found = live.slots.find(rows) if live is not None else None
        if live is not None and found is not None:
            places, slots = found
            vectors[places] = live.get(slots)

    def versions(self, rows: Rows) -> Rows:
        """A number for each row (n,) that is another one after its vector changed."""
        live = self._vectors
        return rows if live is None else rows + self._items * live.slots.versions(rows)

    def fill(self, item_ids: Sequence[str], vectors: Vectors, known: Mask) -> None:
        """Write the vectors of items that the index lacks (n,) into (n, d) where they are not
        `known` (n,)."""
        for place, item_id in enumerate(item_ids):
            vector = None if known[place] else self._new.get(item_id)
            if vector is not None:
                vectors[place], known[place] = vector, True
