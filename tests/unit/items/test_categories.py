"""Categories and attributes in every shape that exports have."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.items.attributes import read_attributes
from indexes.items.categories import read_category
from indexes.items.columns import category_paths


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("Sport > Shoes", "Sport > Shoes"),
        ("Sport>Shoes", "Sport > Shoes"),
        ("Sport &gt; Shoes", "Sport > Shoes"),
        ("Sport » Shoes", "Sport > Shoes"),
        (["Sport > Shoes", "Outdoor > Hiking"], "Sport > Shoes | Outdoor > Hiking"),
        ([["Sport", "Shoes"], ["Outdoor"]], "Sport > Shoes | Outdoor"),
        ("A > B|C > D", "A > B | C > D"),
        ("A > B; C > D", "A > B | C > D"),
        ("Home/Light/Desk", "Home > Light > Desk"),
        ("/Home/Light/", "Home > Light"),
        ("Home|Light", "Home > Light"),
        ("Home -> Light => Desk", "Home > Light > Desk"),
        ("Home/Light|Garden/Lamps", "Home > Light | Garden > Lamps"),
        ("Men/Women|Shoes", "Men/Women > Shoes"),
        ("Shoes;Boots", "Shoes | Boots"),
        ("Pots, Pans & Lids", "Pots, Pans & Lids"),
        ({"id": 7, "name": "Light"}, "Light"),
        ([{"id": 1, "name": "Home"}, {"id": 2, "name": "Light"}], "Home > Light"),
        ({"lvl0": "Home", "lvl1": "Home > Light"}, "Home > Light"),
        (["Home", "Home > Light"], "Home > Light"),
        ([None, "Light", ""], "Light"),
        ('["Sport > Shoes", "Outdoor"]', "Sport > Shoes | Outdoor"),
        ("['Home', 'Light']", "Home > Light"),
        ([], ""), (None, ""), ("N/A", ""), (" > ", ""), (3.0, "3"), (["A", "B", 3], "A > B > 3"),
        (True, None), ({"id": 7}, None),
    ],
)  # fmt: skip
def test_shapes_of_a_category(value: Any, category: str | None) -> None:
    assert read_category(value) == category


def test_several_paths_are_not_one_of_many_levels() -> None:
    assert category_paths("Sport > Shoes | Outdoor > Hiking") == {
        "sport", "sport > shoe", "outdoor", "outdoor > hiking",
    }  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(anything)
def test_what_was_read_reads_the_same_again(value: Any) -> None:
    category = read_category(value)
    if category is not None and ">" in category:
        assert set(category_paths(category)) == set(category_paths(read_category(category) or ""))
    attributes = read_attributes(value)
    assert attributes is None or None not in attributes.values()


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        ([{"name": "colour", "value": "red"}], {"colour": "red"}),
        ([{"name": "s", "value": "S"}, {"name": "s", "value": "M"}], {"s": ["S", "M"]}),
        ([{"attribute_code": "c", "value": "1"}, {"attribute_code": "s", "value": "2"}],
         {"c": "1", "s": "2"}),
        ([{"trait_type": "c", "value": "r"}], {"c": "r"}),
        ([{"attributeName": "c", "attributeValue": "r"}], {"c": "r"}),
        ([{"attribute": {"name": "c"}, "value": "Red"}], {"c": "Red"}),
        ("colour: red, size: M", {"colour": "red", "size": "M"}),
        ("colours: red, blue", {"colours": "red, blue"}),
        ([{"colour": "red"}, {"size": "M"}], {"colour": "red", "size": "M"}),
        ("{'colour': 'red', 'size': None}", {"colour": "red"}),
        ('{"colour": "red"}', {"colour": "red"}),
        ("colour=red; size=M", {"colour": "red", "size": "M"}),
        ("colour=red,size=M", {"colour": "red", "size": "M"}),
        ("colour: red | size: M", {"colour": "red", "size": "M"}),
        ({"colour": None, "size": ["S", "M"]}, {"size": ["S", "M"]}),
        ([], {}), ("red", None), ([1], None), (3, None), ("{broken", None),
    ],
)  # fmt: skip
def test_shapes_of_attributes(value: Any, attributes: dict[str, Any] | None) -> None:
    assert read_attributes(value) == attributes
