"""writing.py: Facts of an item -> its title and description, in the voice of a shop."""

from collections.abc import Callable

from service.demo.shop.draw import Draw
from service.demo.shop.facts import Facts

_SMALL = {"a", "an", "and", "by", "for", "in", "of", "on", "the", "to", "with"}


def title_of(draw: Draw, facts: Facts) -> str:
    """One of the title patterns; every brand has a few that it keeps to."""
    start = sum(map(ord, facts.brand.name)) % len(_TITLES)
    house = [_TITLES[(start + step) % len(_TITLES)] for step in (0, 2, 5)]
    return draw.pick(house)(facts)


def description_of(draw: Draw, facts: Facts) -> str:
    """Two to five sentences: an opening, then what it is made of, what it is like, its look."""
    opening = _opening(draw, facts)
    middle = [_material_line(draw, facts)] if draw.chance(0.7) else []
    middle += draw.sample(facts.kind.says, draw.pick((0, 1, 1, 1, 2)))
    if draw.chance(0.4) or not middle:
        middle.append(draw.pick(facts.style.says))
    if draw.chance(0.2):
        middle.extend(_detail(draw, facts, opening))
    return " ".join([opening, *draw.sample(middle, len(middle))])


def named(facts: Facts) -> str:
    """The noun with whom it is for: "women's rain shell"."""
    owner = {"women": "women's ", "men": "men's ", "kids": "kids' "}.get(facts.audience, "")
    return owner + facts.noun


def bare(trait: str) -> str:
    """A trait without its article: "a two-way zip" -> "two-way zip"."""
    for article in ("a ", "an ", "the "):
        if trait.startswith(article):
            return trait[len(article) :]
    return trait


def title_case(text: str) -> str:
    parts = text.split(" ")
    return " ".join(
        part if position and part in _SMALL else part[:1].upper() + part[1:]
        for position, part in enumerate(parts)
    )


def sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def consumable(facts: Facts) -> bool:
    return facts.kind.form == "mass" or "Food" in facts.kind.shelf


def _joined(parts: tuple[str, ...]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _with_material(facts: Facts) -> str:
    """The noun with its material before it, where that reads well."""
    words = facts.material.split()
    nouns = set(facts.noun.lower().replace("-", " ").split())
    repeats = nouns & set(facts.material.lower().replace("-", " ").split())
    if repeats or len(words) > 2 or consumable(facts):
        return named(facts)
    owner, _, noun = named(facts).rpartition(facts.noun)
    return f"{owner}{facts.material} {noun or facts.noun}"


def _series_and_colour(facts: Facts) -> str:
    tail = facts.colour or facts.size
    name = title_case(named(facts))
    return f"{facts.brand.name} {facts.series} {name}" + (f", {tail}" if tail else "")


def _model_and_size(facts: Facts) -> str:
    middle = facts.model or facts.series
    tail = " - ".join(filter(None, (facts.size, facts.colour)))
    name = title_case(_with_material(facts))
    return f"{facts.brand.name} {middle} {name}" + (f" - {tail}" if tail else "")


def _plain_words(facts: Facts) -> str:
    preposition = "with" if consumable(facts) else "made of"
    repeats = set(facts.noun.lower().split()) & set(facts.material.split())
    words = sentence_case(named(facts)) + ("" if repeats else f" {preposition} {facts.material}")
    return f"{words}, {facts.series} by {facts.brand.name}"


def _with_trait(facts: Facts) -> str:
    name = title_case(_with_material(facts))
    trait = title_case(bare(facts.traits[0]))
    tail = f", {facts.size}" if facts.size else f", {facts.colour}" if facts.colour else ""
    return f"{facts.brand.name} {facts.series} {name} with {trait}{tail}"


def _for_use(facts: Facts) -> str:
    where = f" ({facts.colour})" if facts.colour else ""
    number = f" {facts.model}" if facts.model else ""
    name = f"{facts.brand.name}{number} {facts.series}"
    return f"{name} {named(facts)} for {facts.uses[0]}{where}"


def _noun_first(facts: Facts) -> str:
    inside = ", ".join(filter(None, (facts.size, facts.colour)))
    number = f" {facts.model}" if facts.model else ""
    name = title_case(_with_material(facts))
    return f"{name} {facts.series}{number}" + (f" ({inside})" if inside else "") + _by(facts)


def _by(facts: Facts) -> str:
    return f" | {facts.brand.name}"


def _short(facts: Facts) -> str:
    tail = f" {facts.size}" if facts.size else ""
    colour = f" in {facts.colour}" if facts.colour else ""
    return f"{facts.brand.name} {facts.series} {named(facts)}{tail}{colour}"


_TITLES: tuple[Callable[[Facts], str], ...] = (
    _series_and_colour,
    _with_trait,
    _noun_first,
    _for_use,
    _model_and_size,
    _short,
    _plain_words,
)


def _many(facts: Facts) -> bool:
    return facts.kind.form == "many"


def _a(facts: Facts, words: str) -> str:
    if _many(facts):
        return sentence_case(words)
    return ("An " if words[0] in "aeiou" or words.startswith("honest") else "A ") + words


def _opening(draw: Draw, facts: Facts) -> str:
    adjective = draw.pick(facts.style.openings)
    first, second = facts.uses[0], facts.uses[-1]
    these, are = ("These", "are") if _many(facts) else ("This", "is")
    series = f"the {facts.series} series by {facts.brand.name}"
    return draw.pick(
        (
            f"{_a(facts, f'{adjective} {named(facts)}')} for {first}.",
            f"{_a(facts, f'{adjective} {facts.noun}')} for {first} and {second}.",
            f"{these} {facts.noun} from {series} {are} made for {first}.",
            f"{facts.brand.name} made {these.lower()} {adjective} {facts.noun} for {first}.",
            f"{sentence_case(named(facts))} for {first}, and just as good for {second}.",
        )
    )


def _material_line(draw: Draw, facts: Facts) -> str:
    traits = _joined(facts.traits)
    they, have, are = ("They", "have", "are") if _many(facts) else ("It", "has", "is")
    if consumable(facts):
        material = f"made with {facts.material}"
    else:
        material = f"made of {facts.material}"
    ways = [
        f"{sentence_case(material)}, with {traits}.",
        f"{they} {are} {material} and {'come' if _many(facts) else 'comes'} with {traits}.",
        f"{sentence_case(material)}. {they} {have} {traits}.",
        f"Details: {', '.join(bare(trait) for trait in facts.traits)}; {material}.",
    ]
    if not consumable(facts):
        ways.append(f"{sentence_case(traits)} come as standard. {sentence_case(material)}.")
    return draw.pick(ways)


def _detail(draw: Draw, facts: Facts, earlier: str) -> list[str]:
    """One more fact, where there is one that the opening has not told."""
    lines = [] if facts.series in earlier else [f"Part of the {facts.series} line."]
    if facts.colour:
        lines.append(f"Shown here in {facts.colour}.")
    if facts.size:
        lines.append(f"Size: {facts.size}.")
    if facts.model:
        lines.append(f"Model number {facts.model}.")
    return [draw.pick(lines)] if lines else []
