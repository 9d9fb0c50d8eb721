"""items.py: one row of a catalogue -> an Item, or the reason why it is none."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

import msgspec

from indexes.quoting import shown

MAX_ID: Final = 512
MAX_TITLE: Final = 10_000
MAX_TEXT: Final = 1_000_000
MAX_PRICE: Final = 1e12
MAX_DEPTH: Final = 32  # of objects and arrays in one value
_MAX_SECONDS: Final = 253_402_300_800  # the end of the year 9999
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SIMPLE: Final = frozenset({str, float, bool, type(None)})
_YES_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


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


def item_from(row: Mapping[str, Any]) -> Item:
    """The item that a row describes; BadValue names the column, the value and what is allowed."""
    get = row.get
    title = _text("title", get("title"), MAX_TITLE)
    if not title:
        raise BadValue("title is missing" if get("title") is None else "title is blank")
    category = get("category")
    if isinstance(category, list):
        category = " > ".join(_text("category", part, MAX_TEXT) for part in category)
    return Item(
        _id(get("id")),
        title,
        _text("description", get("description"), MAX_TEXT),
        _text("brand", get("brand"), MAX_TEXT),
        _text("category", category, MAX_TEXT),
        _price(get("price")),
        _text("image", get("image"), MAX_TEXT),
        _attributes(get("attributes")),
        _updated(get("updated")),
        _available(get("available")),
        {} if row.keys() <= FIELDS else _extra(row),
    )


def _id(value: Any) -> str:
    if value is None:
        raise BadValue("id is missing")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise BadValue(f"id is {shown(value)}; a string is expected")
    item_id = str(value).strip()
    if not item_id:
        raise BadValue("id is blank")
    if len(item_id) > MAX_ID:
        raise BadValue(f"id has {len(item_id)} characters, at most {MAX_ID} are allowed")
    if not item_id.isprintable() and (found := _CONTROL.search(item_id)):
        raise BadValue(f"id {shown(item_id)} holds the character U+{ord(found[0]):04X}")
    return item_id


def _text(name: str, value: Any, most: int) -> str:
    """A text, trimmed; a number as it is written; nothing for null."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else number_text(value)
    if text is None:
        raise BadValue(f"{name} is {shown(value)}; a text is expected")
    if len(text) > most:
        raise BadValue(f"{name} has {len(text)} characters, at most {most} are allowed")
    return text.strip()


def number_text(value: Any) -> str | None:
    """A number as a person writes it (6.0 is 6); None for what is no number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    """A finite number, also one in a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _price(value: Any) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or not 0 <= number <= MAX_PRICE:
        raise BadValue(f"price is {shown(value)}; a number from 0 to {MAX_PRICE:.0e} is expected")
    return number


def _attributes(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):  # in a CSV cell
        try:
            value = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            raise BadValue(f"attributes is {shown(value)}; a JSON object is expected") from None
    if not isinstance(value, dict):
        raise BadValue(f"attributes is {shown(value)}; an object is expected")
    return _kept_all(value)


def _extra(row: Mapping[str, Any]) -> dict[str, Any]:
    return _kept_all({name: value for name, value in row.items() if name not in FIELDS})


def _kept_all(values: dict[str, Any]) -> dict[str, Any]:
    """Nearly always texts and fractions, which need no look at each."""
    if all(type(value) in _SIMPLE for value in values.values()):
        return values
    return {name: _kept(value) for name, value in values.items()}


def _kept(value: Any, depth: int = 0) -> Any:
    """A value of any shape that every file format of an index can hold."""
    if depth > MAX_DEPTH:
        raise BadValue(f"a value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _kept(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_kept(part, depth + 1) for part in value]
    return value


def _updated(value: Any) -> float | None:
    """Epoch seconds; a time without a zone is taken as UTC."""
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        seconds = _timestamp(value)
    if seconds is None or not abs(seconds) <= _MAX_SECONDS:
        raise BadValue(
            f"updated is {shown(value)}; ISO 8601 such as 2026-11-23T10:00:00Z, or seconds since "
            "1970, are expected"
        )
    return seconds


def _timestamp(value: Any) -> float | None:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def _available(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if (
        isinstance(value, str | int)
        and (known := _YES_NO.get(str(value).strip().lower())) is not None
    ):
        return known
    raise BadValue(f"available is {shown(value)}; true or false is expected")
