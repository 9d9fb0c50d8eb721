"""The stand-in for an engine: what it re-ranks, and what passes as it is."""

import gzip
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from support.engine import AGGREGATIONS, Engine
from werkzeug.datastructures import Headers
from werkzeug.test import Client, TestResponse

from indexes.errors import Failure
from service.app import ranking_log
from service.proxy.hits import read_page
from service.proxy.proxy import Proxy
from service.proxy.reranked import Reranker
from service.proxy.searches import Rules, Search, read_search, read_searches
from service.proxy.upstreams import Upstream

QUERY = {"query": {"match": {"title": "tea kettle"}}}
Make = Callable[..., Client]


@pytest.fixture
def make(engine: Engine, service_url: str) -> Iterator[Make]:
    opened: list[Upstream] = []

    def made(
        service: str = service_url,
        window: int = 20,
        budget_ms: float = 60_000,
        id_field: str = "_id",
        rules: Rules | None = None,
    ) -> Client:
        opened.extend(
            (Upstream(service, "--service", 60), Upstream(engine.url, "--elasticsearch", 60))
        )
        reranker = Reranker(opened[-2], budget_ms, window)
        rules = (rules or Rules())._replace(window=window)
        return Client(Proxy(opened[-1], reranker, rules, id_field))

    yield made
    for upstream in opened:
        upstream.close()


def ids(answer: TestResponse) -> list[str]:
    return [hit["_id"] for hit in json.loads(answer.data)["hits"]["hits"]]


def bare(text: bytes) -> Any:
    """An answer without what may differ: the order of hits, and their scores."""
    answer = json.loads(text, parse_float=str, parse_int=str)
    for hit in answer["hits"]["hits"]:
        del hit["_score"]
    answer["hits"]["hits"].sort(key=lambda hit: int(hit["_id"]))
    return answer


def untouched(answer: TestResponse, engine: Engine, size: int = 10, first: int = 0) -> bool:
    listed = list(engine.sources)[first : first + size]
    return answer.status_code == 200 and ids(answer) == listed


def test_a_search_comes_back_reranked_and_else_unchanged(make: Make, engine: Engine) -> None:
    proxy = make()
    whole = QUERY | {"size": 20}
    plain = engine.answer(engine.asked[0]) if engine.asked else None
    assert plain is None
    answer = proxy.post("/items/_search", json=whole)
    asked = engine.asked[-1]
    assert (asked.query["from"], asked.query["size"]) == ("0", "20")
    assert json.loads(asked.body) == whole
    expected = engine.answer(asked)[2]
    assert bare(answer.data) == bare(expected) and answer.data != expected
    assert AGGREGATIONS in answer.text
    assert ids(answer) != list(engine.sources)[:20]
    assert "kettle" in json.loads(answer.data)["hits"]["hits"][0]["_source"]["title"]
    scores = re.findall(r'"_score":([0-9.]+)', answer.text)
    assert scores == re.findall(r'"_score":([0-9.]+)', expected.decode())  # as they were written
    assert answer.headers["X-Reranker"] == "reranked" and answer.headers["X-Elastic-Product"]
    assert json.loads(answer.data)["hits"]["max_score"] == float(scores[0])


def test_the_order_is_the_services_own(make: Make, engine: Engine, ranking_app: Flask) -> None:
    answer = make().post("/items/_search", json=QUERY, headers={"X-User-Id": "u3"})
    names = list(engine.sources)[:20]
    candidates = [{"id": name, "score": 30.5 - place} for place, name in enumerate(names)]
    body = {"query": "tea kettle", "user": "u3", "candidates": candidates}
    ranked = ranking_app.test_client().post("/rerank", json=body).get_json()["results"]
    assert ids(answer) == [result["id"] for result in ranked][:10]
    ranking_log(ranking_app).flush()
    assert len(answer.headers["X-Ranking-Id"]) == 32
    assert "x-user-id" not in engine.asked[-1].headers


def test_pages_are_cut_from_the_window(make: Make, engine: Engine) -> None:
    proxy = make(window=16)
    pages = [
        proxy.post("/items/_search", json=QUERY | {"from": first, "size": 6})
        for first in (0, 6, 12, 18, 24)
    ]
    listed = [name for page in pages for name in ids(page)]
    assert sorted(listed) == sorted(engine.sources)  # each once
    assert sorted(listed[:16]) == sorted(list(engine.sources)[:16])
    assert listed[16:] == list(engine.sources)[16:]
    assert pages[2].headers["X-Reranker"] == "reranked"
    assert pages[3].headers["X-Reranker"] == "passed; beyond_window"
    in_address = proxy.get("/items/_search?from=6&size=6&q=tea+kettle", json=QUERY)
    assert ids(in_address) == ids(pages[1])


@pytest.mark.parametrize(
    ("target", "body", "reason"),
    [
        ("/items/_search", QUERY | {"sort": [{"price": "asc"}]}, "sorted"),
        ("/items/_search?sort=price", QUERY, "sorted"),
        ("/items/_search", {"query": {"match_all": {}}}, "no_query"),
        ("/items/_search", {}, "no_query"),
        ("/items/_search?scroll=1m", QUERY, "other_search"),
        ("/items/_search", QUERY | {"search_after": [1]}, "other_search"),
        ("/items/_search", {"query": {"bool": {"filter": [QUERY["query"]]}}}, "no_query"),
    ],
)
def test_other_searches_pass(
    make: Make, engine: Engine, target: str, body: dict[str, Any], reason: str
) -> None:
    answer = make().post(target, json=body)
    assert untouched(answer, engine)
    assert answer.headers["X-Reranker"] == f"passed; {reason}"
    assert json.loads(engine.asked[-1].body) == body
    assert len(engine.asked) == 1


def test_what_is_no_search_passes_byte_by_byte(make: Make, engine: Engine) -> None:
    proxy = make()
    engine.routes[r"(PUT|POST|DELETE) /items/_d.*"] = lambda asked: (201, {"got": len(asked.body)})
    sent = b'{"title":  "a"}'
    answer = proxy.put("/items/_doc/a%2Fb?refresh=true", data=sent, headers={"X-Other": "1"})
    asked = engine.asked[-1]
    assert (answer.status_code, answer.get_json()) == (201, {"got": len(sent)})
    assert (asked.path, asked.query, asked.body) == ("/items/_doc/a%2Fb", {"refresh": "true"}, sent)
    assert asked.headers["x-other"] == "1" and "X-Reranker" not in answer.headers
    for method in ("POST", "DELETE"):
        proxy.open("/items/_delete_by_query", method=method, data=b"x" * 200_000)
        assert len(engine.asked[-1].body) == 200_000
    assert proxy.get("/_cat/indices").text == "green open items\n"
    with proxy.head("/items") as answer:
        assert answer.status_code == 404
    assert proxy.post("/items/_search", json={"size": 0, **QUERY}).status_code == 200
    broken = proxy.post("/items/_search", data=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400 and broken.get_json()["error"]["type"] == "parse_exception"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_a_service_that_is_down_costs_nothing(make: Make, engine: Engine) -> None:
    proxy = make(f"http://127.0.0.1:{free_port()}")
    for page in (0, 1):
        answer = proxy.post("/items/_search", json=QUERY | {"from": 5 * page, "size": 5})
        assert untouched(answer, engine, 5, 5 * page)
        assert answer.headers["X-Reranker"] in ("passed; unreachable", "passed; resting")


def test_a_service_that_is_late_or_talks_nonsense_costs_nothing(make: Make, engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = make(f"http://127.0.0.1:{silent.getsockname()[1]}", budget_ms=30).post(
            "/items/_search", json=QUERY
        )
        assert untouched(answer, engine) and answer.headers["X-Reranker"] == "passed; timeout"
    engine.routes["POST /rerank"] = lambda _asked: (200, ["what"])
    answer = make(engine.url).post("/items/_search", json=QUERY)
    assert untouched(answer, engine) and answer.headers["X-Reranker"] == "passed; no_answer"
    engine.routes["POST /rerank"] = lambda _asked: (503, {})
    answer = make(engine.url).post("/items/_search", json=QUERY)
    assert untouched(answer, engine) and answer.headers["X-Reranker"] == "passed; status_503"


def test_an_engine_that_is_down_is_said_in_its_own_shape(make: Make, service_url: str) -> None:
    down = Upstream(f"http://127.0.0.1:{free_port()}", "--elasticsearch", 5)
    reranker = Reranker(Upstream(service_url, "--service", 5), 5000, 20)
    for target in ("/items/_search", "/_cat/indices"):
        answer = Client(Proxy(down, reranker, Rules())).get(target)
        assert (answer.status_code, answer.get_json()["status"]) == (502, 502)


def test_a_wider_page_that_the_engine_refuses_is_asked_as_it_was(
    make: Make, engine: Engine
) -> None:
    def strict(asked: Any) -> tuple[int, Any]:
        if asked.query.get("size") == "20":
            return 400, {"error": {"type": "illegal_argument_exception"}, "status": 400}
        return 200, json.loads(engine._search(json.loads(asked.body), asked.query))

    engine.routes["POST /strict/_search"] = strict
    answer = make().post("/strict/_search", json=QUERY)
    assert untouched(answer, engine) and len(engine.asked) == 2


def test_many_searches_in_one_body(make: Make, engine: Engine) -> None:
    other = {"query": {"match": {"title": "desk lamp"}}, "size": 30}
    pairs = [{}, QUERY | {"size": 20}, {"index": "items"}, other, {}, {"size": 3}]
    body = "\n".join(map(json.dumps, pairs)) + "\n"
    answer = make().post("/_msearch", data=body)
    first, second, third = json.loads(answer.data)["responses"]
    assert engine.asked[-1].body == body.encode()
    assert "kettle" in first["hits"]["hits"][0]["_source"]["title"]
    assert len(second["hits"]["hits"]) == 30 and second["status"] == 200
    assert [hit["_id"] for hit in third["hits"]["hits"]] == list(engine.sources)[:3]
    assert answer.headers["X-Reranker"] == "reranked"
    down = make(f"http://127.0.0.1:{free_port()}").post("/items/_msearch", data=body)
    assert [len(part["hits"]["hits"]) for part in json.loads(down.data)["responses"]] == [20, 30, 3]
    assert down.headers["X-Reranker"] == "passed; unreachable"


def test_packed_bodies_and_what_was_typed_by_header_or_path(make: Make, engine: Engine) -> None:
    packed = gzip.compress(json.dumps(QUERY).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    usual = ids(make().post("/items/_search", json=QUERY))
    assert ids(make().post("/items/_search", data=packed, headers=headers)) == usual
    vague = {"query": {"match": {"title": "lamp"}}, "typed": {"words": "tea kettle"}}
    by_path = make(rules=Rules(paths=("typed.words",))).post("/items/_search", json=vague)
    by_header = make().post("/items/_search", json=vague, headers={"X-Search-Query": "tea kettle"})
    assert ids(by_path) == ids(by_header) == usual
    unknown = gzip.compress(b"{}")
    answer = make().post("/items/_search", data=unknown, headers={"Content-Encoding": "br"})
    assert answer.headers["X-Reranker"] == "passed; packed_body"


def test_ids_in_the_source(make: Make, engine: Engine) -> None:
    usual = ids(make().post("/items/_search", json=QUERY))
    assert ids(make(id_field="sku").post("/items/_search", json=QUERY)) == usual
    nowhere = make(id_field="nothing").post("/items/_search", json=QUERY)
    assert untouched(nowhere, engine) and nowhere.headers["X-Reranker"] == "passed; no_ids"


def test_hits_of_one_item_stay_together_in_order(make: Make, engine: Engine) -> None:
    for name in ("3", "7"):
        engine.sources[name]["sku"] = "17"
    answer = make(id_field="sku").post("/items/_search", json=QUERY | {"size": 20})
    order = ids(answer)
    assert sorted(order) == sorted(list(engine.sources)[:20])
    assert order.index("3") < order.index("7") < order.index("17")


def test_many_threads_at_once(make: Make, engine: Engine) -> None:
    proxy = make()
    usual = ids(proxy.post("/items/_search", json=QUERY))
    seen: list[list[str]] = []

    def ask() -> None:
        seen.extend(ids(proxy.post("/items/_search", json=QUERY)) for _ in range(3))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [usual] * 18


def test_an_address_beyond_ascii_passes_and_is_searched(make: Make, engine: Engine) -> None:
    """As curl sends it: bytes, which WSGI hands out as Latin-1."""
    raw = "/items/_search?q=süße".encode().decode("latin-1")
    plain = "/items/_doc/ü".encode().decode("latin-1")
    proxy = make()
    answer = proxy.get("/x", environ_overrides={"RAW_URI": raw, "REQUEST_URI": raw})
    assert answer.status_code == 200
    assert engine.asked[-1].query["q"] == "süße"
    assert proxy.get("/x", environ_overrides={"RAW_URI": plain}).status_code < 500


@pytest.mark.parametrize("target", ["//[/_search", "//secret/_search", "//secret/_search?q=a"])
def test_an_address_is_never_read_as_another_host(make: Make, engine: Engine, target: str) -> None:
    answer = make().get("/x", environ_overrides={"RAW_URI": target})
    assert answer.status_code < 500
    assert engine.asked[-1].path.lstrip("/") == target.partition("?")[0].lstrip("/")


@pytest.mark.parametrize(
    "body",
    ['{"size": ' + "1" + "0" * 5000 + "}", '{"sort": ' + "[" * 400 + "]" * 400 + "}"],
)
def test_a_search_that_cannot_be_read_passes(make: Make, body: str) -> None:
    answer = make().post("/items/_search", data=body, content_type="application/json")
    assert answer.headers["X-Reranker"].startswith("passed")


def test_a_packed_body_that_is_torn_or_has_more_passes_whole(make: Make, engine: Engine) -> None:
    one, other = (gzip.compress(text) for text in (b'{"query":{}', b',"size":3}'))
    for body in (one + other, one[:-6]):
        make().post("/items/_search", data=body, headers={"Content-Encoding": "gzip"})
        assert engine.asked[-1].body == body
        assert engine.asked[-1].headers["content-encoding"] == "gzip"


def test_what_was_typed_may_be_beyond_ascii(make: Make, engine: Engine) -> None:
    rules = Rules()
    headers = {"X-Search-Query": "Käse".encode().decode("latin-1")}
    search = read_search("/items/_search", Headers(headers), b"", rules)
    assert isinstance(search, Search) and search.query == "Käse"


def test_a_many_search_may_have_empty_headers(make: Make) -> None:
    first, second = {"query": {"match": {"title": "a"}}}, {"query": {"match": {"title": "b"}}}
    body = f"\n{json.dumps(first)}\n\n{json.dumps(second)}\n".encode()
    searches = read_searches(body, Headers(), Rules())
    assert [search.query for search in searches if isinstance(search, Search)] == ["a", "b"]


def test_hits_that_are_no_objects_pass(make: Make) -> None:
    assert read_page(b'{"hits": {"hits": [null, 5]}}', "_id") is None


def test_a_port_that_is_none_is_named() -> None:
    with pytest.raises(Failure, match="--elasticsearch is 'http://localhost:abc'"):
        Upstream("http://localhost:abc", "--elasticsearch", 1)
