"""items.py: departments, brands and a seed -> Shop, the items with their facts as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.storage.arrays import Floats, Ints
from service.demo.shop.brands import BRANDS
from service.demo.shop.draw import Draw
from service.demo.shop.facts import Facts, draw_facts
from service.demo.shop.pictures import picture_name
from service.demo.shop.styles import STYLES
from service.demo.shop.vocabulary import DEPARTMENTS, Department, Kind
from service.demo.shop.writing import description_of, title_of

DAY = 86_400
END = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())  # the shop's last moment
START = END - 90 * DAY

KINDS: tuple[Kind, ...] = tuple(kind for department in DEPARTMENTS for kind in department.kinds)
DEPARTMENT_OF_KIND = np.array(
    [number for number, department in enumerate(DEPARTMENTS) for _ in department.kinds]
)


@dataclass(frozen=True)
class Shop:
    """All items; row i of every array is facts[i]."""

    ids: list[str]
    facts: list[Facts]
    titles: list[str]
    descriptions: list[str]
    kind: Ints
    brand: Ints
    style: Ints
    level: Floats  # price level within the kind, 0 to 1
    appeal: Floats  # how well made it is: everybody likes it a little more or less
    updated: Ints
    available: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The items as DESIGN's item records."""
        for row, facts in enumerate(self.facts):
            yield {
                "id": self.ids[row],
                "title": self.titles[row],
                "description": self.descriptions[row],
                "brand": facts.brand.name,
                "category": f"{facts.department.name} > {facts.kind.shelf}",
                "price": facts.price,
                "image": picture_name(self.ids[row]),
                "attributes": _attributes(facts),
                "updated": _iso(int(self.updated[row])),
                "available": bool(self.available[row]),
            }


def make_shop(rng: np.random.Generator, per_kind: int) -> Shop:
    draw = Draw(rng)
    facts, titles = _drawn(draw, per_kind)
    order = rng.permutation(len(facts))
    facts, titles = [facts[i] for i in order], [titles[i] for i in order]
    count = len(facts)
    brands = {brand.name: number for number, brand in enumerate(BRANDS)}
    styles = {style.name: number for number, style in enumerate(STYLES)}
    kinds = {kind.name: number for number, kind in enumerate(KINDS)}
    return Shop(
        ids=[str(10_001 + row) for row in range(count)],
        facts=facts,
        titles=titles,
        descriptions=[description_of(draw, fact) for fact in facts],
        kind=np.array([kinds[fact.kind.name] for fact in facts]),
        brand=np.array([brands[fact.brand.name] for fact in facts]),
        style=np.array([styles[fact.style.name] for fact in facts]),
        level=np.array([fact.level for fact in facts]),
        appeal=rng.normal(0.0, 1.0, count),
        updated=START - (rng.random(count) ** 1.5 * 600 * DAY).astype(np.int64) + 60 * DAY,
        available=rng.random(count) < 0.94,
    )


def _drawn(draw: Draw, per_kind: int) -> tuple[list[Facts], list[str]]:
    """Facts with titles; a title that exists already is drawn again, and so is a model number."""
    facts: list[Facts] = []
    titles: dict[str, None] = {}
    models: set[str] = set()
    for department in DEPARTMENTS:
        for kind in department.kinds:
            for _ in range(per_kind):
                fact, title = _new(draw, department, kind, titles, models)
                facts.append(fact)
                titles[title] = None
                models.add(_number(fact))
    return facts, list(titles)


def _new(
    draw: Draw, department: Department, kind: Kind, titles: dict[str, None], models: set[str]
) -> tuple[Facts, str]:
    sellers = [brand for brand in BRANDS if department.name in brand.departments]
    while True:
        fact = draw_facts(draw, department, kind, draw.pick(sellers))
        title = title_of(draw, fact)
        if title not in titles and (not fact.model or _number(fact) not in models):
            return fact, title


def _number(facts: Facts) -> str:
    """What of a model number is its own: an engine splits "KT-317R" into "kt" and "317r"."""
    return facts.model.partition("-")[2]


def _attributes(facts: Facts) -> dict[str, Any]:
    attributes = {
        "material": facts.material,
        "colour": facts.colour,
        "size": facts.size,
        "series": facts.series,
        "audience": facts.audience,
        "model": facts.model,
    }
    return {name: value for name, value in attributes.items() if value}


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
