"""setting_types.py: a field of a settings struct -> what it takes, and a value checked by that."""

import math
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

_WORDS: Final = {
    inspect.BoolType: "true or false",
    inspect.StrType: "a text",
    inspect.NoneType: "nothing",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
}

_MOST_WHOLE: Final = 2**63 - 1


@dataclass(frozen=True)
class Setting:
    """One knob: where it stands, what it takes, what it does."""

    section: str
    field: str
    type: Any
    default: Any
    help: str

    @property
    def name(self) -> str:
        """As errors and `reranker settings` write it."""
        return f"{self.section}.{self.field}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"RERANKER_{self.section}_{self.field}".upper()


def setting_of(section: str, field: msgspec.structs.FieldInfo) -> Setting:
    """The knob that a field of a section's struct is."""
    return Setting(section, field.name, field.type, _default(field), _help(field.type))


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _help(annotated: Any) -> str:
    metas = [part for part in get_args(annotated) if isinstance(part, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def allowed(annotated: Any) -> str:
    """What may be written, such as "a whole number from 0 to 65535"."""
    return _described(inspect.type_info(annotated))


def _described(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _described(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_described(part) for part in kind.types)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f'"{value}"' for value in kind.values)
    if isinstance(kind, inspect.IntType):
        return "a whole number" + _bounds(kind)
    if isinstance(kind, inspect.FloatType):
        return "a number" + _bounds(kind)
    return _WORDS.get(type(kind), type(kind).__name__)


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    lower = f" from {kind.ge:,}" if kind.ge is not None else ""
    if kind.gt is not None:
        lower = f" above {kind.gt:,}"
    upper = f" to {kind.le:,}" if kind.le is not None else ""
    if kind.lt is not None:
        upper = f" below {kind.lt:,}"
    return lower + upper


def converted(annotated: Any, value: Any, *, text: bool) -> Any:
    """The value, as the type has it; ValueError for what may not be.

    text: it is from the environment, where "8" may mean the number 8, and "a, b" a list.
    """
    if text and allowed(annotated).startswith("a list"):
        value = [part.strip() for part in value.split(",") if part.strip()]
    result = msgspec.convert(value, annotated, strict=not text)
    if not _storable(result):
        raise ValueError(value)
    return result


def _storable(value: Any) -> bool:
    """Whether nothing in it passes bounds only because it compares with nothing (nan), has no end
    (inf), is more than a machine counts, or ends where C ends a text."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -_MOST_WHOLE <= value <= _MOST_WHOLE
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, dict):
        return all(_storable(key) and _storable(held) for key, held in value.items())
    return all(map(_storable, value)) if isinstance(value, list | tuple) else True
