"""The Shoppers tab without a browser: it shows what the routes answer, edited or not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.page import CALLBACK, call
from support.shop import copy_home, patient

from service.app import create_app

OUTPUTS = {
    "recommendations": "shopper-recommendations",
    "cart": "shopper-cart",
    "churn": "shopper-churn",
    "next": "shopper-next",
    "seen": "shopper-seen",
}


class Tab:
    """Callbacks of the tab, as a browser calls them."""

    def __init__(self, home: Path) -> None:
        self.client: FlaskClient = create_app(patient(home)).test_client()
        self.callbacks = self.client.get("/_dash-dependencies").get_json()

    def show(self, card: str, user: str, **edits: Any) -> dict[str, Any]:
        """What stands in a card; `shopper-seen` for the timeline."""
        name = OUTPUTS[card]
        callback = next(one for one in self.callbacks if f"{name}." in one["output"])
        case = {"user": user, "edits": edits or None}
        answer = self.client.post(CALLBACK, json=call(callback, [case], []))
        assert answer.status_code == 200, answer.text
        response: dict[str, Any] = answer.get_json()["response"]
        return response

    def items(self, card: str, user: str, **edits: Any) -> list[str]:
        """Ids of the items in a card, in the order in which they stand."""
        shown = json.dumps(self.show(card, user, **edits)[OUTPUTS[card]])
        return re.findall(r'"title": "[^"]*\\n(\d+)"', shown)

    def recommended(self, **body: Any) -> list[str]:
        answer = self.client.post("/recommend", json={"top_n": 8, **body}).get_json()
        return [result["id"] for result in answer["results"]]


@pytest.fixture(scope="module")
def tab(trained_home: Path) -> Tab:
    return Tab(trained_home)


def test_the_cards_show_what_the_routes_answer(tab: Tab) -> None:
    seen = tab.show("seen", "u3")["shopper-seen"]["data"]
    assert [event["item"] for event in seen["history"]] == ["13", "8", "3"]
    assert [event["begins"] for event in seen["history"]] == [True, False, False]
    assert tab.items("recommendations", "u3") == tab.recommended(user="u3", as_of=seen["now"])
    answer = tab.client.post("/next-action", json={"user": "u3", "time": seen["now"]}).get_json()
    assert answer["degraded"][0]["reason"] == "too_few_visits"
    assert "read too few visits" in json.dumps(tab.show("next", "u3"))
    [lacking] = tab.client.get("/users/u3/churn").get_json()["degraded"]
    assert lacking["message"].partition("`")[0] in str(tab.show("churn", "u3"))


def test_edits_count_in_every_card(tab: Tab) -> None:
    seen = tab.show("seen", "u3")["shopper-seen"]["data"]
    newest, *rest = seen["history"]
    added = {"type": "cart", "item": "30", "time": seen["now"] - 1}
    edits = {"without": [newest["key"]], "added": [added]}
    edited = tab.show("seen", "u3", **edits)["shopper-seen"]["data"]["history"]
    assert [event["item"] for event in edited] == ["30", "8", "3"]
    assert [event["stored"] for event in edited] == [False, True, True]
    history = [
        {name: event[name] for name in ("type", "item", "time")} for event in (*rest[::-1], added)
    ]
    wanted = tab.recommended(history=history, as_of=seen["now"])
    assert tab.items("recommendations", "u3", **edits) == wanted != tab.recommended(user="u3")
    assert tab.items("cart", "u3", **edits)[0] == "30"
    assert "nothing in the cart" in json.dumps(tab.show("cart", "u3"))
    emptied = tab.show("seen", "u3", emptied=True)["shopper-seen"]["data"]
    assert emptied["history"] == []


def test_who_is_unknown_and_what_is_missing_are_named(tab: Tab, own_home: Path) -> None:
    shown = json.dumps(tab.show("seen", "nobody"))
    assert "No event of a shopper" in shown and "Traceback" not in shown
    assert tab.items("recommendations", "nobody") == tab.recommended()
    assert "Nothing is known of this shopper" in json.dumps(tab.show("recommendations", "nobody"))
    untrained = Tab(own_home)
    for card in ("churn", "next"):
        assert "reranker train" in json.dumps(untrained.show(card, "u3")), card


def test_histories_that_cannot_be_read_are_said_in_each_card(
    trained_home: Path, tmp_path: Path
) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    for file in (home / "events").glob("history.db*"):
        file.write_bytes(b"no database at all" * 1000)
    tab = Tab(home)
    for card in OUTPUTS:
        assert "That did not work" in json.dumps(tab.show(card, "u3")), card
