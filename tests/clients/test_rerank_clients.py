"""Re-rankers of others' libraries, unchanged, against a service that runs."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.service import ALL_LET_IN, serving
from support.shop import copy_home

from service.access.keys import KeyFile

BEFORE = """
import asyncio, json, os, sys
url, key = sys.argv[1:]
query, texts = "shoes for running", ["A desk lamp of steel", "Trail running shoes", "Tea kettle"]
def haystack():
    from haystack import Document
    return [Document(content=text) for text in texts]
def llama(ranker):
    from llama_index.core.schema import NodeWithScore, TextNode
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in texts]
    ranked = ranker.postprocess_nodes(nodes, query_str=query)
    return [(texts.index(one.node.text), one.score) for one in ranked]
"""
AFTER = "\nprint(json.dumps(ranked))"
# A client -> how it is asked: pairs of index and score, best first.
CLIENTS = {
    "langchain-cohere": """
from langchain_cohere import CohereRerank
ranker = CohereRerank(base_url=url, cohere_api_key=key, model="rerank-v3.5", top_n=3)
ranked = [(one["index"], one["relevance_score"]) for one in ranker.rerank(texts, query)]
""",
    "llama-index-postprocessor-cohere-rerank": """
from llama_index.postprocessor.cohere_rerank import CohereRerank
ranked = llama(CohereRerank(base_url=url, api_key=key, top_n=3))
""",
    "cohere-haystack": """
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
ranker = CohereRanker(api_key=Secret.from_token(key), api_base_url=url)
ranker.warm_up()
found = ranker.run(query=query, documents=haystack())["documents"]
ranked = [(texts.index(one.content), one.score) for one in found]
""",
    "jina-haystack": """
from haystack.utils import Secret
from haystack_integrations.components.rankers.jina import JinaRanker
ranker = JinaRanker(api_key=Secret.from_token(key), base_url=url + "/v1/rerank")
found = ranker.run(query=query, documents=haystack())["documents"]
ranked = [(texts.index(one.content), one.score) for one in found]
""",
    "llama-index-postprocessor-jinaai-rerank": """
from llama_index.postprocessor.jinaai_rerank import JinaRerank
ranked = llama(JinaRerank(base_url=url + "/v1", api_key=key, top_n=3))
""",
    "voyageai": """
import voyageai
answer = voyageai.Client(key, base_url=url + "/v1").rerank(query, texts, model="rerank-2.5")
assert [one.document for one in answer.results] == [texts[one.index] for one in answer.results]
ranked = [(one.index, one.relevance_score) for one in answer.results]
""",
    "langchain-voyageai": """
from langchain_core.documents import Document
from langchain_voyageai import VoyageAIRerank
ranker = VoyageAIRerank(model="rerank-2.5", voyage_api_key=key, base_url=url + "/v1", top_k=3)
found = ranker.compress_documents([Document(page_content=text) for text in texts], query)
ranked = [(texts.index(one.page_content), one.metadata["relevance_score"]) for one in found]
""",
    "llama-index-postprocessor-tei-rerank": """
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
ranked = llama(TextEmbeddingInference(base_url=url, auth_token="Bearer " + key, top_n=3))
""",
    "huggingface-api-haystack": """
from haystack.utils import Secret
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
ranker = HuggingFaceTEIRanker(url=url, token=Secret.from_token(key))
found = ranker.run(query=query, documents=haystack())["documents"]
ranked = [(texts.index(one.content), one.score) for one in found]
""",
    "tei-client": """
from tei_client import HttpClient
client = HttpClient(url, headers={"Authorization": "Bearer " + key})
assert client.health() and client.info().server_model_id
answer = client.rerank(query, texts, return_text=True)
assert [one.text for one in answer.ranks] == [texts[one.index] for one in answer.ranks]
ranked = [(one.index, one.score) for one in answer.ranks]
""",
    "infinity-client": """
from infinity_client import AuthenticatedClient
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput
client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
asked = RerankInput(query=query, documents=texts, return_documents=True)
answer = rerank.sync(client=client, body=asked)
assert answer.results[0].document == texts[answer.results[0].index]
ranked = [(one.index, one.relevance_score) for one in answer.results]
""",
}
RERANKERS = """
from rerankers.models.api_rankers import APIRanker
ranker = APIRanker("rerank-v3.5", key, {name!r}, url=url + {path!r})
ranked = [(one.document.doc_id, one.score) for one in ranker.rank(query, texts).results]
"""
PROVIDERS = {
    "cohere": "/v1/rerank",
    "jina": "/jina/v1/rerank",
    "voyage": "/voyage/v1/rerank",
    "text-embeddings-inference": "/rerank",
}
CLIENTS |= {
    f"rerankers, {name}": RERANKERS.format(name=name, path=path) for name, path in PROVIDERS.items()
}


LITELLM = """
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
answer = litellm.rerank(model={model!r}, query=query, documents=texts, api_key=key,
                        api_base=url + {path!r}, top_n=3)
ranked = [(one["index"], one["relevance_score"]) for one in answer.results]
"""
MODELS = {
    "cohere/rerank-v3.5": "",
    "jina_ai/jina-reranker-v2": "/v1/rerank",
    "voyage/rerank-2.5": "/v1",
    "infinity/any": "",
    "huggingface/any": "",
    "hosted_vllm/any": "/v1",
}
CLIENTS |= {
    f"litellm, {model}": LITELLM.format(model=model, path=path) for model, path in MODELS.items()
}


class Service(NamedTuple):
    url: str
    key: str


@pytest.fixture(scope="module")
def service(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = copy_home(shop_home, tmp_path_factory.mktemp("clients") / "home")
    key, _ = KeyFile(home).create("search", ("rerank",))
    with serving(home, **ALL_LET_IN) as running:
        yield Service(f"http://127.0.0.1:{running.port}", key)


def asked(script: str, url: str, key: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [os.environ["RERANKER_TEST_CLIENTS"], "-W", "ignore", "-c", BEFORE + script + AFTER]
        + [url, key],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
    )


@pytest.mark.heavy
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_works_unchanged(service: Service, client: str) -> None:
    done = asked(CLIENTS[client], service.url, service.key)
    assert done.returncode == 0, done.stderr[-3000:]
    ranked: list[Any] = json.loads(done.stdout.splitlines()[-1])
    places, scores = [place for place, _ in ranked], [score for _, score in ranked]
    assert places[0] == 1 and sorted(places) == [0, 1, 2]
    assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores)
