"""`POST /rerank` in three formats: ours, that of Text Embeddings Inference, that of infinity."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = ["A desk lamp of steel", "Trail running shoes", "Tea kettle"]
TEI = {"query": "shoes for running", "texts": TEXTS}
INFINITY = {"query": "shoes for running", "documents": TEXTS}


def test_texts_are_answered_as_a_bare_array(client: FlaskClient) -> None:
    answer = client.post("/rerank", json=TEI | {"truncate": True, "model": "x"}).get_json()
    assert [row["index"] for row in answer][0] == 1 and len(answer) == 3
    assert all(set(row) == {"index", "score"} for row in answer), "other keys make a parser throw"
    told = client.post("/rerank", json=TEI | {"return_text": True, "top_n": 1}).get_json()
    assert told == [{"index": 1, "score": answer[0]["score"], "text": TEXTS[1]}]


def test_documents_are_answered_as_infinity_does(client: FlaskClient) -> None:
    answer = client.post("/rerank", json=INFINITY | {"top_n": 2, "model": "m"}).get_json()
    assert set(answer) == {"object", "results", "model", "usage", "id", "created"}
    assert (answer["object"], answer["model"]) == ("rerank", "m")
    assert answer["id"].startswith("infinity-") and answer["usage"]["total_tokens"] == 0
    assert [set(row) for row in answer["results"]] == [{"index", "relevance_score"}] * 2
    echoed = client.post("/rerank", json=INFINITY | {"return_documents": True}).get_json()
    assert echoed["results"][0]["document"] == TEXTS[1]


def test_the_three_give_one_order(client: FlaskClient) -> None:
    ids = ["40", "15", "1", "0", "33"]
    candidates = [{"id": item} for item in ids]
    ours = client.post("/rerank", json={"query": "shoes", "candidates": candidates}).get_json()
    order = [row["index"] for row in ours["results"]]
    tei = client.post("/rerank", json={"query": "shoes", "texts": ids}).get_json()
    assert [row["index"] for row in tei] == order
    infinity = client.post("/rerank", json={"query": "shoes", "documents": ids}).get_json()
    assert [row["index"] for row in infinity["results"]] == order


@pytest.mark.parametrize("sent", [TEI, INFINITY], ids=["tei", "infinity"])
def test_raw_scores_fall_and_have_no_exponent(client: FlaskClient, sent: dict[str, Any]) -> None:
    key = "texts" if "texts" in sent else "documents"
    body = sent | {key: [str(number) for number in range(60)], "raw_scores": True}
    answer = client.post("/rerank", json=body).get_data()
    numbers = re.findall(rb'score":(-?\d+\.\d{1,3})[,}]', answer)
    assert len(numbers) == 60 == answer.count(b'score":')
    values = [float(number) for number in numbers]
    assert all(first > second for first, second in zip(values, values[1:], strict=False))


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"query": "x", "texts": []}, 400, {"error", "error_type"}),
        ({"query": "x", "texts": [[]]}, 422, {"error", "error_type"}),
        ({"texts": ["a"]}, 422, {"error", "error_type"}),
        ({"query": "x", "texts": ["a"] * 5001}, 422, {"error", "error_type"}),
    ],
)
def test_tei_errors(client: FlaskClient, sent: Any, status: int, said: set[str]) -> None:
    answer = client.post("/rerank", json=sent)
    assert answer.status_code == status and set(answer.get_json()) == said


def test_infinity_errors(client: FlaskClient) -> None:
    for sent in ({"query": "x", "documents": []}, {"documents": ["a"]}, INFINITY | {"top_n": 0}):
        answer = client.post("/rerank", json=sent)
        assert answer.status_code == 422
        assert set(answer.get_json()["error"]) == {"message", "type", "param", "code"}


def test_what_is_ours_stays_ours(client: FlaskClient) -> None:
    for sent in (
        {"candidates": [], "texts": ["a"]},
        {"candidates": [{"id": "1"}], "documents": ["a"], "query": "x"},
        {"query": "x"},
        [],
        {"text": ["a"]},
    ):
        answer = client.post("/rerank", json=sent)
        assert answer.status_code == 422, answer.text
        assert set(answer.get_json()["error"]) <= {"code", "message", "field"}


def test_info_and_health(client: FlaskClient) -> None:
    info = client.get("/info").get_json()
    assert info["model_id"] == "default" and set(info["model_type"]) == {"reranker"}
    assert info["max_client_batch_size"] == 5000
    assert set(info) == {  # all that theirs has: clients read it into types of their own
        *("model_id", "model_sha", "model_dtype", "model_type", "max_concurrent_requests"),
        *("max_input_length", "max_batch_tokens", "max_batch_requests", "max_client_batch_size"),
        *("auto_truncate", "tokenization_workers", "version", "sha", "docker_label"),
    }
    health = client.get("/health")
    assert health.status_code == 200 and health.get_json()["status"] == "ready"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part),
    max_leaves=8,
)


@settings(max_examples=40)
@given(
    key=st.sampled_from(["texts", "documents"]),
    listed=st.lists(st.sampled_from(["0", "17", "", "x"]) | json_values, max_size=9) | json_values,
    rest=st.dictionaries(
        st.sampled_from(
            ["query", "top_n", "raw_scores", "return_text", "return_documents", "model", "other"]
        ),
        st.booleans() | st.integers(0, 9) | json_values,
    ),
)
def test_any_body_is_answered_or_refused_in_its_shape(
    client: FlaskClient, key: str, listed: Any, rest: dict[str, Any]
) -> None:
    answer = client.post("/rerank", json={key: listed} | rest)
    said = answer.get_json()
    if answer.status_code == 200:
        rows = said if key == "texts" else said["results"]
        count = min(len(listed), rest.get("top_n") or len(listed))
        assert len({row["index"] for row in rows}) == len(rows) == count
    else:
        assert answer.status_code in (400, 422), answer.text
        assert isinstance(said["error"], str if key == "texts" else dict)
        assert key == "texts" or set(said["error"]) == {"message", "type", "param", "code"}
