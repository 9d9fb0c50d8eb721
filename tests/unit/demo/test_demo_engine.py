"""The demo's BM25 engine: finds, orders, and never chokes on what a shopper types."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.demo.shop.draw import streams
from service.demo.shop.items import Shop, make_shop
from service.page.parts.engine import Engine


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(streams(3, 1)[0], per_kind=6)


@pytest.fixture(scope="module")
def engine(shop: Shop) -> Engine:
    engine = Engine()
    engine.add(shop.lines())
    return engine


def test_words_of_the_title_are_found(engine: Engine, shop: Shop) -> None:
    for row in range(0, len(shop), 97):
        assert shop.ids[row] in [item for item, _ in engine.search(shop.titles[row], 20)]


def test_a_model_number_finds_its_item(engine: Engine, shop: Shop) -> None:
    rows = [row for row, facts in enumerate(shop.facts) if facts.model][:20]
    for row in rows:
        found = [item for item, _ in engine.search(shop.facts[row].model, 3)]
        assert shop.ids[row] in found  # not always first: its brand's other numbers begin alike


def test_best_first_and_no_more_than_asked(engine: Engine) -> None:
    found = engine.search("running shoes", 7)
    scores = [score for _, score in found]
    assert len(found) == 7
    assert scores == sorted(scores, reverse=True)
    assert engine.search("running shoes", 3) == found[:3]


def test_equal_scores_keep_the_order_of_adding() -> None:
    engine = Engine()
    engine.add({"id": name, "title": "the same lamp"} for name in ("b", "c", "a"))
    assert [item for item, _ in engine.search("lamp")] == ["b", "c", "a"]


def test_adding_again_replaces() -> None:
    engine = Engine()
    engine.add([{"id": "1", "title": "lamp"}, {"id": "2", "title": "lamp"}])
    engine.add([{"id": "3", "title": "lamp"}])
    assert [item for item, _ in engine.search("lamp")] == ["3"]


def test_a_folder_gives_the_same_answers(engine: Engine, shop: Shop, tmp_path: Path) -> None:
    stored = Engine(tmp_path / "engine")
    stored.add(shop.lines())
    assert stored.search("wool blanket") == engine.search("wool blanket")


@given(st.text(max_size=60))
def test_any_text_can_be_searched(engine: Engine, query: str) -> None:
    found = engine.search(query, 5)
    assert len({item for item, _ in found}) == len(found) <= 5


@pytest.mark.parametrize("query", ["", "  ", "!!", "AND", '"', "title:(", "a -b +c", "qqqqqq"])
def test_query_syntax_means_nothing(engine: Engine, query: str) -> None:
    assert all(score > 0 for _, score in engine.search(query))
