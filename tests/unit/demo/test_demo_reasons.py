"""Why an item stands higher for a shopper, in words that are true of their history."""

from pathlib import Path

import pytest

from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from reranker.requests import Event
from service.demo.reasons import Reasons


@pytest.fixture(scope="module")
def index(shop_home: Path) -> ItemIndex:
    """Five brands of twelve things each: items 0 to 4 are shoes, 5 to 9 jackets, and so on."""
    version = VersionStore(shop_home / "index").current()
    assert version
    return ItemIndex(version)


def why(index: ItemIndex, item: str, **did: str) -> str:
    """did: v3="view": item 3 was viewed."""
    events = [Event(type=kind, item=name[1:]) for name, kind in did.items()]
    return Reasons(index, [Event(type="search", query="shoes"), *events]).of(item)


def test_what_was_done_with_the_item_itself_comes_first(index: ItemIndex) -> None:
    assert why(index, "0", v0="view", v1="view") == "because you looked at it before"
    assert why(index, "0", v0="cart") == "because you put it in the cart before"
    events = [Event(type=kind, item="0") for kind in ("view", "purchase", "view")]
    assert Reasons(index, events).of("0") == "because you bought it before"


def test_then_its_shelf_then_its_brand_then_nothing(index: ItemIndex) -> None:
    assert why(index, "0", v1="view", v2="view") == "because you looked at two shoes"
    assert why(index, "0", v1="view") == "because you looked at one of the shoes"
    both = why(index, "0", v1="cart", v2="cart", v5="view")
    assert both == "because you put two shoes, and one by Arvo in the cart"
    assert why(index, "0", v5="purchase", v10="view") == "because you looked at two things by Arvo"
    assert why(index, "0", v6="view") == why(index, "0") == why(index, "nowhere", v0="view") == ""


def test_new_of_a_liked_kind_means_brand_and_shelf_and_never_met(index: ItemIndex) -> None:
    met = [Event(type="view", item=item) for item in ("1", "2", "5", "nowhere")]
    assert not Reasons(index, met).is_new_of_a_liked_kind("0")
