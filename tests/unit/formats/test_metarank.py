"""Metarank's addresses, as its clients call them."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import copy_home, patient

from reranker.feedback.records import ranking_files, read_rankings
from service.app import create_app, ranking_log, served

NOW = "1790000000000"  # milliseconds, in 2026
BASE = {"id": "r1", "timestamp": NOW, "user": "u1", "session": "s1"}
SEARCH = [{"name": "query", "value": "shoes for running"}]
ITEMS = [{"id": "40"}, {"id": "15"}, {"id": "1"}, {"id": "0"}]


@pytest.fixture(scope="module")
def shop(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Of a home of its own, which keeps what is sent to it."""
    return create_app(
        patient(copy_home(trained_home, tmp_path_factory.mktemp("metarank") / "home"))
    ).test_client()


def rank(client: FlaskClient, sent: Any, path: str = "/rank/default") -> dict[str, Any]:
    answer = client.post(path, json=sent)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def interaction(number: int, **more: Any) -> dict[str, Any]:
    return {
        "event": "interaction",
        "id": f"e{number}",
        "timestamp": NOW,
        "user": "m1",
        "session": "ms1",
        "item": "17",
        "type": "click",
        **more,
    }


def test_items_come_back_best_first(client: FlaskClient) -> None:
    answer = rank(client, BASE | {"items": ITEMS, "fields": SEARCH})
    assert set(answer) == {"state", "items", "took"} and answer["state"] is None
    assert {row["item"] for row in answer["items"][:2]} == {"0", "1"}
    assert [set(row) for row in answer["items"]] == [{"item", "score", "features"}] * 4
    scores = [row["score"] for row in answer["items"]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4
    as_form = client.post(
        "/rank/default",
        data=json.dumps(BASE | {"items": ITEMS, "fields": SEARCH}),
        content_type="application/x-www-form-urlencoded",
    )
    assert as_form.get_json()["items"] == answer["items"]


def test_the_shopper_in_the_body_counts(shop: FlaskClient) -> None:
    sent = {"id": "r", "timestamp": NOW, "items": [{"id": str(n)} for n in range(0, 60, 3)]}
    nobody, known = rank(shop, sent), rank(shop, sent | {"user": "u1"})
    assert nobody["items"] != known["items"]


def test_a_relevancy_beyond_any_float_is_named(client: FlaskClient) -> None:
    items = [{"id": "40", "fields": [{"name": "relevancy", "value": 10**400}]}]
    answer = client.post("/rank/default", json={"id": "r", "timestamp": 1, "items": items})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["field"] == "relevancy"


def test_relevancy_is_the_engines_score(client: FlaskClient) -> None:
    scored = [{"id": "40", "relevancy": 1}, {"id": "41", "relevancy": 30.5}]
    assert rank(client, BASE | {"items": scored})["items"][0]["item"] == "41"
    as_fields = [
        {"id": "40", "fields": [{"name": "relevancy", "value": 1}]},
        {"id": "41", "fields": [{"name": "relevancy", "value": 30.5}], "label": 1},
    ]
    assert rank(client, BASE | {"items": as_fields})["items"][0]["item"] == "41"


def test_an_unknown_item_is_read_by_its_fields(client: FlaskClient) -> None:
    items = [
        {"id": "new1", "fields": [{"name": "title", "value": "Steel desk lamp"}]},
        {"id": "new2", "fields": [{"name": "title", "value": "Trail running shoes"}]},
    ]
    answer = rank(client, BASE | {"items": items, "fields": SEARCH})
    assert [row["item"] for row in answer["items"]] == ["new2", "new1"]


def test_explain_tells_contributions(client: FlaskClient) -> None:
    sent = BASE | {"items": ITEMS, "fields": SEARCH}
    answer = rank(client, sent, "/rank/default?explain=true")
    assert set(answer["state"]) == {"session", "user", "global", "item"}
    features = {part["name"]: part["value"] for part in answer["items"][0]["features"]}
    assert features["semantic"] > 0


def test_errors(client: FlaskClient) -> None:
    for sent in (
        BASE,
        BASE | {"items": []},
        {"items": ITEMS},
        BASE | {"items": [{}]},
        BASE | {"items": ITEMS, "timestamp": "yesterday"},
        BASE | {"items": ITEMS, "fields": [{"name": "query", "value": None}]},
        BASE | {"items": ITEMS * 2000},
    ):
        answer = client.post("/rank/default", json=sent)
        assert answer.status_code == 400, answer.text
        assert answer.get_json()["error"]["message"]
    answer = client.post("/rank/xgboost", json=BASE | {"items": ITEMS})
    assert answer.status_code == 404 and "xgboost" in answer.get_json()["error"]["message"]
    assert client.post("/train/default", json={"count": 3}).status_code == 501
    for sent in ({}, {"count": 0}, {"count": 3, "items": [""]}, {"count": 3, "user": [1]}):
        assert client.post("/recommend/default", json=sent).status_code == 400
    assert client.post("/recommend/xgboost", json={"count": 3}).status_code == 404


def test_recommendations_are_ours(shop: FlaskClient) -> None:
    ours = shop.post("/recommend", json={"context": {"cart": ["3"]}, "top_n": 4}).get_json()
    answer = shop.post("/recommend/default", json={"count": 4, "items": ["3"]}).get_json()
    assert set(answer) == {"took", "items"}
    assert [item["item"] for item in answer["items"]] == [one["id"] for one in ours["results"]]
    scores = [item["score"] for item in answer["items"]]
    assert sorted(scores, reverse=True) == scores


def test_the_ranking_keeps_the_id_that_was_sent(shop: FlaskClient) -> None:
    rank(shop, BASE | {"id": "their-id", "items": ITEMS, "fields": SEARCH})
    app = shop.application
    ranking_log(app).flush()
    folder = served(app)._workspace.home / "rankings"
    logged = read_rankings(ranking_files(folder), on_bad=lambda *bad: None)
    assert "their-id" in {line.id for line in logged}


def test_feedback_keeps_what_has_an_effect_and_counts_the_rest(shop: FlaskClient) -> None:
    fields = [{"name": "price", "value": 9.5}, {"name": "tags", "value": ["a", "b"]}]
    sent = [
        interaction(1),
        interaction(2, type="purchase", tenant="default"),
        {"event": "item", "id": "i1", "timestamp": NOW, "item": "17", "fields": fields},
        {"event": "metadata", "id": "i2", "timestamp": NOW, "item": "17"},
        {"event": "user", "id": "x", "timestamp": NOW, "user": "m1", "fields": fields},
        BASE | {"event": "ranking", "id": "r2", "items": [{"id": "17"}], "fields": SEARCH},
        BASE | {"event": "ranking", "id": "r3", "items": [{"id": "17"}]},
    ]
    answer = shop.post("/feedback", json=sent).get_json()
    assert answer.pop("tookMillis") >= 0
    assert answer == {"status": "ok", "accepted": 7, "updated": 3, "rejected": []}
    kept = served(shop.application).histories.recent(user="m1")
    assert sorted(event.type for event in kept) == ["purchase", "view"]


def test_one_bad_event_costs_only_itself(shop: FlaskClient) -> None:
    sent = [
        interaction(10),
        interaction(11, type="waved"),
        interaction(12, item=None),
        {"event": "nothing"},
        17,
        interaction(13, timestamp="never"),
        interaction(14, fields=[{"name": "a", "value": {}}]),
        interaction(15),
    ]
    answer = shop.post("/feedback", json=sent).get_json()
    assert (answer["accepted"], answer["updated"]) == (2, 2)
    assert [bad["position"] for bad in answer["rejected"]] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("between", ["\n", "", " \n\n ", "\r\n"])
def test_events_may_come_one_after_the_other(shop: FlaskClient, between: str) -> None:
    for indent in (None, 2):
        body = between.join(json.dumps(interaction(n), indent=indent) for n in range(20, 23))
        answer = shop.post("/feedback", data=body).get_json()
        assert answer["accepted"] == 3, answer
    single = shop.post("/feedback", json=interaction(30)).get_json()
    assert single["accepted"] == 1


@pytest.mark.parametrize("body", [b"", b"nothing", b"{", b'{"event":"user"} x', b"\xff", b"7"])
def test_what_is_no_json_is_refused(shop: FlaskClient, body: bytes) -> None:
    answer = shop.post("/feedback", data=body)
    if answer.status_code == 200:
        assert answer.get_json()["accepted"] == 0
    else:
        assert answer.status_code == 400 and answer.get_json()["error"]["code"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part),
    max_leaves=8,
)
names = st.sampled_from(["id", "timestamp", "user", "session", "fields", "items", "event", "type"])


@settings(max_examples=60)
@given(
    model=st.sampled_from(["default", "nobody", "a@1", "@", "default@9"]),
    more=st.dictionaries(names, json_values, max_size=3),
    items=st.lists(
        st.sampled_from(ITEMS) | st.fixed_dictionaries({"id": st.text(max_size=9) | json_values})
    ),
)
def test_any_body_is_answered_or_refused(
    shop: FlaskClient, model: str, more: dict[str, Any], items: list[Any]
) -> None:
    answer = shop.post(f"/rank/{model}", json=BASE | {"items": items} | more)
    if answer.status_code == 200:
        sent = (BASE | {"items": items} | more)["items"]
        assert len(answer.get_json()["items"]) == len(sent)
    else:
        assert answer.status_code in (400, 404), answer.text
    events = [interaction(40) | more, *items, BASE | more | {"event": "ranking"}]
    answer = shop.post("/feedback", json=events)
    assert answer.status_code == 200, answer.text
    said = answer.get_json()
    assert said["accepted"] + len(said["rejected"]) == len(events)
