"""text.py: an item -> the text that the encoder reads, by a template."""

import string
from collections.abc import Callable
from typing import Any, Final

import xxhash

from indexes.errors import Failure
from indexes.items.plain_text import plain
from indexes.items.records import FIELDS, Item
from indexes.items.values import number_text

DEFAULT_TEMPLATE: Final = "{title} {brand} {category} {description}"
_ATTRIBUTE: Final = "attributes."

Part = Callable[[Item], str]


def text_digest(text: str) -> bytes:
    """16 bytes that stand for one item text."""
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def vectors_key(fingerprint: str, template: str) -> str:
    """Which vectors may stand together: those of one encoder and one template."""
    return text_digest(f"{fingerprint}\n{template}").hex()[:16]


class ItemText:
    """A template such as "{title} {brand} {attributes.colour}".

    A name is a field of the item, `attributes` for all of them as "name value", `attributes.NAME`
    for one, or one of the catalogue's own columns. What an item lacks leaves nothing behind: runs
    of whitespace become one space. {{ and }} stand for braces.
    """

    def __init__(self, template: str = DEFAULT_TEMPLATE) -> None:
        self.template = template
        self.names: list[str] = []  # in braces, each once
        self._parts = _parse(template, self.names)
        self.columns = [name for name in self.names if name not in FIELDS]

    def render(self, item: Item) -> str:
        """The text of one item."""
        return " ".join("".join([part(item) for part in self._parts]).split())


def _parse(template: str, names: list[str]) -> list[Part]:
    parts: list[Part] = []
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            if literal:
                parts.append(_literal(literal))
            if name is not None:
                if spec or conversion:
                    raise ValueError(f"{{{name}}} has a format; only names are allowed")
                parts.append(_part(name))
                if name not in names:
                    names.append(name)
    except ValueError as error:
        raise _malformed(template, str(error)) from None
    if not names:
        raise _malformed(template, "it names nothing of the item, so all texts would be equal")
    return parts


def _malformed(template: str, reason: str) -> Failure:
    return Failure(
        f"The template {template!r} is malformed: {reason}.",
        field="rebuild.template",
        hint=f"Write names in braces, such as {DEFAULT_TEMPLATE!r}.",
    )


def _part(name: str) -> Part:
    """What stands for one name in braces."""
    if name in FIELDS:
        return _all_attributes if name == "attributes" else _field(name)
    if name.startswith(_ATTRIBUTE) and len(name) > len(_ATTRIBUTE):
        return _attribute(name.removeprefix(_ATTRIBUTE))
    if not name or name.isdecimal() or set(name) & set(".[]{}"):
        raise ValueError(f"{{{name}}} is not the name of a field or column")
    return _column(name)


def _literal(text: str) -> Part:
    return lambda item: text


def _field(name: str) -> Part:
    return lambda item: as_text(getattr(item, name))


def _attribute(name: str) -> Part:
    return lambda item: as_text(item.attributes.get(name))


def _column(name: str) -> Part:
    return lambda item: as_text(item.extra.get(name))


def _all_attributes(item: Item) -> str:
    return as_text(item.attributes)


def as_text(value: Any) -> str:
    """Any value of a catalogue in words; nothing for null."""
    if isinstance(value, str):
        return plain(value) if "<" in value or "&" in value else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(as_text(part) for part in value)
    if isinstance(value, dict):
        pairs = ((name, as_text(part)) for name, part in value.items())
        return " ".join(f"{name} {text}" for name, text in pairs if text and not text.isspace())
    return number_text(value) or str(value)
