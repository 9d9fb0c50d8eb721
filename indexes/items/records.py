"""records.py: one row of a catalogue -> an Item, or the reason why it is none.

A row needs an id and a title. Of the rest, what cannot be read is absent, counted and named.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from indexes.items.attributes import read_attributes
from indexes.items.availability import read_available
from indexes.items.categories import read_category
from indexes.items.fields import FieldChooser, Plan
from indexes.items.plain_text import plain
from indexes.items.prices import MAX_PRICE, PriceReader
from indexes.items.values import LONGEST_NULL, is_nothing, null_word, word_of
from indexes.names import MAX_NAME, BadName, read_name
from indexes.quoting import shown
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.file_forms import FileForm, Row
from indexes.readers.rows import Rows, read_rows
from indexes.times import BadTime, TimeReader, TimeSettings

_REQUIRED: Final = ("id", "title")
_AHEAD_ROWS: Final = 2000  # looked at where a price leaves open which mark is decimal,
_AHEAD_CHARS: Final = 16 * 1024 * 1024  # or fewer where they are long

MAX_TITLE: Final = 10_000
MAX_TEXT: Final = 1_000_000
MAX_DEPTH: Final = 32  # of objects and arrays in one value
_CATEGORIES: Final = 65_536  # texts of categories whose paths are remembered
_SHORT: Final = 1000  # characters of such a text
_TEXTS: Final = ("name", "src", "url", "value", "large", "href", "link", "thumb")  # in an object
_ADDRESSES: Final = ("src", "url", "href", "link", "large", "value", "thumb", "name")  # an image's
_SIMPLE: Final = frozenset({str, float, bool, type(None)})
_EXPECTED: Final = {
    "price": f"a price from 0 to {MAX_PRICE:.0e} is expected",
    "category": "a text, a list of them or an object with a name is expected",
    "attributes": "an object, a list of names and values, or 'name=value; ...' is expected",
    "available": "true or false, a word such as in_stock, or a stock count is expected",
}


class Item(msgspec.Struct, frozen=True):
    """One thing of the catalogue. updated: epoch seconds. extra: the columns not named here."""

    id: str
    title: str
    description: str = ""
    brand: str = ""
    category: str = ""
    price: float | None = None
    image: str = ""
    attributes: dict[str, Any] = {}
    updated: float | None = None
    available: bool | None = None
    extra: dict[str, Any] = {}


FIELDS: Final = frozenset(Item.__struct_fields__) - {"extra"}


class BadValue(ValueError):
    """A value that no item can have; the message is for the person who made the file."""


class OpenPrice(Exception):
    """A price that leaves open which mark is decimal, before any other was seen to show it."""


class Unreadable(msgspec.Struct):
    """Values of one field that could not be read: how many, and the first of them."""

    unreadable: int
    example: str
    line: int


class ItemReader:
    """Reads the rows of one catalogue, and counts what could not be read.

    strict: a value that cannot be read costs the item.
    columns, template_columns: as in FieldChooser.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        times: TimeSettings | None = None,
        columns: Sequence[str] = (),
        template_columns: Iterable[str] = (),
    ) -> None:
        self.strict = strict
        self.foreseen = False  # prices further on were looked at
        self.prices = PriceReader()
        self.times = TimeReader(times)
        self.chooser = FieldChooser(columns, template_columns)
        self.fields: dict[str, Unreadable] = {}
        self._line = 0
        self._categories: dict[str, str] = {}

    def read(self, line: int, row: Row) -> Item:
        """The item that a row describes; BadValue names the column, the value and what may be."""
        self._line = line
        plan = self.chooser.plan(row)
        get = plan.chosen(row).get if plan.changed else row.get
        title = get("title")
        title = _no_title(row) if title is None else _title(title)
        item_id = _id(get("id"))
        category, attributes = get("category"), get("attributes")
        return Item(
            item_id,
            title,
            self._text("description", get("description")),
            self._text("brand", get("brand")),
            "" if category is None else self._category(category),
            self._price(get("price")),
            self._text("image", get("image")),
            {} if attributes is None else self._attributes(attributes),
            self._updated(get("updated")),
            self._available(get("available")),
            self._extra(row, plan) if plan.extra else {},
        )

    def price_of(self, row: Row) -> Any:
        """What a row has for a price, as it is written."""
        plan = self.chooser.plan(row)
        plan.rows -= 1
        return (plan.chosen(row) if plan.changed else row).get("price")

    def warnings(self) -> list[str]:
        """What is odd about whole columns."""
        mixed = self.times.mixed()
        return [*self.prices.warnings(), *([f"updated: {mixed}"] if mixed else [])]

    def _bad(self, field: str, message: str) -> None:
        """Note a value that is left out; in strict reading it costs the item."""
        if self.strict:
            raise BadValue(message)
        entry = self.fields.get(field)
        if entry is None:
            self.fields[field] = Unreadable(1, message, self._line)
        else:
            entry.unreadable += 1

    def _text(self, field: str, value: Any) -> str:
        """A text without HTML; a number as it is written; nothing for what stands for nothing."""
        if value is None:
            return ""
        if type(value) is list and field == "image":
            value = value[0] if value else ""
        if type(value) is dict and field == "image":
            value = next((value[name] for name in _ADDRESSES if value.get(name)), "")
        text = value.strip() if type(value) is str else _odd_text(value)
        if text is None:
            self._bad(field, f"{field} is {shown(value)}; a text is expected")
            return ""
        if ("<" in text or "&" in text) and field != "image":
            text = plain(text)
        if len(text) <= LONGEST_NULL:
            return "" if null_word(text) else text
        if len(text) > MAX_TEXT:
            self._bad(field, f"{field} has {len(text)} characters, at most {MAX_TEXT} are allowed")
            return ""
        return text

    def _category(self, value: Any) -> str:
        if type(value) is not str:
            return self._read_category(value)
        category = self._categories.get(value)
        if category is None:
            category = self._read_category(value)
            if len(self._categories) < _CATEGORIES and len(value) <= _SHORT:
                self._categories[value] = category
        return category

    def _read_category(self, value: Any) -> str:
        category = read_category(value)
        if category is not None and len(category) <= MAX_TEXT:
            return category
        if not is_nothing(value):
            self._bad("category", f"category is {shown(value)}; {_EXPECTED['category']}")
        return ""

    def _price(self, value: Any) -> float | None:
        if type(value) is float and 0 <= value <= MAX_PRICE:
            return value
        if is_nothing(value):
            return None
        if not self.foreseen and not self.prices.marks and self.prices.is_open(value):
            raise OpenPrice
        price = self.prices.read(value)
        if price is None:
            self._bad("price", f"price is {shown(value)}; {_EXPECTED['price']}")
        return price

    def _attributes(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict and is_nothing(value):
            return {}
        attributes = read_attributes(value)
        if attributes is None:
            self._bad("attributes", f"attributes is {shown(value)}; {_EXPECTED['attributes']}")
            return {}
        return self._storable_values("attributes", attributes)

    def _extra(self, row: Row, plan: Plan) -> dict[str, Any]:
        return self._storable_values(None, {name: row[name] for name in plan.extra})

    def _storable_values(self, field: str | None, values: dict[str, Any]) -> dict[str, Any]:
        """Nearly always texts and fractions, which need no look at each."""
        for value in values.values():
            if type(value) not in _SIMPLE:
                break
        else:
            return values
        storable = {}
        for name, value in values.items():
            try:
                storable[name] = _storable(value)
            except BadValue as reason:
                self._bad(field or name, f"{name}: {reason}")
        return storable

    def _updated(self, value: Any) -> float | None:
        """Epoch seconds; a time without a zone is taken as UTC."""
        if value is None or (type(value) is not float and is_nothing(value)):
            return None
        if isinstance(value, dict) and len(value) == 1:
            value = value.get("$date", value)  # MongoDB's
        try:
            seconds = _usual_time(value) if type(value) is str else None
            if seconds is not None and self.times.since <= seconds <= self.times.until:
                return seconds
            return self.times.read(value, "updated").seconds
        except BadTime as reason:
            self._bad("updated", str(reason))
            return None

    def _available(self, value: Any) -> bool | None:
        if value is None or type(value) is bool:
            return value
        if is_nothing(value):
            return None
        available = read_available(value)
        if available is None:
            self._bad("available", f"available is {shown(value)}; {_EXPECTED['available']}")
        return available


def _id(value: Any) -> str:
    if type(value) is str and value.isascii() and value.isprintable() and len(value) <= MAX_NAME:
        item_id = value.strip()
        if item_id:
            return item_id
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("$oid"), str):
        value = value["$oid"]  # MongoDB's
    try:
        name = read_name("id", value)
    except BadName as reason:
        raise BadValue(str(reason)) from None
    if name is None:
        raise BadValue("id is missing")
    return name


def _title(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:  # Solr's
        value = value[0]
    title = value.strip() if type(value) is str else word_of(value)
    if title is None:
        raise BadValue(f"title is {shown(value)}; a text is expected")
    if "<" in title or "&" in title:
        title = plain(title)
    if not title:
        raise BadValue("title is blank")
    if len(title) > MAX_TITLE:
        raise BadValue(f"title has {len(title)} characters, at most {MAX_TITLE} are allowed")
    return title


def _no_title(row: Row) -> NoReturn:
    """BadValue: title is missing; where it stands instead."""
    nested = (name for name, value in row.items() if isinstance(value, dict) and "title" in value)
    where = next(nested, None)
    more = "" if where is None else f"; the object in {where!r} has one"
    raise BadValue(f"title is missing{more}")


def _odd_text(value: Any) -> str | None:
    """The text in a value that is none: a number, one in an object or a list, several in a list."""
    if value == {}:
        return ""
    if isinstance(value, dict):
        value = next((value[name] for name in _TEXTS if name in value), "")
        return word_of(value) or None
    if isinstance(value, list):
        words = [_odd_text(part) if isinstance(part, dict) else word_of(part) for part in value]
        return None if None in words else " ".join(filter(None, words))
    return word_of(value)


def _usual_time(text: str) -> float | None:
    """Epoch seconds of 2026-11-23 and 2026-11-23T10:00:00Z, the quick way; None for all else."""
    if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in ("", "T", " "):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _storable(value: Any, depth: int = 0) -> Any:
    """A value of any shape that every file format of an index can hold."""
    if depth > MAX_DEPTH:
        raise BadValue(f"a value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _storable(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_storable(part, depth + 1) for part in value]
    return value


def read_items(
    path: Path,
    on_bad: OnBad,
    reader: ItemReader | None = None,
    form: FileForm | None = None,
) -> Iterator[tuple[int, Item]]:
    """The items of a catalogue with their line numbers, streaming in constant memory.

    .jsonl, .csv or .parquet, each also with .gz. A line that is no item goes to `on_bad` with its
    number and the reason, and reading goes on. Failure: the file as a whole cannot be read.
    """
    reader, form = reader or ItemReader(), form or FileForm()
    form.names, form.nan_is_null = reader.chooser.names, True
    rows = read_rows(path, _REQUIRED, on_bad, form)
    first: list[tuple[int, Row]] = []
    yield from _items(rows, reader, on_bad, first)
    if first:  # a price that does not say which mark is decimal: those after it may
        ahead = deque(_looked_at(rows, reader))
        reader.foreseen = True
        yield from _items(chain(first, ahead, rows), reader, on_bad, first)


def _items(
    rows: Iterable[tuple[int, Row]],
    reader: ItemReader,
    on_bad: OnBad,
    left_open: list[tuple[int, Row]],
) -> Iterator[tuple[int, Item]]:
    """The items of these rows, up to one whose price can only be read once others were seen."""
    read_item = reader.read
    for number, row in rows:
        try:
            item = read_item(number, row)
        except BadValue as reason:
            on_bad(BadLine(number, str(reason)))
        except OpenPrice:
            left_open.append((number, row))
            return
        else:
            yield number, item


def _looked_at(rows: Rows, reader: ItemReader) -> Rows:
    size = 0
    for _, (number, row) in zip(range(_AHEAD_ROWS), rows, strict=False):
        yield number, row
        reader.prices.observe(reader.price_of(row))
        size += _chars(row)
        if reader.prices.marks or size > _AHEAD_CHARS:
            return


def _chars(row: Row) -> int:
    return sum(len(value) if isinstance(value, str) else _many(value) for value in row.values())


def _many(value: Any) -> int:
    return len(str(value)) if isinstance(value, dict | list) else 8
