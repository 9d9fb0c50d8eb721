"""Cohere's, Jina's and Voyage's re-ranking requests, as their clients send them."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import patient

from service.access.keys import KeyFile
from service.app import create_app
from service.formats.format_routes import of_version_1
from service.formats.scores import falling

SHOES = ["40", "15", "1", "0"]  # a lamp, a kettle, two pairs of running shoes
TEXTS = ["A desk lamp of steel", "Trail running shoes", "Tea kettle"]
ROUTES = ("/v1/rerank", "/v2/rerank", "/jina/v1/rerank", "/voyage/v1/rerank")


def body(documents: list[Any], **more: Any) -> dict[str, Any]:
    return {"model": "rerank-v3.5", "query": "shoes for running", "documents": documents, **more}


def results(client: FlaskClient, route: str, sent: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post(route, json=sent)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json().get("results") or answer.get_json()["data"]
    return found


def order(client: FlaskClient, route: str, sent: dict[str, Any]) -> list[int]:
    return [result["index"] for result in results(client, route, sent)]


def test_version_2_answers_indexes_and_scores(client: FlaskClient) -> None:
    answer = client.post("/v2/rerank", json=body(SHOES)).get_json()
    assert set(answer) == {"id", "results", "meta"}
    assert answer["meta"]["api_version"] == {"version": "2"}
    assert {result["index"] for result in answer["results"][:2]} == {2, 3}
    assert all(set(result) == {"index", "relevance_score"} for result in answer["results"])


@pytest.mark.parametrize("route", ROUTES)
def test_ids_are_ranked_as_post_rerank_ranks_them(client: FlaskClient, route: str) -> None:
    ours = client.post(
        "/rerank",
        json={"query": "shoes for running", "candidates": [{"id": item} for item in SHOES]},
    ).get_json()
    assert order(client, route, body(SHOES)) == [result["index"] for result in ours["results"]]


@pytest.mark.parametrize("route", ROUTES)
def test_texts_are_read_and_every_document_gets_a_score(client: FlaskClient, route: str) -> None:
    assert order(client, route, body(TEXTS))[0] == 1
    many = [f"{number} tea kettles" for number in range(150)]  # more than are encoded
    assert sorted(order(client, route, body(many))) == list(range(150))


def test_at_the_deadline_every_document_has_a_score_and_the_order_sent_stays(
    client: FlaskClient,
) -> None:
    sent = body([f"kettle number {number}" for number in range(120)])
    answer = client.post("/v2/rerank", json=sent, headers={"X-Request-Timeout-Ms": "0.001"})
    said = answer.get_json()
    assert [result["index"] for result in said["results"]] == list(range(120))
    scores = [result["relevance_score"] for result in said["results"]]
    assert len(set(scores)) == 120 and scores == sorted(scores, reverse=True)
    assert said["meta"]["warnings"] == ["all: deadline"]


def test_objects_bring_an_id_a_text_or_both(client: FlaskClient) -> None:
    for documents in (
        [{"id": "40"}, {"id": "0"}],
        [{"text": "A desk lamp"}, {"text": "Trail running shoes"}],
        [{"id": "new 1", "text": "A desk lamp"}, {"id": "new 2", "text": "Running shoes"}],
        [{"title": "Desk lamp", "price": 3}, {"title": "Running shoes", "price": 4}],
    ):
        assert order(client, "/v1/rerank", body(documents)) == [1, 0]
    chosen = [{"a": "lamp", "b": "shoes"}, {"a": "running shoes", "b": "lamp"}]
    assert order(client, "/v1/rerank", body(chosen, rank_fields=["a"])) == [1, 0]
    assert order(client, "/v1/rerank", body(chosen, rank_fields=["b"])) == [0, 1]


def test_what_is_sent_twice_or_empty_comes_back_each_time(client: FlaskClient) -> None:
    sent = ["0", "40", "0", "", " ", "", "0 "]
    assert sorted(order(client, "/v2/rerank", body(sent))) == list(range(7))
    assert len(order(client, "/v2/rerank", body(sent, top_n=3))) == 3
    assert sorted(order(client, "/v2/rerank", body(["", ""]))) == [0, 1]


def test_documents_come_back_where_they_are_asked_for(client: FlaskClient) -> None:
    sent = [{"text": "Desk lamp", "shelf": 3}, "Running shoes"]
    first = results(client, "/v1/rerank", body(sent, return_documents=True))
    assert [result["document"] for result in first] == [{"text": "Running shoes"}, sent[0]]
    assert "document" not in results(client, "/v1/rerank", body(sent))[0]
    assert "document" not in results(client, "/v2/rerank", body(sent, return_documents=True))[0]
    jina = {"model": "jina-reranker-v2-base-multilingual", "query": "x", "documents": TEXTS}
    assert "text" in results(client, "/v1/rerank", jina)[0]["document"]
    assert "document" not in results(client, "/v1/rerank", jina | {"return_documents": False})[0]
    voyage = body(TEXTS, top_k=2, return_documents=True)
    answer = client.post("/v1/rerank", json=voyage).get_json()
    assert answer["data"][0]["document"] == TEXTS[1] and len(answer["data"]) == 2
    assert answer["usage"]["total_tokens"] == 0 and answer["object"] == "list"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ({"top_k": 3}, "voyage"),
        ({"truncation": False}, "voyage"),
        ({"model": "rerank-2.5-lite"}, "voyage"),
        ({"model": "jina-reranker-v3"}, "jina"),
        ({"model": "rerank-v3.5"}, "cohere v1"),
        ({"model": 3}, "cohere v1"),
        ({}, "cohere v1"),
        ([], "cohere v1"),
    ],
)
def test_the_formats_of_one_address_are_told_apart(sent: Any, name: str) -> None:
    import msgspec

    assert of_version_1(msgspec.json.encode(sent)).name == name


@pytest.mark.parametrize(
    ("route", "key", "listed"),
    [
        *(("/v2/rerank", "top_n", "documents"), ("/v1/rerank", "top_n", "documents")),
        *(("/v1/rerank", "top_k", "documents"), ("/jina/v1/rerank", "top_n", "documents")),
        *(("/voyage/v1/rerank", "top_k", "documents"), ("/rerank", "top_n", "documents")),
        *(("/rerank", "top_n", "texts"), ("/rerank", "top_n", "candidates")),
    ],
)
def test_a_whole_number_may_be_written_with_a_point(
    client: FlaskClient, route: str, key: str, listed: str
) -> None:
    """JSON Schema takes 2.0 and 1e3 for integers."""
    documents = '[{"id": "40"}, {"id": "0"}, {"id": "1"}]'
    for number, count in (("2", 2), ("2.0", 2), ("1e3", 3), ("1000.0", 3)):
        sent = f'{{"query": "shoes", "{listed}": {documents}, "{key}": {number}}}'
        answer = client.post(route, data=sent)
        assert answer.status_code == 200, answer.text
        assert len(re.findall(r'"index":\d', answer.text)) == count
    for wrong in ("2.5", "-1.0", '"2"', "true", "[2]"):
        sent = f'{{"query": "shoes", "{listed}": {documents}, "{key}": {wrong}}}'
        answer = client.post(route, data=sent)
        assert answer.status_code in (400, 422) and key in answer.text, answer.text


NUMBER = re.compile(rb'"relevance_score":(0\.\d{1,6})[,}]')


@pytest.mark.parametrize("route", ROUTES)
def test_numbers_on_the_wire(client: FlaskClient, route: str) -> None:
    """No exponent, no whole number, at most 18 characters, strictly falling in 32 bits plus 1."""
    import numpy as np

    answer = client.post(route, json=body([str(number) for number in range(60)])).get_data()
    numbers = NUMBER.findall(answer)
    assert len(numbers) == 60 == answer.count(b'"relevance_score":')
    singles = np.array([float(number) for number in numbers], dtype=np.float32) + np.float32(1)
    assert (np.diff(singles) < 0).all()
    assert all(0 < float(number) < 1 and len(number) <= 18 for number in numbers)


@given(st.lists(st.floats(allow_nan=False), max_size=300))
def test_scores_fall_whatever_they_were(scores: list[float]) -> None:
    import msgspec

    numbers = falling(scores)
    assert all(first > second for first, second in zip(numbers, numbers[1:], strict=False))
    for number in numbers:
        assert re.fullmatch(rb"0\.\d{1,6}", msgspec.json.encode(number))


@pytest.mark.parametrize(
    ("route", "status", "key"),
    [
        ("/v2/rerank", 400, "message"),
        ("/v1/rerank", 400, "message"),
        ("/jina/v1/rerank", 422, "detail"),
        ("/voyage/v1/rerank", 400, "detail"),
    ],
)
def test_errors_have_the_shape_of_the_format(
    client: FlaskClient, route: str, status: int, key: str
) -> None:
    for sent in (
        {"query": "x", "documents": []},
        {"documents": ["a"]},
        {"query": "x"},
        {"query": [], "documents": ["a"]},
        {"query": "x", "documents": [None]},
        {"query": "x", "documents": [[1]]},
        {"query": "x", "documents": ["a"] * 5001},
    ):
        answer = client.post(route, json=sent)
        assert answer.status_code == status, (sent, answer.text)
        assert set(answer.get_json()) == {key}
    answer = client.post(route, data=b"{")
    assert answer.status_code == 400 and set(answer.get_json()) == {key}
    answer = client.post(route, data=b"{}", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415 and set(answer.get_json()) == {key}


@pytest.mark.parametrize(
    ("route", "keys"),
    [
        ("/v2/rerank", {"message"}),
        ("/v1/rerank", {"message", "detail"}),
        ("/jina/v1/rerank", {"detail"}),
        ("/voyage/v1/rerank", {"detail"}),
        ("/rerank", {"error"}),
        ("/rank/default", {"error"}),
    ],
)
def test_whoever_is_refused_at_the_door_hears_so_in_the_format_of_the_address(
    own_home: Path, route: str, keys: set[str]
) -> None:
    KeyFile(own_home).create("some", ("events",))
    asked = create_app(patient(own_home)).test_client()
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = asked.post(route, data=b"{", headers=headers)
        assert answer.status_code == 401 and set(answer.get_json()) == keys, answer.text
        assert "WWW-Authenticate" in answer.headers


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part),
    max_leaves=8,
)
documents = st.lists(
    st.sampled_from(["0", "17", "", " 3", "x", "running shoes"])
    | st.text(max_size=30)
    | json_values,
    max_size=12,
)


@settings(max_examples=40)
@given(
    route=st.sampled_from(ROUTES),
    sent=st.fixed_dictionaries(
        {},
        optional={
            "query": st.text(max_size=30) | json_values,
            "documents": documents | json_values,
            "model": st.sampled_from(["default", "jina-x", "rerank-2"]) | json_values,
            "top_n": st.integers(-1, 20) | json_values,
            "top_k": st.integers(-1, 20) | json_values,
            "return_documents": st.booleans() | json_values,
            "rank_fields": st.lists(st.text(max_size=5)) | json_values,
            "anything": json_values,
        },
    ),
)
def test_any_body_is_answered_or_refused_in_its_shape(
    client: FlaskClient, route: str, sent: dict[str, Any]
) -> None:
    answer = client.post(route, json=sent)
    said = answer.get_json()
    if answer.status_code == 200:
        rows = said.get("results", said.get("data"))
        most = sent.get("top_k" if "data" in said else "top_n")
        count = len(sent["documents"])
        places = [row["index"] for row in rows]
        assert len(set(places)) == len(places) == min(count, most or count)
        assert set(places) <= set(range(count))
    else:
        assert answer.status_code in (400, 422), answer.text
        assert set(said) in ({"message"}, {"detail"})
