"""HTML becomes the words that a reader would see; what only looks like it stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.items.plain_text import plain
from indexes.items.records import Item, ItemReader
from indexes.items.text import ItemText


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<p>Soft light</p><p>for reading</p>", "Soft light for reading"),
        ("<b>W</b>aterproof", "Waterproof"),
        ("one<br/>two<li>three", "one two three"),
        ('<a title="x > y" href=q>link</a>', "link"),
        ('<p style="color:red>broken</p>', "broken"),
        ("<script>if (a<b) { x = '<p>' }</script>after", "after"),
        ("<STYLE type='text/css'>p > a {}</STYLE>after", "after"),
        ("<!-- note --><![CDATA[text]]>", "text"),
        ("&lt;p&gt;escaped&lt;/p&gt;", "escaped"),
        ("Black &amp;amp; Decker", "Black & Decker"),
        ("5&quot; x 3&#34; &nbsp;caf&eacute;", '5" x 3" café'),
        ("Fu&szlig;&shy;ball", "Fußball"),
        ("How to use <script>", "How to use"),
        ("<details open>more</details>", "more"),
        ("<video autoplay loop muted>clip</video>", "clip"),
        ("<div itemscope>text</div>", "text"),
    ],
)
def test_what_a_reader_would_see(text: str, words: str) -> None:
    assert plain(text) == words


@pytest.mark.parametrize(
    "text", ["a < b", "I <3 you", "a<b and c>d", "Size <XL>", "R&D", "AT&T", "x<p", "&copy 2020"]
)
def test_what_only_looks_like_html_stays(text: str) -> None:
    assert plain(text) == text


pieces = st.sampled_from(
    ["<", ">", "&", ";", "amp;", "lt;", "gt;", "<p>", "</p>", "<b>", "<script>", "</script>", "/"]
    + ["<!--", "-->", "#38;", '"', "'", "=", " ", "a", "é", "&amp;", "&lt;", " class=x"]
)


@given(st.text(max_size=60) | st.lists(pieces, max_size=25).map("".join))
def test_twice_is_once_and_never_longer(text: str) -> None:
    cleaned = plain(text)
    assert plain(cleaned) == cleaned
    assert len(cleaned) <= len(text)


@given(st.text(st.characters(exclude_characters="<&"), max_size=60))
def test_a_text_without_html_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    "text",
    ["<", "<a ", "<a b=\"", "<script>", "<!--", "<a b ", "&amp;", "&#38;#38;", "]]>", "<p "],
)  # fmt: skip
def test_a_long_run_costs_no_more_than_its_length(text: str) -> None:
    assert len(plain(text * 50_000)) <= 50_000 * len(text)  # else minutes, by the square of it


@pytest.mark.parametrize("template", ["{title} {description}", "{title} {notes}"])
def test_html_and_clean_give_the_same_item_text(template: str) -> None:
    rows = [
        {"id": "1", "title": "A &amp; B", "description": "<p>Soft</p>light", "notes": "<i>x</i>"},
        {"id": "1", "title": "A & B", "description": "Soft light", "notes": "x"},
    ]
    items: list[Item] = [ItemReader().read(1, row) for row in rows]
    assert len({ItemText(template).render(item) for item in items}) == 1
    assert items[0].description == "Soft light"
