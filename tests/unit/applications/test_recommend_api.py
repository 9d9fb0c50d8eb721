"""POST /recommend, similar items and trending, as a shop meets them."""

import json
import math
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.shop import Rerank, small_shop

from reranker.runtime.refreshed import Refreshed
from service.app import ranking_log

ITEMS = {item["id"]: item for item in small_shop()}
KINDS = {"viewed", "carted", "bought", "searched", "together", "similar", "popular", "new"}
WHO: tuple[dict[str, Any], ...] = (
    {},
    {"user": "u3"},
    {"user": "nobody"},
    {"session": "s9"},
    {"user": "u3", "personalize": False},
    {"history": [{"type": "view", "item": "7"}]},
    {"history": [{"type": "search", "query": "desk lamp"}]},
    {"history": []},
)
CONTEXTS: tuple[dict[str, Any], ...] = (
    {},
    {"item": "2"},
    {"item": "not there"},
    {"cart": ["3", 4]},
    {"category": "Sport > Shoes"},
    {"query": "tea kettle"},
)


@given(
    who=st.sampled_from(WHO),
    context=st.sampled_from(CONTEXTS),
    category=st.sampled_from((None, "Sport", "Audio > Headphones")),
    brand=st.sampled_from((None, ["Arvo"], ["fell", "Orm"])),
    price=st.sampled_from((None, {"min": 20}, {"min": 15.5, "max": 60})),
    available=st.sampled_from((None, True)),
    items=st.sampled_from(([], ["0", "1", "26"])),
    top_n=st.integers(1, 70),
    diversity=st.sampled_from((None, 0, 0.5, 1)),
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_answer_is_filled_and_holds_its_filters(
    recommend: Rerank, who: Any, context: Any, top_n: int, diversity: Any, **asked: Any
) -> None:
    filters = {name: asked[name] for name in ("category", "brand", "price", "available")}
    answer = recommend(
        {
            **who,
            "context": context,
            "filters": filters,
            "exclude": {"items": asked["items"]},
            "top_n": top_n,
            "diversity": diversity,
            "explain": True,
        }
    )
    ids = [result["id"] for result in answer["results"]]
    expected = {
        name
        for name, item in ITEMS.items()
        if _passes(item, filters) and name not in asked["items"] and name != context.get("item")
    }
    assert set(ids) <= expected and len(set(ids)) == len(ids) == min(top_n, len(expected))
    assert [result["rank"] for result in answer["results"]] == list(range(1, len(ids) + 1))
    for result in answer["results"]:
        parts = result["explanation"]["contributions"].values()
        assert math.isclose(sum(parts), result["score"], abs_tol=1e-9)
        assert result["reason"]["kind"] in KINDS and result["reason"]["text"]
        assert result["reason"].get("item", "0") in ITEMS


def _passes(item: dict[str, Any], filters: dict[str, Any]) -> bool:
    price = filters["price"] or {}
    return (
        item["category"].startswith(filters["category"] or "")
        and (not filters["brand"] or item["brand"].lower() in map(str.lower, filters["brand"]))
        and price.get("min", 0) <= item["price"] <= price.get("max", 1e9)
        and (filters["available"] is None or item["available"])
    )


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({"user": "u3"}, "personal"),
        ({"history": [{"type": "view", "item": "7"}]}, "personal"),
        ({"context": {"item": "2"}}, "together"),
        ({"context": {"category": "Sport > Shoes"}}, "popular_in_category"),
        ({"user": "nobody"}, "popular"),
        ({}, "popular"),
        ({"filters": {"category": "Toys > Games", "price": {"min": 69}}}, "newest"),
    ],
)
def test_the_answer_says_which_fallback_it_is(
    recommend: Rerank, body: dict[str, Any], source: str
) -> None:
    assert recommend(body | {"top_n": 3})["source"] == source


def test_an_acknowledged_event_changes_the_next_answer(
    trained_client: FlaskClient, recommend: Rerank
) -> None:
    body = {"session": "fresh", "top_n": 5}
    before = recommend(body)
    event = {"session": "fresh", "type": "view", "item": "3", "time": "2024-10-05T00:00:00Z"}
    assert trained_client.post("/events", json=event).get_json()["accepted"] == 1
    after = recommend(body)
    assert (before["source"], after["source"]) == ("popular", "session")
    assert any(result["reason"].get("item") == "3" for result in after["results"])
    as_of = recommend(body | {"as_of": "2024-10-04T00:00:00Z"})
    assert (as_of["source"], as_of["results"]) == ("popular", before["results"])


def test_an_answer_is_logged_as_one_of_rerank_is(
    trained_client: FlaskClient, recommend: Rerank
) -> None:
    answer = recommend({"user": "u3", "top_n": 4})
    log = ranking_log(trained_client.application)
    log.flush()
    lines = [line for file in log._folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    [logged] = [line for line in map(json.loads, lines) if line["id"] == answer["id"]]
    assert logged["items"] == [result["id"] for result in answer["results"]]
    assert logged["blend"].startswith("recommend@")
    assert abs(logged["time"] - time.time()) < 3600  # not that of the newest event, years ago


def test_the_blend_is_its_own_unless_another_is_named(recommend: Rerank) -> None:
    own = recommend({"user": "u3"})
    assert (own["blend"]["name"], own["blend"]["version"]) == ("recommend", 1)
    assert recommend({"user": "u3", "blend": "recommend"})["results"] == own["results"]
    assert recommend({"user": "u3", "blend": "default"})["blend"]["name"] == "default"
    assert own["degraded"] == []  # what reads a search is not asked for on a page without one


def test_what_was_bought_is_left_out_where_that_is_asked_for(
    trained_client: FlaskClient, recommend: Rerank
) -> None:
    events = [
        {"user": "b", "type": "purchase", "item": "11", "time": "2024-10-01T00:00:00Z"},
        {"user": "b", "type": "purchase", "item": "12", "time": "2024-10-01T00:00:00Z"},
        {"user": "b", "type": "cancel", "item": "12", "time": "2024-10-02T00:00:00Z"},
        {"user": "b", "type": "cart", "item": "13", "time": "2024-10-03T00:00:00Z"},
    ]
    assert trained_client.post("/events", json=events).get_json()["accepted"] == 4
    left_out = set(ITEMS)
    answer = recommend({"user": "b", "top_n": 60, "exclude": {"bought": True, "in_cart": True}})
    left_out -= {result["id"] for result in answer["results"]}
    assert left_out == {"11", "13"}


def test_not_personalised_is_as_for_nobody(recommend: Rerank) -> None:
    nobody = recommend({"context": {"item": "2"}})
    known = recommend({"user": "u3", "context": {"item": "2"}, "personalize": False})
    assert (known["results"], known["source"]) == (nobody["results"], nobody["source"])


def test_a_budget_that_is_over_still_brings_items(recommend: Rerank) -> None:
    answer = recommend({"user": "u3", "budget_ms": 0.001, "top_n": 7})
    assert len(answer["results"]) == 7
    assert {"signal": "history", "reason": "deadline"} in answer["degraded"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"top_n": 0}, "top_n"),
        ({"diversity": 1.5}, "diversity"),
        ({"candidates": []}, "candidates"),
        ({"filters": {"colour": "red"}}, "filters.colour"),
        ({"filters": {"price": {"min": 9, "max": 1}}}, "filters.price.min"),
        ({"context": {"cart": [""]}}, None),
        ({"as_of": "yesterday"}, "as_of"),
        ({"weights": {"behavior": 1}}, "weights.behavior"),
        ({"blend": "none such"}, "blend"),
    ],
)
def test_what_cannot_be_meant_is_named(
    trained_client: FlaskClient, body: dict[str, Any], field: str | None
) -> None:
    answer = trained_client.post("/recommend", json=body)
    if field is None:
        assert answer.status_code == 200  # an empty id is none, as elsewhere
    else:
        assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, field)


@pytest.mark.parametrize("by", ["text", "behaviour", "both"])
def test_similar_items(trained_client: FlaskClient, by: str) -> None:
    answer = trained_client.get(f"/items/2/similar?by={by}&top_n=4").get_json()
    ids = [result["id"] for result in answer["results"]]
    assert len(set(ids)) == 4 and "2" not in ids
    if by == "text":
        assert {ITEMS[name]["brand"] for name in ids} == {"Nimbus"}  # named twice in each text
        assert answer["results"][0]["reason"]["kind"] == "similar"
    if by == "behaviour":
        assert ids[0] == "7"  # who bought 2 looked at 7
    assert trained_client.get("/items/none/similar").status_code == 404
    assert trained_client.get("/items/2/similar?by=x").get_json()["error"]["field"] == "by"


def test_trending_is_of_the_newest_week(trained_client: FlaskClient) -> None:
    day = 20_000 * 86_400
    events = [{"user": f"t{n}", "type": "view", "item": "44", "time": day + n} for n in range(3)]
    assert trained_client.post("/events", json=events).get_json()["accepted"] == 3
    answer = trained_client.get(f"/trending?top_n=3&as_of={day + 10}").get_json()
    assert answer["results"][0]["id"] == "44" and len(answer["results"]) == 3
    assert answer["degraded"] == []
    empty = trained_client.get("/trending?as_of=2001-01-01").get_json()
    assert empty["results"] and empty["degraded"][0]["signal"] == "trending"
    wrong = trained_client.get("/trending?window_days=0")
    assert (wrong.status_code, wrong.get_json()["error"]["field"]) == (422, "window_days")


def test_trending_is_of_the_training_until_the_histories_are_read(
    trained_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refreshed, "__call__", lambda _self, _until: None)
    answer = trained_client.get("/trending?top_n=3&window_days=28").get_json()
    assert answer["degraded"] == [{"signal": "trending", "reason": "as_of_training"}]
    assert len(answer["results"]) == 3 and answer["results"][0]["score"] > 0


def test_without_a_model_there_is_an_answer(client: FlaskClient) -> None:
    for body in ({}, {"history": [{"type": "view", "item": "2"}]}, {"context": {"item": "2"}}):
        answer = client.post("/recommend", json=body).get_json()
        assert len(answer["results"]) == 20
    assert client.get("/trending").get_json()["results"]
    assert client.get("/items/2/similar").get_json()["results"]
