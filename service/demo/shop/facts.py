"""facts.py: a kind, a brand and a look -> Facts, what is true of one item before it has a text."""

import re
from typing import NamedTuple

from service.demo.shop.brands import Brand
from service.demo.shop.draw import Draw
from service.demo.shop.styles import STYLES, Style
from service.demo.shop.vocabulary import Department, Kind

# A noun that names a material is only used for items of that material.
_STUFF = {
    "wool": ("wool",),
    "lambswool": ("lambswool",),
    "merino": ("merino",),
    "down": ("down",),
    "leather": ("leather",),
    "webbing": ("webbing",),
    "canvas": ("canvas",),
    "steel": ("steel",),
    "glass": ("glass",),
    "foam": ("foam",),
    "memory": ("memory foam",),
    "silicone": ("silicone",),
    "stoneware": ("stoneware",),
    "enamel": ("enamelled",),
    "porcelain": ("porcelain",),
    "jute": ("jute",),
    "soy": ("soy",),
    "mesh": ("mesh",),
    "rope": ("rope",),
    "mineral": ("zinc",),
    "braided": ("nylon", "leather", "polyester"),
    "wooden": ("maple", "beech", "plywood", "oak"),
    "upholstered": ("beech", "oak"),
    "hard-shell": ("polycarbonate", "aluminium", "EVA"),
    "waffle": ("cotton",),
    "hammam": ("cotton",),
    "shell": ("nylon", "polyester"),
    "hardshell": ("nylon", "polyester"),
}


class Facts(NamedTuple):
    """What is true of one item; texts, attributes and relevance all come from here."""

    department: Department
    kind: Kind
    brand: Brand
    style: Style
    noun: str
    series: str
    material: str
    colour: str
    size: str
    audience: str
    traits: tuple[str, ...]
    uses: tuple[str, ...]
    model: str
    level: float  # where its price lies between the kind's lowest (0) and highest (1)
    price: float


def draw_facts(draw: Draw, department: Department, kind: Kind, brand: Brand) -> Facts:
    style = _style_of(draw, brand)
    material = draw.pick(kind.made)
    level = min(1.0, max(0.0, 0.75 * brand.level + 0.25 * draw.uniform()))
    return Facts(
        department=department,
        kind=kind,
        brand=brand,
        style=style,
        noun=draw.pick(_nouns_for(kind, material)),
        series=draw.pick(style.series),
        material=material,
        colour=draw.pick(style.colours) if kind.colours else "",
        size=draw.pick(kind.sizes) if kind.sizes else "",
        audience=draw.pick(kind.audience) if kind.audience else "",
        traits=tuple(draw.sample(kind.has, 2 + int(draw.chance(0.6)))),
        uses=tuple(draw.sample(kind.uses, 2)),
        model=_model(draw, brand) if department.codes else "",
        level=level,
        price=_price(draw, kind, level),
    )


def _style_of(draw: Draw, brand: Brand) -> Style:
    """Brands keep to their looks four times out of five."""
    if draw.chance(0.2):
        return draw.pick(STYLES)
    name = brand.styles[0] if draw.chance(0.6) else brand.styles[-1]
    return next(style for style in STYLES if style.name == name)


def _nouns_for(kind: Kind, material: str) -> list[str]:
    return [noun for noun in kind.nouns if _fits(noun, material)] or [kind.name]


def _fits(noun: str, material: str) -> bool:
    named = [_STUFF[word] for word in re.findall(r"[\w-]+", noun.lower()) if word in _STUFF]
    return all(any(stuff in material for stuff in options) for options in named)


def _model(draw: Draw, brand: Brand) -> str:
    consonants = [letter for letter in brand.name.upper() if letter in "BCDFGHKLMNPRSTVWXZ"]
    letters = (consonants[0] + consonants[1]) if len(consonants) > 1 else brand.name[:2].upper()
    number = 100 + int(draw.uniform() * 900)
    return f"{letters}-{number}{draw.pick('ABCDEFGHKLMPRSTX')}"


def _price(draw: Draw, kind: Kind, level: float) -> float:
    low, high = kind.price
    # Linear in the level, not geometric, so that "dear" is felt in cheap kinds too.
    whole = round(low + (high - low) * level)
    return whole - 1 + draw.pick((0.99, 0.95, 0.9, 0.5)) if whole < 100 else whole - 1 + 1.0
