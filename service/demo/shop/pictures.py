"""pictures.py: Facts of an item -> its picture, an SVG: shape, colour, material, look, brand."""

import colorsys
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from service.demo.shop.brands import BRANDS
from service.demo.shop.facts import Facts
from service.demo.shop.vocabulary import words


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parts of one kind of thing; shapes.toml says how they are written."""

    kinds: tuple[str, ...]
    parts: str


class _Paint(NamedTuple):
    """Colours as #rrggbb. pattern: of a colour's name, "" for plain ones."""

    main: str
    second: str = ""
    pattern: str = ""


_SHAPES: Final = msgspec.convert(
    tomllib.loads(Path(__file__).with_name("shapes.toml").read_text()), dict[str, _Shape]
)
_PARTS: Final = {
    kind: shape.parts.strip().splitlines() for shape in _SHAPES.values() for kind in shape.kinds
}
_COLOURS: Final = {
    "black": _Paint("#26282b"),
    "white": _Paint("#f4f5f6"),
    "stone grey": _Paint("#a5a49d"),
    "charcoal": _Paint("#43474d"),
    "off-white": _Paint("#efe9dc"),
    "graphite": _Paint("#5a6068"),
    "navy": _Paint("#1f3157"),
    "burgundy": _Paint("#6d1f33"),
    "bottle green": _Paint("#1d4a37"),
    "chestnut": _Paint("#7c4428"),
    "camel": _Paint("#bd915a"),
    "dark brown": _Paint("#4a3226"),
    "signal orange": _Paint("#ff6a13"),
    "cobalt blue": _Paint("#1247c9"),
    "hot pink": _Paint("#ff3e95"),
    "lime": _Paint("#a4d60f"),
    "electric yellow": _Paint("#ffe600"),
    "scarlet": _Paint("#e01f26"),
    "oat": _Paint("#ddd0b3"),
    "moss green": _Paint("#6d7b42"),
    "clay": _Paint("#b5765b"),
    "sand": _Paint("#d7bd8d"),
    "terracotta": _Paint("#c2613f"),
    "hemp": _Paint("#a6996b"),
    "carbon black": _Paint("#1d1f22", "#4c525a", "weave"),
    "gunmetal": _Paint("#4d555e"),
    "silver": _Paint("#bcc3ca"),
    "ice blue": _Paint("#b5dcee"),
    "slate": _Paint("#61717f"),
    "black and red": _Paint("#26282b", "#d81f2a", "band"),
    "sky blue with dots": _Paint("#7cc4f0", "#ffffff", "dots"),
    "coral": _Paint("#ff7d66"),
    "sunny yellow": _Paint("#ffcf33"),
    "mint": _Paint("#9be3c0"),
    "striped pink": _Paint("#ff9ec4", "#ffffff", "stripes"),
    "rainbow": _Paint("#f2575b", "", "rainbow"),
    "mustard": _Paint("#cf9a1f"),
    "teal": _Paint("#147d80"),
    "cream": _Paint("#f3e4bd"),
    "avocado green": _Paint("#7d8f35"),
    "rust": _Paint("#ad4c22"),
    "powder pink": _Paint("#eec0c4"),
    "ivory": _Paint("#f6f0de"),
    "midnight blue": _Paint("#151d40"),
    "champagne": _Paint("#e3ca9e"),
    "pearl": _Paint("#e8e3de"),
    "deep emerald": _Paint("#0c5a44"),
    "black and gold": _Paint("#202124", "#d0a63f", "band"),
}
# The first whose words are in a material's name tells its own colour and how its surface looks.
_MATERIALS: Final = (
    ("copper | brass", "#c17f4b", "sheen"),
    ("cast iron | carbon | damascus", "#4a4d51", "sheen"),
    ("steel | aluminium | titanium | iron | alloy | vanadium | tungsten", "#aab2ba", "sheen"),
    ("glass | crystal | Tritan | hydrogel | clear", "#bfe0e6", "gleam"),
    ("wool | knit | felt | fleece | mohair | cashmere | terry | tufted", "#d8c9ae", "knit"),
    ("leather | suede | goatskin | nubuck", "#8f5b37", "grain"),
    ("oak | wood | bamboo | beech | maple | pine | walnut | plywood | teak", "#c79a63", "wood"),
    ("acacia | birch | hickory | ash | rattan | seagrass | sisal | jute", "#b98a55", "wood"),
    ("cork | stoneware | clay | terracotta | porcelain | ceramic", "#c9a27e", "specks"),
    ("corundum", "#8b8f94", "specks"),
    ("card | paper | board", "#c8ad82", "specks"),
    ("cotton | linen | canvas | denim | nylon | polyester | mesh | webbing", "#cdc3b0", "weave"),
    ("fibre | viscose | lyocell | fabric | tarpaulin | rope | down | silk", "#d9d2c4", "weave"),
    ("wax", "#f1dfae", "plain"),
    ("rubber | latex | foam | EVA | EPP | silicone | TPE", "#3a3d40", "plain"),
    ("oil | butter | milk | aloe | tea | oat | rosemary", "#e8e0b8", "plain"),
    ("chicken | salmon | beef | lamb | venison | insect | potato", "#b5793e", "plain"),
)
_OTHER: Final = ("#9aa5ad", "plain")
# What stands behind the item: the look that it is of.
_LOOKS: Final = {
    "minimal": "<rect width='64' height='64' fill='#fafafa'/>",
    "classic": "<rect width='64' height='64' fill='#f2ece0'/>"
    "<rect x='2.5' y='2.5' width='59' height='59' fill='none' stroke='#b9a988'/>",
    "bold": "<rect width='64' height='64' fill='#fff3a6'/>"
    "<path d='M0 64L64 0V22L22 64Z' fill='#ffd84d'/>",
    "natural": "<rect width='64' height='64' fill='#eaf0e0'/>"
    "<path d='M0 52C16 44 40 60 64 48V64H0Z' fill='#cfdcbb'/>",
    "technical": "<rect width='64' height='64' fill='#e6ebef'/>"
    "<path d='M0 16H64M0 32H64M0 48H64M16 0V64M32 0V64M48 0V64' stroke='#d2dae1'/>",
    "playful": "<rect width='64' height='64' fill='#fff0f6'/><circle cx='10' cy='12' r='5'"
    " fill='#ffd1e3'/><circle cx='54' cy='20' r='7' fill='#d3ecff'/><circle cx='8' cy='54' r='6'"
    " fill='#fff0b8'/>",
    "retro": "<rect width='64' height='64' fill='#fbeed2'/><g fill='none' stroke-width='5'>"
    "<circle cx='32' cy='64' r='46' stroke='#efc37d'/><circle cx='32' cy='64' r='38'"
    " stroke='#e8a36a'/></g>",
    "luxury": "<rect width='64' height='64' fill='#2b2733'/>"
    "<rect x='3' y='3' width='58' height='58' fill='none' stroke='#c7a55a'/>",
}
_LINES: Final = "fill='none' stroke-linecap='round' stroke-linejoin='round' stroke-width"
_PATTERNS: Final = {
    "sheen": "<linearGradient id='t' x2='1' y2='1'><stop offset='.2' stop-color='#fff'"
    " stop-opacity='0'/><stop offset='.42' stop-color='#fff' stop-opacity='.55'/><stop offset='.6'"
    " stop-color='#fff' stop-opacity='0'/></linearGradient>",
    "gleam": "<linearGradient id='t' x2='1'><stop stop-color='#fff' stop-opacity='.7'/>"
    "<stop offset='.5' stop-color='#fff' stop-opacity='.1'/><stop offset='1' stop-color='#fff'"
    " stop-opacity='.4'/></linearGradient>",
    "knit": "4 4|<path d='M0 0L2 2L4 0M0 4L2 6L4 4M0 2L2 4L4 2' {}='#000' stroke-opacity='.2'/>",
    "grain": "7 7|<path d='M1 1L3 2M5 4L4 6M1 5L2 6' {}='#000' stroke-opacity='.28'/>",
    "wood": "20 7|<path d='M0 2C6 0 12 4 20 2M0 5C8 7 12 4 20 5' {}='#4a2c10'"
    " stroke-opacity='.35'/>",
    "specks": "9 9|<path d='M1 2H2M6 1H7M4 5H5M8 7H9M2 8H3' {}='#000' stroke-opacity='.3'/>",
    "weave": "3 3|<path d='M0 0L3 3M3 0L0 3' {}='#000' stroke-opacity='.14'/>",
    "plain": "",
}


def picture_of(facts: Facts) -> str:
    """The SVG, 64 x 64; the same facts give the same bytes. It loads nothing and runs nothing."""
    material, surface = _material(facts.material)
    paint = _COLOURS[facts.colour] if facts.colour else _Paint(material)
    brand = _brand_colour(facts)
    tones = {
        **{"M": paint.main, "D": _shaded(paint.main, -0.3), "L": _shaded(paint.main, 0.4)},
        **{"S": paint.second or brand, "K": "#2c3036", "W": "#fdfdfd"},
    }
    fills, layers = _fills(surface, paint)
    drawn = "".join(_part(line, tones, layers) for line in _PARTS[facts.kind.name])
    glow = "#fff" if facts.style.name == "luxury" else "#1d2733"
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 64 64' width='64' height='64'>"
        f"<defs>{fills}</defs>{_LOOKS[facts.style.name]}"
        f"<g stroke='{glow}' stroke-opacity='.35' stroke-width='.8'>{drawn}</g>"
        f"{_mark(facts, brand)}</svg>\n"
    )


def _material(name: str) -> tuple[str, str]:
    for named, colour, surface in _MATERIALS:
        if any(word in name for word in words(named)):
            return colour, surface
    return _OTHER


def _fills(surface: str, paint: _Paint) -> tuple[str, list[str]]:
    """Definitions of what lies on the main parts, and the names of those, lowest first."""
    defined, layers = "", []
    if paint.pattern:
        defined += _tile("c", *_colour_pattern(paint))
        layers.append("c")
    pattern = _PATTERNS[surface]
    if "|" in pattern:
        size, _, drawn = pattern.partition("|")
        defined += _tile("t", size, drawn.format(f"{_LINES}='.6' stroke"))
    else:
        defined += pattern
    return defined, [*layers, "t"] if pattern else layers


def _colour_pattern(paint: _Paint) -> tuple[str, str]:
    """Size and drawing of the tile of a colour that is more than one."""
    if paint.pattern == "dots":
        return "8 8", f"<circle cx='4' cy='4' r='1.7' fill='{paint.second}'/>"
    if paint.pattern == "weave":
        return "4 4", f"<path d='M0 0H2V2H4V4H2V2H0Z' fill='{paint.second}'/>"
    if paint.pattern == "stripes":
        return "8 8", f"<path d='M0 0H4V8H0Z' fill='{paint.second}'/>"
    if paint.pattern == "band":
        return "64 64", f"<path d='M0 40L64 28V35L0 47Z' fill='{paint.second}'/>"
    bands = ("#f2575b", "#f9a03f", "#f7df5e", "#6cc788", "#4d96e0", "#9366c9")
    stripes = (
        f"<path d='M0 {at * 8}H64V{at * 8 + 8}H0Z' fill='{colour}'/>"
        for at, colour in enumerate(bands)
    )
    return "64 48", "".join(stripes)


def _tile(name: str, size: str, drawn: str) -> str:
    width, _, height = size.partition(" ")
    return (
        f"<pattern id='{name}' width='{width}' height='{height}' patternUnits='userSpaceOnUse'>"
        f"{drawn}</pattern>"
    )


def _part(line: str, tones: dict[str, str], layers: list[str]) -> str:
    """One line of shapes.toml; a main part again for each of its layers."""
    tone, _, drawn = line.partition(" ")
    path = _path(drawn)
    colour = tones[tone.upper()]
    if tone.islower():
        width = 5 if tone in "md" else 2
        return f"<path d='{path}' {_LINES}='{width}' stroke='{colour}' stroke-opacity='1'/>"
    over = layers if tone == "M" else ()
    paints = [colour, *(f"url(#{layer})" for layer in over)]
    return "".join(f"<path d='{path}' fill='{paint}'/>" for paint in paints)


def _path(drawn: str) -> str:
    if drawn[:2] not in ("O ", "R "):
        return drawn
    numbers = [float(number) for number in re.findall(r"[\d.]+", drawn)]
    if drawn[0] == "O":
        x, y, r = numbers
        return f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0z"
    x, y, width, height, r = numbers
    arc = f"a{r:g} {r:g} 0 0 1"
    return (
        f"M{x + r:g} {y:g}h{width - 2 * r:g}{arc} {r:g} {r:g}v{height - 2 * r:g}{arc} {-r:g} {r:g}"
        f"h{2 * r - width:g}{arc} {-r:g} {-r:g}v{2 * r - height:g}{arc} {r:g} {-r:g}z"
    )


def _brand_number(facts: Facts) -> int:
    return next(at for at, brand in enumerate(BRANDS) if brand.name == facts.brand.name)


def _brand_colour(facts: Facts) -> str:
    """Brands go round the colour circle by the golden angle, so that neighbours differ."""
    return _hex(colorsys.hls_to_rgb(_brand_number(facts) * 0.381966 % 1.0, 0.42, 0.62))


def _mark(facts: Facts, colour: str) -> str:
    """The brand's mark in the corner: one of four forms in its colour, with its initial."""
    form = (
        "<circle cx='54' cy='54' r='9'",
        "<rect x='45' y='45' width='18' height='18' rx='3'",
        "<path d='M54 43L65 54L54 65L43 54Z'",
        "<path d='M45 45H63V56L54 64L45 56Z'",
    )[_brand_number(facts) % 4]
    return (
        f"{form} fill='{colour}' stroke='#fff'/><text x='54' y='58' fill='#fff' font-size='12'"
        " font-family='sans-serif' font-weight='700' text-anchor='middle'>"
        f"{facts.brand.name[0]}</text>"
    )


def _shaded(colour: str, by: float) -> str:
    """Towards white (by above 0) or black (below), by a share."""
    goal = 255 if by > 0 else 0
    parts = (int(colour[at:to], 16) for at, to in pairwise((1, 3, 5, 7)))
    return "#" + "".join(f"{round(part + (goal - part) * abs(by)):02x}" for part in parts)


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)


def picture_name(item: str) -> str:
    """The path of an item's picture in the folder of pictures."""
    return f"{item}.svg"


def write_pictures(folder: Path, ids: list[str], facts: list[Facts]) -> None:
    """A picture of each item, into an own folder; what was there before and is no item's goes."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {picture_name(item) for item in ids}
    for old in _pictures(folder):
        if old.name not in names:
            old.unlink()
    for item, fact in zip(ids, facts, strict=True):
        (folder / picture_name(item)).write_text(picture_of(fact))


def _pictures(folder: Path) -> Iterator[Path]:
    return folder.glob("*.svg")
