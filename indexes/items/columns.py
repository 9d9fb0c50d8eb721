"""columns.py: items -> the columns that signals read, a row an item, and the row of each id.

Words are stored as hashes, so that a request compares integers instead of parsing titles.
"""

import os
from array import array
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from indexes.items.categories import split_paths
from indexes.items.changes import EXTRA
from indexes.items.records import FIELDS, Item
from indexes.items.text import as_text
from indexes.items.words import beginnings, model_numbers, word_hash, words
from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import IdLookup, bucket_of, hashed
from indexes.storage import arrays
from indexes.storage.arrays import Ragged, Rows, Runs
from indexes.storage.overlays import GrowingRuns, RowSlots

# Of what a version holds; raised when the same items would be written otherwise.
FORMAT: Final = 5
READABLE: Final = 3  # oldest that is served; 4 has all words and the beginnings of model numbers,
# 5 has ids by buckets
_OTHER_WORDS: Final = "other_words"
_WORDS: Final = 128  # of an item beside its title ...
_READ: Final = 5_000  # ... of so many characters of a description, which may be a book
_SLACK: Final = 4096  # changed words that were changed again, kept before there is a tidying
UNKNOWN: Final = -1  # `available` of an item whose catalogue does not say
_CODE_NAMES: Final = {
    *("mpn", "model", "model_number", "part_number", "sku"),
    *("gtin", "ean", "upc", "isbn"),
}
Hashes = npt.NDArray[np.uint64]
_BUCKETS: Final = "id_buckets"


def id_hash(item_id: str) -> int:
    """64 bits; equal on every machine, unlike Python's own hash."""
    return bytes_hash(item_id.encode("utf-8", "surrogatepass"))


def bytes_hash(encoded: bytes) -> int:
    """The same of an encoded id."""
    return int(xxhash.xxh3_64_intdigest(encoded))


def save_ids(folder: Path, hashes: Hashes) -> None:
    """Write the lookups for ids in row order; their bytes are the `Runs` named "ids", written
    before. One by the hashes that models know items by, sorted; one by buckets, for requests."""
    order = np.argsort(hashes, kind="stable")
    arrays.save(folder / "id_hashes.npy", hashes[order])
    arrays.save(folder / "id_rows.npy", order.astype(np.uint32))
    stored, count = Runs(folder, "ids"), 2
    while count < len(hashes):
        count *= 2
    bucket = bucket_of(hashed(stored.values, stored.at), count)
    at = np.zeros(count + 1, np.uint32)
    np.cumsum(np.bincount(bucket, minlength=count), out=at[1:])
    arrays.save(folder / f"{_BUCKETS}.at.npy", at)
    arrays.save(folder / f"{_BUCKETS}.npy", np.argsort(bucket, kind="stable").astype(np.uint32))


def title_key(text: str) -> int:
    """Equal for two texts of the same words in the same order."""
    return id_hash(" ".join(words(text)))


def category_paths(category: str) -> set[str]:
    """Every level of "A > B > C" with those above it, folded: a, a > b, a > b > c.

    Of several paths, "A > B | D > E", the levels of each.
    """
    paths = set()
    for path in split_paths(category):
        levels = [" ".join(words(level)) for level in path.split(">")]
        levels = [level for level in levels if level]
        paths |= {" > ".join(levels[: depth + 1]) for depth in range(len(levels))}
    return paths


def _codes(item: Item) -> set[str]:
    """Model numbers by which a person would name exactly this item, and how they begin."""
    codes = model_numbers(item.title) | model_numbers(item.id)
    for name, value in item.attributes.items():
        if name.lower() in _CODE_NAMES and isinstance(value, str | int):
            codes |= model_numbers(str(value))
    return codes | beginnings(codes)


def _other_words(item: Item, title: set[str]) -> set[str]:
    """The first words of brand, category, attributes and description that the title lacks.

    An attribute's name says something only where its value is yes.
    """
    values = [
        name if value is True else as_text(value)
        for name, value in item.attributes.items()
        if value is not False
    ]
    text = " ".join((item.brand, item.category, *values, as_text(item.description)[:_READ]))
    return set(islice((word for word in dict.fromkeys(words(text)) if word not in title), _WORDS))


class ItemWords(NamedTuple):
    """What words of an item are compared with a request's: hashes, sorted, and keys of whole texts.

    brand_key: 0 without a brand."""

    title_words: list[int]
    other_words: list[int]
    brand_words: list[int]
    codes: list[int]
    categories: list[int]
    title_key: int
    brand_key: int

    @property
    def runs(self) -> tuple[list[int], ...]:
        """Those that are hashes, in the order of `RUNS`."""
        return self[:5]


RUNS: Final = ItemWords._fields[:5]  # the names of their files, too
# Fields that no words are of, and no text unless its template names them.
NUMBERS: Final = frozenset({"price", "updated", "available", "image"})


def item_words(item: Item) -> ItemWords:
    """The words of one item."""
    title = words(item.title)
    return ItemWords(
        _sorted_hashes(set(title)),
        _sorted_hashes(_other_words(item, set(title))),
        _sorted_hashes(set(words(item.brand))),
        _sorted_hashes(_codes(item)),
        _sorted_hashes(category_paths(item.category)),
        id_hash(" ".join(title)),
        title_key(item.brand) if item.brand else 0,
    )


def _sorted_hashes(tokens: set[str]) -> list[int]:
    return sorted({word_hash(word) for word in tokens})


class _RaggedWriter:
    """Word hashes of each row, gathered while the catalogue streams by."""

    def __init__(self) -> None:
        self.values, self.lengths = array("I"), array("I")

    def add(self, hashes: list[int]) -> None:
        self.values.extend(hashes)
        self.lengths.append(len(hashes))

    def save(self, folder: Path, name: str) -> None:
        arrays.save_ragged(folder, name, self.values, self.lengths, np.uint32)


def changed_item(item: Item, fields: Mapping[str, Any]) -> Item:
    """An item with other values in these fields, as an ItemChange names them."""
    own = {name: value for name, value in fields.items() if name in FIELDS}
    extra = {
        name.removeprefix(EXTRA): value for name, value in fields.items() if name.startswith(EXTRA)
    }
    return msgspec.structs.replace(item, **own, extra=item.extra | extra)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


class ColumnsWriter:
    """Streams items into the files of `folder`; memory grows by tens of bytes an item."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = (folder / "records.bin").open("wb")
        self._ids = (folder / "ids.bin").open("w+b")
        self._record_lengths, self._id_ends = array("Q"), array("Q", [0])
        self.id_hashes, self._title_keys = array("Q"), array("Q")
        self._price, self._updated, self._available = array("f"), array("d"), array("b")
        self._runs = {name: _RaggedWriter() for name in RUNS}
        self._brand_keys = array("Q")
        self._encode = msgspec.msgpack.Encoder()

    def add(self, item: Item, hashed_id: int) -> bytes:
        """Take one item as the next row; its record's bytes come back for the content digest."""
        record = self._encode.encode(item)
        self._records.write(record)
        self._record_lengths.append(len(record))
        encoded_id = item.id.encode()
        self._ids.write(encoded_id)
        self._id_ends.append(self._id_ends[-1] + len(encoded_id))
        self.id_hashes.append(hashed_id)
        own = item_words(item)
        for writer, hashes in zip(self._runs.values(), own.runs, strict=True):
            writer.add(hashes)
        self._title_keys.append(own.title_key)
        self._brand_keys.append(own.brand_key)
        self._price.append(np.nan if item.price is None else item.price)
        self._updated.append(np.nan if item.updated is None else item.updated)
        self._available.append(UNKNOWN if item.available is None else int(item.available))
        return record

    def id_of(self, row: int) -> str:
        """The id of a row that was added before."""
        self._ids.flush()
        start, end = self._id_ends[row], self._id_ends[row + 1]
        return os.pread(self._ids.fileno(), end - start, start).decode()

    def close(self) -> None:
        """Let go of the open files; what was written so far is not yet usable."""
        self._records.close()
        self._ids.close()

    def finish(self) -> dict[str, int]:
        """Write every column; how many items fill each optional one comes back."""
        self.close()
        folder = self._folder
        arrays.save(folder / "records.at.npy", arrays.offsets(self._record_lengths))
        arrays.save(folder / "ids.at.npy", np.asarray(self._id_ends, dtype=np.uint64))
        save_ids(folder, np.asarray(self.id_hashes, dtype=np.uint64))
        arrays.save(folder / "title_keys.npy", np.asarray(self._title_keys, dtype=np.uint64))
        price, updated = np.asarray(self._price), np.asarray(self._updated)
        available = np.asarray(self._available)
        arrays.save(folder / "price.npy", price)
        arrays.save(folder / "updated.npy", updated)
        arrays.save(folder / "available.npy", available)
        for name, writer in self._runs.items():
            writer.save(folder, name)
        arrays.save(folder / "brand_keys.npy", np.asarray(self._brand_keys, dtype=np.uint64))
        return {
            "price": int(np.isfinite(price).sum()),
            "updated": int(np.isfinite(updated).sum()),
            "available": int((available != UNKNOWN).sum()),
            "brand": int((np.asarray(self._runs["brand_words"].lengths) > 0).sum()),
        }


class ItemColumns:
    """The same columns, mapped. Shapes: (items,), or ragged by item."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed: dict[int, dict[str, Any]] = {}
        self._words: _ChangedWords | None = None
        self.price: npt.NDArray[np.float32] = arrays.load(folder / "price.npy")
        self.updated: npt.NDArray[np.float64] = arrays.load(folder / "updated.npy")
        self.available: npt.NDArray[np.int8] = arrays.load(folder / "available.npy")
        self.title_keys: npt.NDArray[np.uint64] = arrays.load(folder / "title_keys.npy")
        self.title_words: Ragged[np.uint32] = Ragged(folder, "title_words")
        self.other_words: Ragged[np.uint32] | None = None  # of the other texts, as the title lacks
        if (folder / f"{_OTHER_WORDS}.npy").exists():
            self.other_words = Ragged(folder, _OTHER_WORDS)
        self.brand_words: Ragged[np.uint32] = Ragged(folder, "brand_words")
        self.codes: Ragged[np.uint32] = Ragged(folder, "codes")
        self.categories: Ragged[np.uint32] = Ragged(folder, "categories")  # of every level
        self.brand_keys: npt.NDArray[np.uint64] = arrays.load(folder / "brand_keys.npy")  # 0: none
        self._records = Runs(folder, "records")
        self._decode = msgspec.msgpack.Decoder(Item)

    def item(self, row: int) -> Item:
        """The whole item as the catalogue gave it, with what was changed since."""
        item = self._decode.decode(self._records.get(row))
        return changed_item(item, self._changed[row]) if row in self._changed else item

    def published(self, row: int) -> Item:
        """The whole item as the catalogue gave it."""
        return self._decode.decode(self._records.get(row))

    def change(self, row: int, fields: dict[str, Any]) -> bool:
        """Take up changed fields of one item: its numbers and words here and now, its texts in
        `item`. Whether anything but numbers changed."""
        if not self._changed:
            self.price = arrays.load_own(self._folder / "price.npy")
            self.updated = arrays.load_own(self._folder / "updated.npy")
            self.available = arrays.load_own(self._folder / "available.npy")
        said = not fields.keys() <= NUMBERS
        before = self.item(row) if said else None
        self._changed[row] = self._changed.get(row, {}) | fields
        if "price" in fields:
            self.price[row] = _number(fields["price"])
        if "updated" in fields:
            self.updated[row] = _number(fields["updated"])
        if "available" in fields:
            flag = fields["available"]
            self.available[row] = UNKNOWN if flag is None else int(flag)
        if before is None:
            return False
        now = changed_item(before, {name: fields[name] for name in fields.keys() - NUMBERS})
        if now == before:  # whole items are sent where a price changed
            return False
        self._change_words(row, item_words(now))
        return True

    def _change_words(self, row: int, own: ItemWords) -> None:
        if self._words is None:
            self._words = _ChangedWords(len(self.price))
            self.title_keys = arrays.load_own(self._folder / "title_keys.npy")
            self.brand_keys = arrays.load_own(self._folder / "brand_keys.npy")
        self._words.add(row, own)
        for name, runs in self._words.runs.items():
            column = getattr(self, name)
            if column is not None:
                column.changed = runs
        self.title_keys[row], self.brand_keys[row] = own.title_key, own.brand_key


class _ChangedWords:
    """Word hashes of rows (items,) that changed, by the name of their column."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._rows: set[int] = set()
        self.runs = self._begun()

    def _begun(self) -> dict[str, GrowingRuns[np.uint32]]:
        self._slots = RowSlots(self._items)
        return {name: GrowingRuns(self._slots, np.uint32) for name in RUNS}

    def add(self, row: int, own: ItemWords) -> None:
        """Those of one row, in place of others that it had."""
        if self._slots.taken > 2 * len(self._rows) + _SLACK:
            self._tidy()
        for runs, hashes in zip(self.runs.values(), own.runs, strict=True):
            runs.append(np.array(hashes, np.uint32))
        self._slots.point(row)
        self._rows.add(row)

    def _tidy(self) -> None:
        """Leave out what was changed again since."""
        before, slots = self.runs, self._slots
        self.runs = self._begun()
        rows = np.fromiter(self._rows, np.int64)
        places, own = slots.find(rows) or (rows[:0], rows[:0])
        for row, slot in zip(rows[places].tolist(), own.tolist(), strict=True):
            for name, runs in self.runs.items():
                runs.append(before[name].run(slot))
            self._slots.point(row)


class ItemIds:
    """Both directions between ids and rows.

    Ids by buckets of a hash, mapped: a lookup reads one bucket, then compares with the stored id,
    so that a stranger's id is never taken for an item. And a hash of each id, sorted, with the row
    beside it: by that models know items, and versions of before are searched.
    """

    def __init__(self, folder: Path) -> None:
        self._ids = Runs(folder, "ids")
        self.hashes: Hashes = arrays.load(folder / "id_hashes.npy")
        self._rows = arrays.load(folder / "id_rows.npy")
        self._lookup: IdLookup | None = None
        if (folder / f"{_BUCKETS}.npy").exists():
            buckets = arrays.load(folder / f"{_BUCKETS}.at.npy")
            rows = arrays.load(folder / f"{_BUCKETS}.npy")
            self._lookup = IdLookup(buckets, rows, self._ids.at, self._ids.values)

    def __len__(self) -> int:
        return len(self._ids)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Rows (n,) of these ids; -1 where an id is not in the index."""
        if not item_ids:
            return np.empty(0, dtype=np.int64)
        if self._lookup is None:
            return self._searched(item_ids)
        return kernels.rows_of(list(item_ids), self._lookup)

    def _searched(self, item_ids: Sequence[str]) -> Rows:
        encoded = [item_id.encode("utf-8", "surrogatepass") for item_id in item_ids]
        hashes = np.array([bytes_hash(item) for item in encoded], dtype=np.uint64)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        hash_matches = self.hashes[place] == hashes
        rows = self._rows[place].astype(np.int64)
        stored = self._ids.get_many(rows)
        same = np.array([a == b for a, b in zip(stored, encoded, strict=True)], dtype=bool)
        for at in np.flatnonzero(hash_matches & ~same).tolist():
            rows[at] = self._row_beside(int(place[at]), encoded[at])
            same[at] = rows[at] >= 0
        return np.where(hash_matches & same, rows, -1)

    def _row_beside(self, place: int, encoded: bytes) -> int:
        """The row of an id whose hash another one has, too; -1 where it is no item's."""
        hashed, place = self.hashes[place], place + 1
        while place < len(self.hashes) and self.hashes[place] == hashed:
            row = int(self._rows[place])
            if self._ids.get(row) == encoded:
                return row
            place += 1
        return -1

    def rows_of_hashes(self, hashes: Hashes) -> Rows:
        """Rows (n,) of ids with these hashes; -1 where the index has none."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, np.int64)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[place] == hashes, self._rows[place].astype(np.int64), -1)

    def ids(self, rows: Rows) -> list[str]:
        """The ids of these rows."""
        return [stored.decode("utf-8", "surrogatepass") for stored in self._ids.get_many(rows)]
