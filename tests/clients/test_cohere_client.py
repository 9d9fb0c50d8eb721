"""Cohere's own client, both versions of it, against a service that runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.service import ALL_LET_IN, serving
from support.shop import copy_home

from service.access.keys import KeyFile

SCRIPT = """
import json, sys
import cohere
url, key, wrong = sys.argv[1:]
documents = ["A desk lamp of steel", "Trail running shoes", "Tea kettle"]
asked = {"model": "rerank-v3.5", "query": "shoes for running"}
two, one = cohere.ClientV2(key, base_url=url), cohere.Client(key, base_url=url)
v2 = two.rerank(documents=documents, **asked)
top = two.rerank(documents=["40", "0", "1"], top_n=2, **asked)
v1 = one.rerank(documents=[{"text": text} for text in documents], return_documents=True, **asked)
def refused(client, **more):
    try:
        client.rerank(**asked, **more)
    except cohere.core.ApiError as error:
        return [type(error).__name__, error.status_code, error.body.get("message")]
print(json.dumps({
    "v2": [[row.index, row.relevance_score] for row in v2.results],
    "version": v2.meta.api_version.version,
    "top": [row.index for row in top.results],
    "v1": [row.document.text for row in v1.results],
    "empty": refused(two, documents=[]),
    "unauthorized": refused(cohere.ClientV2(wrong, base_url=url), documents=documents),
}))
"""


@pytest.mark.heavy
def test_both_versions_of_the_client_work_unchanged(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    key, _ = KeyFile(home).create("search", ("rerank",))
    with serving(home, **ALL_LET_IN) as service:
        url = f"http://127.0.0.1:{service.port}"
        said = answers(url, key, "wrong")
    assert said["v2"][0][0] == 1 and len(said["v2"]) == 3
    assert all(0 < score < 1 for _, score in said["v2"])
    assert said["version"] == "2"
    assert len(said["top"]) == 2 and set(said["top"]) == {1, 2}
    assert said["v1"][0] == "Trail running shoes"
    assert said["empty"][:2] == ["BadRequestError", 400]
    assert said["empty"][2] == "invalid request: documents must not be empty."
    assert said["unauthorized"][:2] == ["UnauthorizedError", 401]


def answers(*arguments: str) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [os.environ["RERANKER_TEST_CLIENTS"], "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
