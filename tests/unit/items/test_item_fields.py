"""Columns by their usual names, values in their usual forms: understood, or counted and named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.fields import USUAL_NAMES, FieldChooser
from indexes.items.records import BadValue, Item, ItemReader, read_items
from indexes.readers.bad_lines import BadLine


def item(row: dict[str, Any], **options: Any) -> Item:
    return ItemReader(**options).read(1, row)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sku", "name"], {"id": "sku", "title": "name"}),
        (["ID", "Title", "Product Type"],
         {"id": "ID", "title": "Title", "category": "Product Type"}),
        (["Handle", "Title", "Body (HTML)", "Vendor"],
         {"id": "Handle", "title": "Title", "description": "Body (HTML)", "brand": "Vendor"}),
        (["g:id", "g:title", "g:image-link"],
         {"id": "g:id", "title": "g:title", "image": "g:image-link"}),
        (["id", "title", "sale_price", "in_stock", "updatedAt"],
         {"price": "sale_price", "available": "in_stock", "updated": "updatedAt"}),
        (["id", "title", "price", "sale_price", "brand", "vendor"], {}),
    ],
)  # fmt: skip
def test_columns_by_their_usual_names(names: list[str], expected: dict[str, str]) -> None:
    chooser = FieldChooser()
    chooser.plan(dict.fromkeys(names, "1"))
    assert chooser.report()["from"] == expected


def test_rebuild_columns_go_before_the_table() -> None:
    row = {"id": "1", "title": "A", "artikel": "B", "price": 5, "sale_price": 4}
    found = item(row, columns=["title=Artikel", "price=sale_price"])
    assert (found.title, found.price) == ("B", 4)
    assert (item(row).title, item(row).price) == ("A", 5)
    with pytest.raises(Failure, match="'field=column' is expected"):
        item(row, columns=["titel=artikel"])


def test_what_is_not_read_is_kept_and_named() -> None:
    reader = ItemReader()
    found = reader.read(1, {"id": "1", "name": "A", "seo_keywords": "x"})
    assert (found.title, found.extra) == ("A", {"seo_keywords": "x"})
    report = reader.chooser.report()
    assert (report["from"], report["not_read"]) == ({"title": "name"}, ["seo_keywords"])


def test_a_column_that_only_stands_in_is_kept() -> None:
    reader = ItemReader()
    found = reader.read(1, {"id": "1", "title": "A", "price": 5, "sale_price": 4})
    assert (found.price, found.extra) == (5, {"sale_price": 4})
    assert reader.chooser.report()["not_read"] == ["sale_price"]


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"_id": {"$oid": "5f"}, "id": None}, "id", "5f"),
        ({"price": {"$numberDecimal": "5.5"}}, "price", 5.5),
        ({"updated": {"$date": "2026-01-01T00:00:00Z"}}, "updated", 1767225600.0),
        ({"title": ["A"]}, "title", "A"),
        ({"images": [{"src": "https://x/1"}, {"src": "https://x/2"}]}, "image", "https://x/1"),
        ({"images": [{"id": 1, "name": "one.jpg", "src": "https://x/1"}]}, "image", "https://x/1"),
        ({"images": [{"id": 1, "name": "", "src": "https://x/1"}]}, "image", "https://x/1"),
        ({"brands": [{"id": 1, "name": "Acme", "url": "/acme"}]}, "brand", "Acme"),
        ({"custom_attributes": [{"attribute_code": "c", "value": "1"}]}, "attributes", {"c": "1"}),
        ({"description": ["a", "b"]}, "description", "a b"),
        ({"brand": {"id": 1, "name": "Acme"}}, "brand", "Acme"),
    ],
)
def test_values_as_databases_wrap_them(values: dict[str, Any], field: str, expected: Any) -> None:
    found = item({"id": "1", "title": "x"} | values, strict=True)
    assert getattr(found, field) == expected


def test_an_empty_column_leaves_room_for_the_next() -> None:
    assert item({"id": "1", "title": "", "name": "A"}).title == "A"
    assert item({"id": "1", "title": "A", "price": None, "sale_price": "5"}).price == 5


@given(st.permutations([name for names in USUAL_NAMES.values() for name in names]))
def test_no_order_of_columns_changes_what_is_read(names: list[str]) -> None:
    ordered = FieldChooser().sources(sorted(names))
    assert FieldChooser().sources(names) == ordered


UNREADABLE: list[tuple[dict[str, Any], str]] = [
    ({"price": -1}, "price is -1; a price from 0 to 1e+12 is expected"),
    ({"price": 1e13}, "price is 10000000000000.0; a price from 0"),
    ({"price": "cheap"}, "price is 'cheap'; a price from 0"),
    ({"price": True}, "price is True; a price from 0"),
    ({"updated": "tomorrow"}, "updated is 'tomorrow'; ISO 8601"),
    ({"updated": 1e300}, "updated is 1e+300"),
    ({"updated": 2026}, "updated is 2026, which looks like a year"),
    ({"updated": [1]}, "updated is [1]; ISO 8601"),
    ({"available": "perhaps"}, "available is 'perhaps'; true or false, a word"),
    ({"attributes": [1]}, "attributes is [1]; an object, a list"),
    ({"attributes": "red"}, "attributes is 'red'; an object, a list"),
    ({"brand": {"a": 1}}, "brand is {'a': 1}; a text is expected"),
    ({"category": True}, "category is True; a text, a list"),
    ({"description": "x" * 1_000_001}, "description has 1000001 characters, at most 1000000"),
    ({"attributes": {"a": json.loads("[" * 40 + "]" * 40)}}, "a: a value is nested more than 32"),
    ({"own": json.loads("[" * 40 + "]" * 40)}, "own: a value is nested more than 32 deep"),
]


@pytest.mark.parametrize(("values", "reason"), UNREADABLE, ids=[why for _, why in UNREADABLE])
def test_a_value_that_cannot_be_read_costs_itself(values: dict[str, Any], reason: str) -> None:
    reader = ItemReader()
    row = {"id": "1", "title": "x"} | values
    assert reader.read(7, row) == Item("1", "x")
    reader.read(8, row)
    [(field, bad)] = reader.fields.items()
    assert (field, bad.unreadable, bad.line) == (*values, 2, 7)
    assert bad.example.startswith(reason)


@pytest.mark.parametrize(("values", "reason"), UNREADABLE, ids=[why for _, why in UNREADABLE])
def test_in_strict_reading_it_costs_the_line(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadValue) as raised:
        item({"id": "1", "title": "x"} | values, strict=True)
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize(
    "nothing", [None, "", "  ", [], {}, "null", "NaN", "N/A", "None", "-", "0000-00-00"]
)
@pytest.mark.parametrize("field", sorted(set(USUAL_NAMES) - {"id", "title"}))
def test_what_stands_for_nothing_is_absent(field: str, nothing: Any) -> None:
    assert item({"id": "1", "title": "x", field: nothing}, strict=True) == Item("1", "x")


def test_a_later_price_says_what_an_earlier_one_means(tmp_path: Path) -> None:
    for later, first in (("79,90", 1234.0), ("79.90", 1.234), ("80", 1.234)):
        rows = [{"id": str(n), "title": "x", "price": "1.234"} for n in range(50)]
        rows.append({"id": "last", "title": "x", "price": later})
        path = tmp_path / "items.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        bad: list[BadLine] = []
        found = [found for _, found in read_items(path, bad.append)]
        assert not bad and len(found) == 51
        assert {found.price for found in found[:-1]} == {first}, later
