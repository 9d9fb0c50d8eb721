"""What was typed, found in bodies of searches."""

from typing import Any

import pytest

from indexes.errors import Failure
from service.proxy.query_text import query_text
from service.proxy.searches import kind_of
from service.proxy.upstreams import Upstream

LAMP = {"match": {"title": "lamp"}}


@pytest.mark.parametrize(
    "body",
    [
        {"query": LAMP},
        {"query": {"match": {"title": {"query": "lamp", "operator": "and"}}}},
        {"query": {"multi_match": {"query": "lamp", "fields": ["title^3", "brand"]}}},
        {"query": {"query_string": {"query": "lamp", "default_field": "title"}}},
        {"query": {"simple_query_string": {"query": "lamp"}}},
        {"query": {"match_phrase_prefix": {"title": "lamp"}}},
        {"query": {"bool": {"filter": [{"match": {"shop": "de"}}], "must": [LAMP]}}},
        {"query": {"bool": {"should": [{"match": {"x": "y"}}], "must": LAMP}}},
        {"query": {"bool": {"must_not": [{"match": {"x": "y"}}], "should": [LAMP]}}},
        {
            "query": {
                "function_score": {"query": LAMP, "functions": [{"filter": {"match": {"a": "b"}}}]}
            }
        },
        {"query": {"dis_max": {"queries": [LAMP, {"match": {"brand": "other"}}]}}},
        {"query": {"hybrid": {"queries": [LAMP, {"neural": {"v": {"query_text": "x"}}}]}}},
        {"query": {"neural": {"embedding": {"query_text": "lamp", "model_id": "m", "k": 5}}}},
        {"query": {"semantic": {"field": "body", "query": "lamp"}}},
        {"query": {"nested": {"path": "offers", "query": {"match": {"offers.title": "lamp"}}}}},
        {"query": {"script_score": {"query": LAMP, "script": {"source": "1"}}}},
        {"retriever": {"standard": {"query": LAMP}}},
        {"retriever": {"rrf": {"retrievers": [{"standard": {"query": LAMP}}]}}},
        {
            "retriever": {
                "text_similarity_reranker": {
                    "inference_text": "x",
                    "retriever": {"standard": {"query": LAMP}},
                }
            }
        },
        {
            "knn": {
                "field": "v",
                "query_vector_builder": {"text_embedding": {"model_id": "m", "model_text": "lamp"}},
            }
        },
        {"query": {"match": {"title": "other"}}, "ext": {"ubi": {"user_query": "lamp"}}},
        {"aggs": {"a": {"filter": {"match": {"x": "y"}}}}, "query": LAMP},
    ],
)
def test_the_text_of_a_search(body: dict[str, Any]) -> None:
    assert query_text(body) == "lamp"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": {"match_all": {}}},
        {"query": {"term": {"category": "lamps"}}},
        {"query": {"bool": {"filter": LAMP}}},
        {"query": {"constant_score": {"filter": LAMP}}},
        {"query": {"match": {"title": "  "}}},
        {"suggest": {"text": "lamp"}},
        {"query": "lamp"},
    ],
)
def test_no_text(body: dict[str, Any]) -> None:
    assert query_text(body) is None


def test_paths_come_first_and_count_in_lists() -> None:
    body = {"query": {"bool": {"must": [LAMP, {"match": {"a.b": {"query": "shoes"}}}]}}}
    assert query_text(body, ("nothing", "query.bool.must.1.match.a.b")) == "shoes"


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/_search", "search"),
        ("POST", "/items,other/_search?size=3", "search"),
        ("POST", "/items-*/_msearch", "msearch"),
        ("POST", "/_search/scroll", None),
        ("GET", "/items/_search/template", None),
        ("POST", "/_async_search", None),
        ("POST", "/_rank/_search", None),
        ("DELETE", "/_search", None),
        ("GET", "/items/_doc/_search", None),
    ],
)
def test_which_requests_are_searches(method: str, target: str, kind: str | None) -> None:
    assert kind_of(method, target) == kind


@pytest.mark.parametrize("url", ["localhost:9200", "ftp://x", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(Failure, match="--elasticsearch is"):
        Upstream(url, "--elasticsearch", 5)
