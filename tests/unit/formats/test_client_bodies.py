"""The bytes that real clients send, as they were recorded, and what they look for in the answer.

`make test-clients` runs the clients themselves (docs/clients.md).
"""

from typing import Any

import pytest
from flask.testing import FlaskClient

TEXTS = b'["A desk lamp of steel","Trail running shoes","Tea kettle"]'
# Client, address, body; where the results stand, and the key of a score.
BODIES = [
    (
        *("langchain-cohere", "/v2/rerank"),
        b'{"model":"rerank-v3.5","query":"shoes for running","documents":TEXTS,"top_n":3,'
        b'"max_tokens_per_doc":null}',
        *("results", "relevance_score"),
    ),
    (
        *("cohere-haystack", "/v2/rerank"),
        b'{"model":"rerank-v3.5","query":"shoes for running","documents":TEXTS,"top_n":10,'
        b'"max_tokens_per_doc":4096}',
        *("results", "relevance_score"),
    ),
    (
        *("jina-haystack", "/v1/rerank"),
        b'{"query":"shoes for running","documents":TEXTS,"model":"jina-reranker-v1-base-en",'
        b'"top_n":null}',
        *("results", "relevance_score"),
    ),
    (
        *("rerankers, jina", "/jina/v1/rerank"),
        b'{"model": "rerank-v3.5", "query": "shoes for running", "documents": TEXTS, "top_n": 3, '
        b'"return_documents": true}',
        *("results", "relevance_score"),
    ),
    (
        *("voyageai", "/v1/rerank"),
        b'{"query": "shoes for running", "documents": TEXTS, "model": "rerank-2.5", "top_k": null,'
        b' "truncation": true}',
        *("data", "relevance_score"),
    ),
    (
        *("huggingface-api-haystack", "/rerank"),
        b'{"query":"shoes for running","texts":TEXTS,"raw_scores":false}',
        *("", "score"),
    ),
    (
        *("tei-client", "/rerank"),
        b'{"query":"shoes for running","texts":TEXTS,"return_text":false,"raw_scores":false,'
        b'"truncate":false,"truncation_direction":"Right"}',
        *("", "score"),
    ),
    (
        *("rerankers, text-embeddings-inference", "/rerank"),
        b'{"model": "rerank-v3.5", "query": "shoes for running", "texts": TEXTS, "top_n": 3, '
        b'"return_text": true}',
        *("", "score"),
    ),
    (
        *("litellm, hosted_vllm", "/v1/rerank"),
        b'{"model":"any","query":"shoes for running","documents":TEXTS,"top_n":3,'
        b'"return_documents":true}',
        *("results", "relevance_score"),
    ),
    (
        *("infinity-client", "/rerank"),
        b'{"query":"shoes for running","documents":TEXTS,"return_documents":true,'
        b'"raw_scores":false,"model":"default/not-specified"}',
        *("results", "relevance_score"),
    ),
]


@pytest.mark.parametrize(
    ("route", "body", "results", "score"),
    [case[1:] for case in BODIES],
    ids=[case[0] for case in BODIES],
)
def test_a_recorded_body_is_answered_as_its_client_reads_it(
    client: FlaskClient, route: str, body: bytes, results: str, score: str
) -> None:
    answer = client.post(route, data=body.replace(b"TEXTS", TEXTS), content_type="application/json")
    assert answer.status_code == 200, answer.text
    said = answer.get_json()
    rows: list[dict[str, Any]] = said[results] if results else said
    assert [row["index"] for row in rows][0] == 1 and len(rows) == 3
    scores = [row[score] for row in rows]
    assert scores == sorted(scores, reverse=True) and all(0 < one < 1 for one in scores)
