"""The text of an item, as its template says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.records import Item
from indexes.items.text import DEFAULT_TEMPLATE, ItemText

MUG = Item(
    id="p1",
    title="Red mug",
    description="Holds\ntea",
    brand="Acme",
    category="Home > Kitchen",
    price=12.0,
    attributes={
        "colour": "red",
        "volume ml": 300.0,
        "dishwasher": True,
        "glaze": None,
        "uses": ["tea", "soup"],
        "size": {"height": 9.5, "note": ""},
    },
    available=False,
    extra={"season": "autumn", "empty": "", "stock": 3},
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (DEFAULT_TEMPLATE, "Red mug Acme Home > Kitchen Holds tea"),
        ("{brand}: {title}", "Acme: Red mug"),
        ("  {title}\n\n{brand} ", "Red mug Acme"),
        ("{attributes.colour} {title}", "red Red mug"),
        ("{attributes.volume ml} ml", "300 ml"),
        ("{attributes.dishwasher}|{attributes.uses}|{attributes.size}", "yes|tea soup|height 9.5"),
        ("{title} {attributes.glaze} {attributes.nowhere} {nowhere} {empty} mug", "Red mug mug"),
        ("{season} {stock} {price} {available} {image}", "autumn 3 12 no"),
        ("{{{id}}}", "{p1}"),
        (
            "{attributes}",
            "colour red volume ml 300 dishwasher yes uses tea soup size height 9.5",
        ),
    ],
)
def test_rendering(template: str, text: str) -> None:
    assert ItemText(template).render(MUG) == text


def test_what_an_item_lacks_leaves_no_space() -> None:
    assert ItemText().render(Item("1", "mug", description="nice")) == "mug nice"
    assert ItemText("{brand} {title}").render(Item("1", "mug")) == "mug"


@pytest.mark.parametrize(
    "template",
    [
        "", "no names", "{", "{title", "title}", "{}", "{0}", "{title!r}", "{price:.2f}",
        "{title.__class__}", "{attributes[colour]}", "{attributes.}", "{__class__.__init__}",
        "{title:{brand}}",
    ],
)  # fmt: skip
def test_a_malformed_template_is_named(template: str) -> None:
    with pytest.raises(Failure, match="is malformed") as raised:
        ItemText(template)
    assert repr(template) in str(raised.value)
    assert raised.value.field == "rebuild.template"


def test_no_python_attribute_can_be_reached() -> None:
    assert ItemText("{__class__}{__dict__}{title}").render(MUG) == "Red mug"


texts = st.text(max_size=12)
values = st.none() | texts | st.booleans() | st.floats() | st.integers()


@given(
    title=texts, brand=texts, category=texts, description=texts,
    attributes=st.dictionaries(texts, values),
)  # fmt: skip
def test_all_words_in_order_with_single_spaces(
    title: str, brand: str, category: str, description: str, attributes: dict[str, object]
) -> None:
    item = Item("1", title, description, brand, category, attributes=attributes)
    expected = " ".join(f"{title} {brand} {category} {description}".split())
    assert ItemText().render(item) == expected
    rendered = ItemText("{title} {attributes}").render(item)
    assert rendered == " ".join(rendered.split())


@given(st.text(max_size=30))
def test_any_template_renders_or_is_refused(template: str) -> None:
    try:
        text = ItemText(template)
    except Failure:
        return
    assert isinstance(text.render(MUG), str)
