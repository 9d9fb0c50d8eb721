"""What callers really send to /rerank and /next-action: numbers as ids, null, gzip, blanks."""

import gzip
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.shop import PATIENT, copy_home

from indexes.names import normalised
from indexes.workspace import Workspace
from reranker.feedback.log import RankingLog
from reranker.feedback.records import ranking_files, read_rankings
from reranker.ranking.settings import RankingSettings
from reranker.requests import Candidate
from service.api.sent import in_one_form
from service.app import create_app, ranking_log

NOW = time.time()
THREE: list[dict[str, Any]] = [{"id": "1"}, {"id": "2"}, {"id": "3"}]


@pytest.fixture(scope="module")
def shop(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    home = copy_home(trained_home, tmp_path_factory.mktemp("lenient") / "home")
    return create_app(Workspace(home, {RankingSettings: PATIENT})).test_client()


def results(client: FlaskClient, body: Any, **more: Any) -> list[dict[str, Any]]:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = client.post("/rerank", data=data, **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["results"]
    return found


@pytest.mark.parametrize(
    "more",
    [
        *(
            {key: None}
            for key in (
                *("query", "user", "session", "history", "blend", "weights", "top_n"),
                *("explain", "personalize", "budget_ms", "time"),
            )
        ),
        {"user": "", "session": "", "blend": "", "time": ""},
        {"weights": {"semantic": None}},
        {"candidates": [one | {"score": None, "text": None} for one in THREE]},
        {"candidates": [{"id": 1}, {"id": 2.0}, {"id": "3"}]},
        {"candidates": [{"id": " 1"}, {"id": "2\u00a0"}, {"id": "3\n"}]},
    ],
    ids=str,
)
def test_null_and_other_forms_of_ids_are_as_if_nothing_had_been_written(
    shop: FlaskClient, more: dict[str, Any]
) -> None:
    body = {"query": "red shoes", "candidates": THREE} | more
    plain = {"query": more.get("query", "red shoes") or "", "candidates": THREE}
    expected = [(one["index"], one["score"]) for one in results(shop, plain)]
    assert [(one["index"], one["score"]) for one in results(shop, body)] == expected


def test_the_answer_has_the_ids_as_they_were_sent_as_text(shop: FlaskClient) -> None:
    sent = [{"id": " 1 "}, {"id": 2}, {"id": 3.0}, {"id": "caf\u0065\u0301"}, {"id": "x\u0007"}]
    found = results(shop, {"candidates": sent})
    by_place = {one["index"]: one["id"] for one in found}
    assert by_place == {0: " 1 ", 1: "2", 2: "3", 3: "caf\u0065\u0301", 4: "x\u0007"}
    twice = shop.post("/rerank", json={"candidates": [{"id": 7}, {"id": "7 "}]})
    assert (twice.status_code, twice.get_json()["error"]["field"]) == (422, "candidates[1].id")


@given(
    st.lists(
        st.sampled_from(["1", "2", " 3", "a b", "é", "e\u0301", "x ", "\u200by"])
        | st.text(min_size=1),
        unique_by=normalised,
    ).map(lambda ids: [one for one in ids if normalised(one)])
)
def test_candidates_have_one_form_each_and_their_own_texts(ids: list[str]) -> None:
    sent = [Candidate(one, float(place), one) for place, one in enumerate(ids)]
    found, as_sent = in_one_form(sent)
    assert [one.id for one in found] == [normalised(one) for one in ids]
    assert [(one.score, one.text) for one in found] == [(one.score, one.text) for one in sent]
    assert as_sent in (None, ids) and (as_sent is None) == ([one.id for one in found] == ids)


def test_one_shopper_has_one_name_in_histories_and_in_the_log(
    trained_home: Path, tmp_path: Path
) -> None:
    app = create_app(
        Workspace(copy_home(trained_home, tmp_path / "home"), {RankingSettings: PATIENT})
    )
    client = app.test_client()
    event = {"user": "ghost77  ", "type": "view", "item": "2", "time": NOW - 60}
    assert client.post("/events", json=event).get_json()["accepted"] == 1
    body = {"query": "shoes", "candidates": THREE, "explain": True}
    names = ["ghost77", "ghost77  ", "\u00a0ghost77\n"]
    answers = [results(client, body | {"user": name}) for name in names]
    assert answers[0] == answers[1] == answers[2] != results(client, body)
    log: RankingLog = ranking_log(app)
    log.flush()
    folder = tmp_path / "home" / "rankings"
    lines = list(read_rankings(ranking_files(folder), pytest.fail))
    users = {line.user for line in lines if line.user}
    assert len(lines) == 4 and len(users) == 1


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_gzip_and_byte_order_marks_are_read(shop: FlaskClient, mark: bytes) -> None:
    plain = msgspec.json.encode({"query": "red shoes", "candidates": THREE})
    expected = results(shop, plain)
    assert results(shop, mark + plain) == expected
    packed = gzip.compress(mark + plain)
    for name in ("gzip", "GZIP", "x-gzip", "identity, gzip"):
        assert results(shop, packed, headers={"Content-Encoding": name}) == expected
    assert results(shop, plain, headers={"Content-Encoding": "identity"}) == expected
    event = {"user": "packed", "type": "view", "item": "2", "time": NOW}
    answer = shop.post(
        "/events",
        data=gzip.compress(mark + msgspec.json.encode(event)),
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.get_json()["accepted"] == 1
    asked = gzip.compress(mark + b'{"user": 7}')
    answer = shop.post("/next-action", data=asked, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/rerank", "/events", "/next-action"])
def test_what_cannot_be_unpacked_is_refused(shop: FlaskClient, path: str) -> None:
    def refused(data: bytes, coding: str) -> tuple[int, str]:
        answer = shop.post(path, data=data, headers={"Content-Encoding": coding})
        return answer.status_code, answer.get_json()["error"]["code"]

    whole = gzip.compress(b'{"candidates": []}')
    assert refused(gzip.compress(b" " * 100_000_000), "gzip") == (413, "body_too_large")
    assert refused(b'{"candidates": []}', "gzip") == (400, "malformed_json")
    assert refused(whole[:-9], "gzip") == (400, "malformed_json")
    assert refused(b"", "gzip") == (400, "malformed_json")
    assert refused(whole, "br") == (415, "unsupported_media_type")
    assert refused(gzip.compress(whole), "gzip, gzip") == (415, "unsupported_media_type")


def test_long_texts_are_cut_and_named_and_the_search_is_answered(shop: FlaskClient) -> None:
    long = "running shoes " * 2_000
    body = {
        "query": "x" * 3_000,
        "candidates": [{"id": "1"}, {"id": "new", "text": long}, {"id": "2"}],
    }
    answer = shop.post("/rerank", json=body).get_json()
    assert len(answer["results"]) == 3
    assert {"signal": "semantic", "reason": "query_truncated"} in answer["degraded"]
    named = {"signal": "semantic", "reason": "text_truncated", "count": 1, "candidates": [1]}
    assert named in answer["degraded"]
    short = body | {"candidates": [{"id": "1"}, {"id": "new", "text": long[:20_000]}, {"id": "2"}]}
    assert results(shop, short) == answer["results"]


def test_events_of_no_known_type_cost_themselves(shop: FlaskClient) -> None:
    known = [{"type": "view", "item": "3", "time": "2026-11-01T10:00:00Z"}]
    odd = [{"type": "wishlist", "item": "4"}, {"type": "Wave"}]
    body = {"query": "shoes", "candidates": [{"id": "3"}, {"id": "4"}]}
    answer = shop.post("/rerank", json=body | {"history": odd + known}).get_json()
    assert {"signal": "history", "reason": "unknown_type", "count": 2} in answer["degraded"]
    assert answer["results"] == results(shop, body | {"history": known})


def test_events_of_no_known_type_keep_to_the_format_with_or_without_an_item(
    shop: FlaskClient,
) -> None:
    for event in ({"type": "Wave", "time": "soon"}, {"type": "Wave", "time": "soon", "item": "3"}):
        answer = shop.post("/rerank", json={"candidates": [{"id": "3"}], "history": [event]})
        assert answer.status_code == 422
        assert answer.get_json()["error"]["field"] == "history[0].time"


def raw() -> list[dict[str, Any]]:
    """One history as sources really write it."""
    return [
        {"type": " VIEW", "item": " 2 ", "time": int((NOW - 300) * 1000)},
        {"type": "Search", "query": "  Rain   JACKET ", "time": NOW - 240},
        {"type": "view", "item": 7, "time": str(int(NOW - 180))},
        {"type": "cart", "item": 7.0, "time": int((NOW - 120) * 1e6), "id": "e1"},
        {"type": "cart", "item": "7", "time": int((NOW - 120) * 1e6), "id": "e1"},
        {"type": "view", "item": "3", "time": NOW - 60, "personalize": False},
        {"type": "purchase", "item": "9", "time": int(NOW - 30) * 10**9, "price": "9.5"},
    ]


def test_a_history_sent_along_counts_as_the_stored_one(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    client = create_app(Workspace(home, {RankingSettings: PATIENT})).test_client()
    events = [event | {"user": "stored"} for event in raw()]
    assert client.post("/events", json=events).get_json()["accepted"] == 6  # one does not agree
    body = {
        "query": "jacket",
        "candidates": [{"id": f"{number}"} for number in range(20)],
        "explain": True,
        "time": int(NOW * 1000),
    }
    stored = results(client, body | {"user": "stored"})
    assert {"behaviour", "near", "taste"} <= set(stored[0]["explanation"]["contributions"])
    assert results(client, body | {"history": raw()}) == stored
    foreseen = [
        client.post("/next-action", json=one | {"time": NOW}).get_json()
        for one in ({"user": "stored"}, {"history": raw()})
    ]
    assert foreseen[0] == foreseen[1]
