"""POST /cart: what completes a cart, what comes next, and whether it is ordered."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.cart_shop import NEWEST, cart_shop
from support.shop import built_once, patient

from service.app import create_app


@pytest.fixture(scope="module")
def shop(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    home = built_once(tmp_path_factory, "carts", partial(cart_shop, shop_home))
    return create_app(patient(home)).test_client()


def asked(shop: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = shop.post("/cart", json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.get_json()
    return content


def ids(results: list[dict[str, Any]]) -> list[str]:
    return [result["id"] for result in results]


def test_what_is_bought_with_it_completes_a_cart(shop: FlaskClient) -> None:
    answer = asked(shop, cart=[{"item": "1", "quantity": 2}], explain=True)
    first = answer["complete"][0]
    assert first["id"] == "16" and first["rank"] == 1
    assert first["reason"]["kind"] == "together" and first["reason"]["item"] == "1"
    assert first["reason"]["text"].startswith("bought together with ")
    assert answer["cart"] == [{"item": "1", "quantity": 2.0}]
    for result in answer["complete"] + answer["next"]:
        parts = result["explanation"]["contributions"]
        assert sum(parts.values()) == pytest.approx(result["score"])


@pytest.mark.parametrize("cart", [[], ["1"], ["1", "16", "21"], [str(at) for at in range(30)]])
def test_both_lists_are_full_and_nothing_of_the_cart_completes_it(
    shop: FlaskClient, cart: list[str]
) -> None:
    answer = asked(shop, cart=[{"item": item} for item in cart], user="u3", top_n=15)
    for results in (answer["complete"], answer["next"]):
        assert len(set(ids(results))) == 15
        assert [result["rank"] for result in results] == list(range(1, 16))
    assert not set(ids(answer["complete"])) & set(cart)


def test_other_running_shoes_only_replace_those_in_the_cart(shop: FlaskClient) -> None:
    answer = asked(shop, cart=[{"item": "1"}], top_n=30)
    assert not {"0", "2", "3", "4"} & set(ids(answer["complete"]))


def test_without_a_cart_it_is_what_the_events_left_in_it(shop: FlaskClient) -> None:
    history = [
        {"type": "cart", "item": "1", "time": NEWEST},
        {"type": "cart", "item": "16", "quantity": 2, "time": NEWEST + 1},
    ]
    assert ids_of_cart(asked(shop, history=history)) == ["1", "16"]
    gone = [*history, {"type": "uncart", "item": "16", "quantity": 2, "time": NEWEST + 2}]
    answer = asked(shop, history=gone)
    assert ids_of_cart(answer) == ["1"] and ids(answer["complete"])[0] == "16"


def ids_of_cart(answer: dict[str, Any]) -> list[str]:
    return [line["item"] for line in answer["cart"]]


def test_an_acknowledged_uncart_changes_the_next_answer(shop: FlaskClient) -> None:
    for kind, items in (("cart", ["1"]), ("cart", ["1", "16"]), ("uncart", ["1"])):
        event = {"type": kind, "item": "1" if kind == "uncart" or len(items) == 1 else "16"}
        event |= {"user": "new", "time": NEWEST + {"1": 0, "16": 1}[event["item"]]}
        event["time"] += 2 * (kind == "uncart")
        assert shop.post("/events", json=event).get_json()["accepted"] == 1
        items = ["16"] if kind == "uncart" else items
        assert ids_of_cart(asked(shop, user="new")) == items


def test_ordered_tells_the_carts_that_are_ordered(shop: FlaskClient) -> None:
    def chance(*steps: tuple[str, str]) -> float:
        history = [
            {"type": kind, "item": item, "time": NEWEST + 60 * at}
            for at, (kind, item) in enumerate(steps)
        ]
        value = asked(shop, history=history)["ordered"]
        assert 0 < value < 1
        return float(value)

    filled = [("view", "21"), ("cart", "21"), ("cart", "26")]
    assert chance(*filled) > 0.3 > chance(*filled, ("uncart", "26"), ("view", "26"))
    assert asked(shop, cart=[])["ordered"] is None


def test_a_price_weight_brings_dearer_items_up(shop: FlaskClient) -> None:
    plain = asked(shop, cart=[{"item": "1"}])["complete"]
    dear = asked(shop, cart=[{"item": "1"}], weights={"price": 1000})["complete"]
    assert int(dear[0]["id"]) >= int(plain[0]["id"])


def test_one_component_can_be_asked_alone(shop: FlaskClient) -> None:
    answer = asked(shop, cart=[{"item": "1"}], blend="cosine", explain=True)
    for result in answer["complete"]:
        assert set(result["explanation"]["contributions"]) <= {"cosine", "popular", "filled"}
    plain = asked(shop, cart=[{"item": "1"}])
    assert asked(shop, cart=[{"item": "1"}], blend="fitted")["complete"] == plain["complete"]


def test_events_from_as_of_on_do_not_count(shop: FlaskClient) -> None:
    history = [{"type": "cart", "item": item, "time": NEWEST + int(item)} for item in ("1", "16")]
    assert ids_of_cart(asked(shop, history=history, as_of=NEWEST + 16)) == ["1"]
    assert ids_of_cart(asked(shop, history=history, time=NEWEST + 16)) == ["1"]


def test_a_home_without_a_model_says_so_and_still_answers(client: FlaskClient) -> None:
    answer = asked(client, cart=[{"item": "1"}, {"item": "nothing"}])
    assert len(answer["complete"]) == 10 and "1" not in ids(answer["complete"])
    assert answer["ordered"] is None
    reasons = {one["signal"]: one["reason"] for one in answer["degraded"]}
    assert reasons["complete"] == reasons["ordered"] == "no_model"
    assert reasons["cart"] == "not_in_index"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cart": [{"item": ""}]}, "cart[0].item"),
        ({"cart": [{"item": "1", "quantity": 0}]}, "cart[0].quantity"),
        ({"weights": {"colour": 1}}, "weights.colour"),
        ({"top_n": -1}, "top_n"),
        ({"basket": []}, "basket"),
        ({"blend": "default"}, "blend"),
        ({"as_of": 1, "time": 1}, "as_of"),
    ],
)
def test_what_is_wrong_is_named(shop: FlaskClient, body: dict[str, Any], field: str) -> None:
    answer = shop.post("/cart", json=body)
    assert answer.status_code == 422
    assert answer.get_json()["error"].get("field") == field
