"""setting_types.py: a setting's type -> the words that tell a person what it takes."""

from typing import Any

from msgspec import inspect


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


_WORDS = {
    inspect.BoolType: "true or false",
    inspect.StrType: "a text",
    inspect.NoneType: "nothing",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
}


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    lower = f" from {kind.ge:,}" if kind.ge is not None else ""
    if kind.gt is not None:
        lower = f" above {kind.gt:,}"
    upper = f" to {kind.le:,}" if kind.le is not None else ""
    if kind.lt is not None:
        upper = f" below {kind.lt:,}"
    return lower + upper
