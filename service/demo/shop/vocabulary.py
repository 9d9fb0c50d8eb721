"""vocabulary.py: words.toml -> DEPARTMENTS, of which the shop's texts are made."""

import tomllib
from pathlib import Path
from typing import Final, Literal

import msgspec

Form = Literal["one", "many", "mass"]
_WORDS: Final = Path(__file__).with_name("words.toml")


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of thing that the shop sells, in the words of the shop and in those of shoppers."""

    name: str
    shelf: str  # the "B > C" of the category "A > B > C"
    price: tuple[float, float]
    nouns: tuple[str, ...]  # what titles call it
    asked: tuple[str, ...]  # what shoppers type instead: synonyms and uses
    made: tuple[str, ...]  # materials: noun phrases that go after "made of"
    has: tuple[str, ...]  # parts and traits: noun phrases that go after "with"
    uses: tuple[str, ...]  # noun phrases that go after "for"
    says: tuple[str, ...]  # whole sentences
    sizes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()  # names of kinds that are bought next
    form: Form = "one"  # grammar of the nouns: a tent, shoes, shampoo
    colours: bool = True


class Department(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One department, the first part of a category."""

    name: str
    kinds: tuple[Kind, ...]
    codes: bool  # whether its items carry model numbers


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    department: tuple[Department, ...]


DEPARTMENTS: Final = msgspec.convert(tomllib.loads(_WORDS.read_text()), _Words).department


def words(text: str) -> tuple[str, ...]:
    """`"a | b"` -> `("a", "b")`."""
    return tuple(part.strip() for part in text.split("|") if part.strip())
