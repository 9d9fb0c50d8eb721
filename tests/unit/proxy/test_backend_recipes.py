"""The ten lines of docs/clients.md for engines without a plugin, run against their answers."""

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.engine import Asked, Engine
from support.paths import ROOT

PAGE = (ROOT / "docs" / "clients.md").read_text()
IDS = ["1", "15", "16", "40"]  # 16 is a tea kettle that can be bought


def recipe(name: str) -> str:
    match = re.search(rf"<!-- recipe: {name} -->\n```python\n(.*?)```", PAGE, re.S)
    assert match, name
    return match[1]


def solr(asked: Asked) -> tuple[int, Any]:
    assert asked.query["defType"] == "edismax" and "score" in asked.query["fl"]
    rows = [{"id": name, "score": 9.0 - place} for place, name in enumerate(IDS)]
    return 200, {"responseHeader": {"status": 0}, "response": {"numFound": 4, "docs": rows}}


def vespa(asked: Asked) -> tuple[int, Any]:
    assert b"userQuery()" in asked.body
    hits = [
        {"id": f"id:items:items::{name}", "relevance": 0.9 - place / 10, "fields": {"id": name}}
        for place, name in enumerate(IDS)
    ]
    return 200, {"root": {"id": "toplevel", "relevance": 1.0, "children": hits}}


def typesense(asked: Asked) -> tuple[int, Any]:
    assert asked.headers["x-typesense-api-key"] == "KEY"
    hits = [
        {"document": {"id": name}, "text_match": 578730123365187705 - place}
        for place, name in enumerate(IDS)
    ]
    return 200, {"found": 4, "hits": hits, "page": 1}


@pytest.mark.parametrize(
    ("name", "route", "answer", "id_of"),
    [
        ("solr", "GET /solr/items/select", solr, lambda hit: hit["id"]),
        ("vespa", "POST /search/", vespa, lambda hit: hit["fields"]["id"]),
        (
            "typesense",
            "GET /collections/items/documents/search",
            typesense,
            lambda hit: hit["document"]["id"],
        ),
    ],
)
def test_a_search_in_ten_lines(
    engine: Engine,
    service_url: str,
    name: str,
    route: str,
    answer: Callable[[Asked], tuple[int, Any]],
    id_of: Callable[[Any], str],
) -> None:
    engine.routes[route] = answer
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for service, first in ((service_url, "16"), (nobody, "1")):
        text = (recipe("call") + recipe(name)).replace("http://SERVICE", service)
        text = text.replace("timeout=1", "timeout=60")  # a busy machine
        text = text.replace(f"http://{name.upper()}", engine.url)
        space: dict[str, Any] = {}
        exec(text, space)
        found = [id_of(hit) for hit in space["search"]("tea kettle", "u1")]
        assert sorted(found) == sorted(IDS) and found[0] == first
