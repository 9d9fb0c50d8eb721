"""vocabulary.py: short word lists -> Kind and Department, what the shop's texts are made of."""

from typing import Literal, NamedTuple

Form = Literal["one", "many", "mass"]


class Kind(NamedTuple):
    """One kind of thing that the shop sells, in the words of the shop and in those of shoppers."""

    name: str
    shelf: str  # the "B > C" of the category "A > B > C"
    nouns: tuple[str, ...]  # what titles call it
    asked: tuple[str, ...]  # what shoppers type instead: synonyms and uses
    made: tuple[str, ...]  # materials: noun phrases that go after "made of"
    has: tuple[str, ...]  # parts and traits: noun phrases that go after "with"
    uses: tuple[str, ...]  # noun phrases that go after "for"
    says: tuple[str, ...]  # whole sentences
    sizes: tuple[str, ...]
    audience: tuple[str, ...]
    goes: tuple[str, ...]  # names of kinds that are bought next
    price: tuple[float, float]
    form: Form  # grammar of the nouns: a tent, shoes, shampoo
    colours: bool


class Department(NamedTuple):
    """One department, the first part of a category."""

    name: str
    kinds: tuple[Kind, ...]
    codes: bool  # whether its items carry model numbers


def words(text: str) -> tuple[str, ...]:
    """`"a | b"` -> `("a", "b")`."""
    return tuple(part.strip() for part in text.split("|") if part.strip())


def kind(
    name: str,
    shelf: str,
    price: tuple[float, float],
    *,
    nouns: str,
    asked: str,
    made: str,
    has: str,
    uses: str,
    says: str,
    sizes: str = "",
    audience: str = "",
    goes: str = "",
    form: Form = "one",
    colours: bool = True,
) -> Kind:
    return Kind(
        name=name,
        shelf=shelf,
        nouns=words(nouns),
        asked=words(asked),
        made=words(made),
        has=words(has),
        uses=words(uses),
        says=words(says),
        sizes=words(sizes),
        audience=words(audience),
        goes=words(goes),
        price=price,
        form=form,
        colours=colours,
    )
