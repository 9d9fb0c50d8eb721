"""What the gate reads of a search that nothing has parsed: its candidates, and its time."""

import gzip
import json
from typing import Any

import pytest
from gunicorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from service.server.incoming import Heads, Incoming
from service.server.searches import budget_of, candidates_in, candidates_of

JSON_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def parsed(body: bytes, head: str = "") -> Any:
    incoming = Incoming(Heads(Config()), ("127.0.0.1", 0), 10_000_000)
    first = f"POST /rerank HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    incoming.add(first.encode() + body)
    assert incoming.look()
    request, _ = incoming.take()
    return request


@settings(deadline=None)
@given(
    ids=st.lists(JSON_TEXT, max_size=40),
    query=JSON_TEXT,
    text=st.sampled_from(["", '"id"', 'a \\"id\\": ', "x" * 40_000]),
)
def test_candidates_are_counted_whatever_they_say(ids: list[str], query: str, text: str) -> None:
    body = {"query": query, "candidates": [{"id": one, "text": text} for one in ids]}
    if "id" in {query, *ids}:  # a value that reads like the key is counted, too
        return
    encoded = json.dumps(body, ensure_ascii=False).encode()
    assert candidates_in(encoded, 5000) == len(ids)
    assert candidates_in(encoded, 7) == min(len(ids), 7)


@pytest.mark.parametrize("offset", range(6))
def test_a_mark_between_two_blocks_is_counted_once(offset: int) -> None:
    body = b" " * (65_536 - offset) + b'"id": 1, "id": 2'
    assert candidates_in(body, 10) == 2


def test_documents_of_other_formats_are_counted() -> None:
    for key, item in (("texts", "a lamp"), ("documents", {"text": "a lamp"})):
        body = json.dumps({"model": "m", "query": "x", key: [item] * 300}).encode()
        assert 1 <= candidates_of(parsed(body), body, 5000) <= 310
    strings = json.dumps({"query": "x", "texts": ["17"] * 300}).encode()
    assert 290 <= candidates_of(parsed(strings), strings, 5000) <= 310
    assert candidates_of(parsed(strings), strings, 100) == 100


def test_of_a_gzipped_body_the_bytes_have_to_do() -> None:
    candidates = [{"id": f"item-{n * 7919 % 9999}", "score": 1000.0 - n} for n in range(1000)]
    packed = gzip.compress(json.dumps({"candidates": candidates}).encode())
    request = parsed(packed, "Content-Encoding: gzip\r\n")
    assert 500 < candidates_of(request, packed, 5000) < 2000
    assert candidates_of(request, packed, 100) == 100


@pytest.mark.parametrize(
    ("body", "head", "seconds"),
    [
        (b"{}", "", 0.1),
        (b'{"budget_ms": 50}', "", 0.05),
        (b'{"budget_ms" :2.5e2 }', "", 0.25),
        (b'{"budget_ms": 50}', "X-Request-Timeout-Ms: 20\r\n", 0.02),
        (b'{"budget_ms": 50}', "x-request-timeout-ms: 80\r\n", 0.05),
        (b"{}", "X-Request-Timeout-Ms: soon\r\n", 0.1),
        (b'{"budget_ms": null}', "", 0.1),
        (b'{"budget_ms": 0}', "", 0.1),
        (b'{"budget_ms": 1e999}', "", 3600.0),
        (b'{"budget_ms": 1e-e}', "", 0.1),
    ],
)
def test_the_time_of_a_request_is_what_the_route_will_find(
    body: bytes, head: str, seconds: float
) -> None:
    assert budget_of(parsed(body, head), body, 100.0) == pytest.approx(seconds)
