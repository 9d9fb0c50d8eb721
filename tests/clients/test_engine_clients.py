"""The engines' own clients, against the proxy before a server that answers in their shapes."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.engine import Engine, running_engine
from support.service import PROGRAM, environment, serving
from support.shop import copy_home, small_shop

SCRIPT = """
import json, sys
kind, url = sys.argv[1:]
query = {"match": {"title": "tea kettle"}}
if kind == "elasticsearch":
    from elasticsearch import Elasticsearch
    client = Elasticsearch(url, http_compress=True)
    search = lambda **more: client.search(index="items", query=query, **more)
    many = client.msearch(searches=[{"index": "items"}, {"query": query}])
else:
    from opensearchpy import OpenSearch
    client = OpenSearch(url, http_compress=True)
    search = lambda **more: client.search(index="items", body={"query": query, **more})
    many = client.msearch(body=[{"index": "items"}, {"query": query}])
ids = lambda answer: [hit["_id"] for hit in answer["hits"]["hits"]]
start = "from" if kind != "elasticsearch" else "from_"
pages = [ids(search(**{start: at, "size": 5})) for at in (0, 5)]
print(json.dumps({
    "first": ids(search(size=10)),
    "pages": pages,
    "many": len(ids(many["responses"][0])),
    "version": client.info()["version"]["number"],
}))
"""


@contextmanager
def proxying(engine: str, service: str) -> Iterator[str]:
    """`reranker proxy` until the block ends: its address."""
    process = subprocess.Popen(
        [str(PROGRAM), "proxy", "--elasticsearch", engine, "--service", service]
        + ["--port", "0", "--workers", "1", "--budget-ms", "60000"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        address = re.search(r"http://[0-9.:]+", process.stdout.readline())
        assert address
        yield address[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_searches_through_the_proxy(shop_home: Path, tmp_path: Path, kind: str) -> None:
    sources = {item["id"]: {"title": item["title"]} for item in small_shop()}
    home = copy_home(shop_home, tmp_path / "home")
    with (
        running_engine(Engine(sources)) as engine,
        serving(home) as service,
        proxying(engine.url, f"http://127.0.0.1:{service.port}") as url,
    ):
        done = subprocess.run(
            [os.environ["RERANKER_TEST_CLIENTS"], "-c", SCRIPT, kind, url],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["first"] == [name for page in said["pages"] for name in page]
    assert "kettle" in sources[said["first"][0]]["title"] and said["first"] != list(sources)[:10]
    assert (said["many"], said["version"]) == (10, "9.1.0")
