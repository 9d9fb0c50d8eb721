"""The demo shop's pictures: one an item, told apart by what taste is about; the page shows them."""

from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from indexes.items.records import read_items
from indexes.workspace import Workspace
from service.demo.season.data import IMAGES, Size, write_shop
from service.demo.shop.brands import BRANDS
from service.demo.shop.draw import streams
from service.demo.shop.facts import Facts
from service.demo.shop.items import KINDS, make_shop
from service.demo.shop.pictures import picture_of
from service.demo.shop.styles import STYLES
from service.page.parts.request_sets import ITEMS
from service.page.parts.thumbnails import Thumbnails


@pytest.fixture(scope="module")
def facts() -> list[Facts]:
    return make_shop(streams(5, 1)[0], per_kind=2).facts


def test_every_kind_has_a_shape_and_every_picture_is_an_svg_of_shapes_alone(
    facts: list[Facts],
) -> None:
    shapes = {}
    for fact in facts:
        root = ElementTree.fromstring(picture_of(fact))
        names = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not names & {"script", "style", "image", "use", "a", "foreignObject"}
        assert not any("href" in name for element in root.iter() for name in element.attrib)
        shapes[fact.kind.name] = len(list(root.iter("{http://www.w3.org/2000/svg}path")))
    assert set(shapes) == {kind.name for kind in KINDS}
    assert min(shapes.values()) >= 3


def test_every_colour_look_and_brand_can_be_seen(facts: list[Facts]) -> None:
    item = next(fact for fact in facts if fact.colour and fact.kind.form == "one")
    colours = {colour for style in STYLES for colour in style.colours}
    assert len({picture_of(item._replace(colour=colour)) for colour in colours}) == len(colours)
    assert len({picture_of(item._replace(style=style)) for style in STYLES}) == len(STYLES)
    assert len({picture_of(item._replace(brand=brand)) for brand in BRANDS}) == len(BRANDS)
    for one, other in product(("oak", "brushed steel", "merino wool", "leather"), repeat=2):
        looks = (picture_of(item._replace(material=material)) for material in (one, other))
        assert (next(looks) == next(looks)) == (one == other)


def test_the_page_shows_the_picture_of_every_item(tmp_path: Path) -> None:
    size = Size(per_kind=1, users=40, visitors=10, requests=5)
    made = write_shop(tmp_path / "data", size)
    thumbnails = Thumbnails.of(Workspace(tmp_path))
    items = [item for _, item in read_items(tmp_path / "data" / ITEMS, pytest.fail)]
    assert len(items) == len(KINDS)
    for item in items:
        assert thumbnails.thumbnail_of(item) == f"/images/{item.id}.svg"
    folder = tmp_path / "data" / IMAGES
    first, second, *_ = sorted(folder.iterdir())
    whole = first.read_bytes()
    first.write_bytes(whole[:100])
    second.unlink()
    (folder / "old.svg").write_bytes(whole)
    assert write_shop(tmp_path / "data", size) == made
    assert first.read_bytes() == whole and second.is_file() and not (folder / "old.svg").exists()
