"""POST /events with bodies of other systems' logs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import copy_home, patient

from reranker.feedback.records import ranking_files, read_rankings
from reranker.log_formats.formats import FORMATS
from service.app import create_app, served

AT = "2026-11-20T10:00:00.000Z"
CLICK: dict[str, Any] = {
    "action_name": "click",
    "query_id": "q1",
    "client_id": "c1",
    "timestamp": AT,
    "event_attributes": {"object": {"object_id": 17}},
}
QUERY = {
    "query_id": "q1",
    "user_query": "shoes",
    "client_id": "c1",
    "timestamp": AT,
    "object_id_field": "id",
    "query_response_hit_ids": ["3", "17"],
}


@pytest.fixture
def home(shop_home: Path, tmp_path: Path) -> Path:
    return copy_home(shop_home, tmp_path / "home")


@pytest.fixture
def shop(home: Path) -> Iterator[FlaskClient]:
    app = create_app(patient(home))
    yield app.test_client()
    served(app).histories.close()


@pytest.mark.parametrize("shape", ["array", "lines", "bulk"])
def test_ubi_is_told_and_kept(shop: FlaskClient, home: Path, shape: str) -> None:
    rows: list[dict[str, Any]] = [QUERY, CLICK, CLICK | {"timestamp": "soon"}]
    if shape == "bulk":
        rows = [part for row in rows for part in ({"index": {"_index": "ubi"}}, row)]
    text = json.dumps(rows) if shape == "array" else "\n".join(map(json.dumps, rows))
    answer = shop.post("/events", data=text).get_json()
    [bad] = answer.pop("rejected")
    assert bad["field"] == "time" and bad["position"] == len(rows) - 1
    kept = {"accepted": 2, "duplicates": 0, "conflicts": 0, "bot_like": 0}
    assert answer == kept | {"format": "ubi", "rankings": 1}
    [ranking] = read_rankings(ranking_files(home / "rankings"), pytest.fail)
    assert (ranking.id, ranking.items) == ("q1", ["3", "17"])
    events = served(shop.application).histories.recent(user="c1")
    assert [(event.type, event.item, event.ranking) for event in events] == [
        ("search", None, "q1"),
        ("view", "17", "q1"),
    ]


def test_a_format_and_a_map_may_be_named(shop: FlaskClient) -> None:
    row = {"sku": 17, "customer": "m1", "at": AT}
    said = "/events?map=item=sku,user=customer,time=at&map=type==purchase"
    answer = shop.post(said, json=[row, row | {"at": "never"}]).get_json()
    assert (answer["accepted"], answer["format"]) == (1, "columns")
    assert shop.post("/events?format=ubi", json={"what": 1}).get_json()["rejected"]
    for wrong in ("format=excel", "map=colour=x", "format=events&map=user=a"):
        refused = shop.post(f"/events?{wrong}", json=CLICK)
        assert refused.status_code == 422 and refused.get_json()["error"]["field"] in wrong
    own = {"user": "u", "type": "view", "item": "17", "time": AT, "colour": "red"}
    answer = shop.post("/events", json=own).get_json()  # a misspelling is still one
    assert answer["rejected"][0]["field"] == "colour" and "format" not in answer


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_of_quite_another_build_costs_itself(shop: FlaskClient, name: str) -> None:
    odd: list[Any] = [[], {}, [{}], [[1]], {"a": [None]}, 5, True, "x", None]
    keys = (
        *CLICK,
        *QUERY,
        "event",
        "items",
        "event_name",
        "event_params",
        "eventType",
        "visitorId",
    )
    keys += ("productDetails", "fields", "product_id", "order_id", "Quantity", "Invoice", "item")
    rows = [dict.fromkeys(keys, value) for value in odd]
    rows += [{"event": kind, "items": [[]], "fields": [5]} for kind in ("ranking", "user", "x")]
    answer = shop.post(f"/events?format={name}", json=rows)
    assert answer.status_code == (422 if name == "instacart" else 200), answer.text


@pytest.mark.parametrize("value", ["[1]", "{}", "1" + "0" * 400, "null", "true"])
@pytest.mark.parametrize("name", ["event", "action_name", "event_name", "eventType", "invoice"])
def test_what_no_format_knows_is_told_from_all_of_them(
    shop: FlaskClient, name: str, value: str
) -> None:
    row = f'{{"{name}": {value}, "timestamp": {value}, "event_timestamp": 1, "visitorId": "v"}}'
    assert shop.post("/events", data=row).status_code == 200


def test_a_number_beyond_any_float_costs_its_row(shop: FlaskClient) -> None:
    good = {"invoice": "123456", "stockcode": "85123A", "quantity": 6, "customerid": 17850}
    good |= {"invoicedate": "12/1/2010 8:26", "price": 2.5}
    rows = [good | {"quantity": 10**400}, good]
    answer = shop.post("/events?format=online-retail", json=rows)
    assert answer.status_code == 200, answer.text
    assert [bad["position"] for bad in answer.get_json()["rejected"]] == [0]
    assert answer.get_json()["accepted"] == 1


def test_impressions_without_a_time_cost_only_their_own_ranking(
    shop: FlaskClient, home: Path
) -> None:
    seen = CLICK | {"action_name": "impression", "query_id": "q8"}
    timeless = {name: value for name, value in seen.items() if name != "timestamp"}
    rows = [timeless | {"query_id": "q7"}, seen, QUERY]
    answer = shop.post("/events?format=ubi", json=rows).get_json()
    kept = read_rankings(ranking_files(home / "rankings"), pytest.fail)
    assert sorted(ranking.id for ranking in kept) == ["q1", "q8"]
    assert answer["rankings"] == 2 and "time" in answer["warnings"][0]


def test_lines_that_need_a_file_say_so(shop: FlaskClient) -> None:
    answer = shop.post("/events?format=instacart", json={"order_id": 1, "product_id": 2})
    error = answer.get_json()["error"]
    assert (answer.status_code, error["field"]) == (422, "format")
    assert "None" not in error["message"] and "reranker events import" in error["message"]


def test_feedback_logs_rankings(shop: FlaskClient, home: Path) -> None:
    base = {"timestamp": "1795428000000", "user": "m9"}
    rows = [
        base | {"event": "ranking", "id": "r7", "items": [{"id": "17"}, {"id": "3"}]},
        base | {"event": "interaction", "id": "e", "item": "3", "type": "click", "ranking": "r7"},
    ]
    assert shop.post("/feedback", json=rows).get_json()["updated"] == 1
    [ranking] = read_rankings(ranking_files(home / "rankings"), pytest.fail)
    assert ranking.id == "r7"
