"""The recipes of docs/clients.md: what they make an engine send is answered as it expects."""

import json
import re
from string import Template
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.paths import ROOT

IDS = ["40", "15", "1", "0", ""]
ENVELOPE = '{"q": "red shoes", "user": "u1"}'
PAGE = (ROOT / "docs" / "clients.md").read_text()


def recipe(name: str) -> Any:
    match = re.search(rf"<!-- recipe: {name} -->\n```json\n[A-Z]+ \S+\n(.*?)```", PAGE, re.S)
    assert match, name
    return json.loads(match[1])


def filled(template: str, **values: str) -> str:
    """As the engines do it: ${parameters.query} -> the value, as it stands."""
    plain = re.sub(r"\$\{(?:parameters|credential)\.(\w+)\}", r"${\1}", template)
    return Template(plain).substitute(values)


def column(answer: Any, path: str) -> list[Any]:
    """What a path such as $.results[*].index finds."""
    match = re.fullmatch(r"\$\.(\w+)\[\*\]\.(\w+)", path)
    assert match, path
    return [row[match[2]] for row in answer[match[1]]]


def path_of(url: str) -> str:
    return url.removeprefix("http://SERVICE")


@pytest.mark.parametrize("query", ["red shoes", 'a "quoted" one', ENVELOPE])
def test_elasticsearch_custom_service(client: FlaskClient, query: str) -> None:
    service = recipe("elasticsearch custom")["service_settings"]
    body = filled(service["request"], query=json.dumps(query), input=json.dumps(IDS))
    answer = client.post(path_of(service["url"]), data=body).get_json()
    paths = service["response"]["json_parser"]
    scores, places = (column(answer, paths[key]) for key in ("relevance_score", "reranked_index"))
    assert sorted(places) == list(range(len(IDS))) and len(scores) == len(IDS)
    bearer = filled(service["headers"]["Authorization"], api_key="KEY")
    assert bearer == "Bearer KEY"


def test_elasticsearch_retriever_sends_an_envelope() -> None:
    reranker = recipe("elasticsearch retriever")["retriever"]["text_similarity_reranker"]
    assert list(json.loads(reranker["inference_text"]).items()) == [
        *(("user", "u1"), ("q", "red shoes"))
    ], "q last: not even a glued one lets a typed quote in"
    assert reranker["field"] == "product_id"


def test_elasticsearch_hugging_face_service(client: FlaskClient) -> None:
    for sent in (
        {"query": "red shoes", "texts": IDS},
        {"query": "red shoes", "texts": IDS, "return_text": False, "top_n": 3},
        {"query": "red shoes", "texts": IDS, "return_text": True},
    ):
        rows = client.post("/rerank", json=sent).get_json()
        assert {key for row in rows for key in row} <= {"index", "score", "text"}
        assert len(rows) == sent.get("top_n", len(IDS))


@pytest.mark.parametrize("query", ["red shoes", json.dumps(ENVELOPE)[1:-1]])
def test_opensearch_connector(client: FlaskClient, query: str) -> None:
    """The engine escapes the query itself before it fills it in."""
    [action] = recipe("opensearch connector")["actions"]
    body = filled(
        action["request_body"],
        documents=json.dumps(IDS),
        query=query,
        model="default",
        top_n=str(len(IDS)),
    )
    answer = client.post(path_of(action["url"]), data=body).get_json()
    scores = [0.0] * len(IDS)  # as the engine does: by index, one for every hit
    for row in answer["results"]:
        scores[row["index"]] = row["relevance_score"]
    assert all(scores)


def test_opensearch_settings_let_the_connector_out() -> None:
    settings = recipe("opensearch settings")["persistent"]
    [allowed] = settings["plugins.ml_commons.trusted_connector_endpoints_regex"]
    [action] = recipe("opensearch connector")["actions"]
    assert re.fullmatch(allowed, action["url"])
    assert recipe("opensearch pipeline")["response_processors"][0]["rerank"]["ignore_failure"]
