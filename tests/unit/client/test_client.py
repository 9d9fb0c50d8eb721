"""The Python client against the real service, listening: sync and async."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.service import ALL_LET_IN, Running, serving
from support.shop import copy_home
from support.snippets import snippet

from reranker.client import AsyncReranker, RerankAnswer, Reranker, RerankerError

HITS: list[Any] = ["40", "15", "1", "0"]  # a lamp, a kettle, two pairs of running shoes
QUERY = "shoes for running"
NOW = datetime.now(UTC).isoformat()


@pytest.fixture(scope="module")
def home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(shop_home, tmp_path_factory.mktemp("client") / "home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Running]:
    few = {"RERANKER_EVENTS_REQUEST_EVENTS": "50"}
    with serving(home, "--workers", "1", **ALL_LET_IN, **few) as running:
        yield running


@pytest.fixture(scope="module")
def url(service: Running) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.fixture
def reranker(url: str) -> Iterator[Reranker]:
    with Reranker(url, deadline=60) as client:
        yield client


def kept(service: Running, user: str) -> list[dict[str, Any]]:
    status, body = service.ask(f"/users/{user}")
    found: list[dict[str, Any]] = json.loads(body)["events"] if status == 200 else []
    return found


def test_five_lines_put_a_page_in_a_better_order(reranker: Reranker) -> None:
    hits = [{"id": item, "score": 10.0 - place} for place, item in enumerate(HITS)]
    answer = reranker.rerank(QUERY, hits, user="u1")  # type: ignore[arg-type]
    assert answer.error is None and answer.id
    assert {hit["id"] for hit in answer.applied_to(hits)[:2]} == {"0", "1"}
    assert [result.id for result in answer.results] == [
        hit["id"] for hit in answer.applied_to(hits)
    ]
    assert [result.rank for result in answer.results] == [1, 2, 3, 4]
    scores = [result.score or 0.0 for result in answer.results]
    assert scores == sorted(scores, reverse=True)


def test_the_snippets_of_the_docs_do_what_they_say(
    service: Running, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(snippet("clients.md", "python", url).replace("deadline=0.5", "deadline=60"), names := {})
    assert capsys.readouterr().out == "['2', '7', '25'] None\n"
    names["reranker"].close()
    assert [event["item"] for event in kept(service, "u1")] == ["2"]
    done = subprocess.run(
        ["sh", "-ec", snippet("clients.md", "curl", url)], capture_output=True, check=True
    )
    ranking, end = json.JSONDecoder().raw_decode(done.stdout.decode())
    assert [result["id"] for result in ranking["results"]] == ["2", "7", "25"]
    assert json.loads(done.stdout.decode()[end:])["accepted"] == 1
    assert len(kept(service, "u1")) == 2


def test_async_answers_what_sync_answers(reranker: Reranker, url: str) -> None:
    async def ask() -> list[RerankAnswer]:
        async with AsyncReranker(url, deadline=60) as client:
            return list(await asyncio.gather(*(client.rerank(QUERY, HITS) for _ in range(8))))

    orders = [answer.order for answer in asyncio.run(ask())]
    assert orders == [reranker.rerank(QUERY, HITS).order] * 8


def test_numbers_of_other_libraries_and_options_pass(reranker: Reranker) -> None:
    hits: list[Any] = [
        {"id": 40, "score": np.float32(3)},
        {"id": 0, "score": Decimal("2.5"), "text": None},
    ]
    answer = reranker.rerank(
        QUERY, hits, top_n=1, explain=True, weights={"engine": 0.0}, time=datetime.now(UTC)
    )
    assert answer.error is None and answer.order == [1]
    assert answer.results[0].explanation and "semantic" in str(answer.results[0].explanation)
    assert answer.raw["blend"]["name"] == "default"


def test_nothing_searched_is_nothing_answered(reranker: Reranker) -> None:
    assert reranker.rerank(QUERY, []).error is None
    assert reranker.rerank(QUERY, iter(HITS), top_n=0).results == []


def test_what_the_service_refuses_is_the_engines_order_and_says_why(reranker: Reranker) -> None:
    answer = reranker.rerank(QUERY, HITS, blend="nobodys", top_n=3)
    assert answer.order == [0, 1, 2] and answer.id is None
    assert answer.error and answer.error.code == "unknown_blend" and answer.error.status == 422
    answer = reranker.rerank(QUERY, ["1", "1"])
    assert answer.order == [0, 1] and answer.error and answer.error.field == "candidates[1].id"
    broken: list[Any] = [{"id": "1", "score": float("nan")}, {"id": "2"}]
    answer = reranker.rerank(QUERY, broken)
    assert answer.order == [0, 1] and answer.error and answer.error.code == "bad_request"


def test_a_batch_is_answered_each_for_itself(reranker: Reranker) -> None:
    requests: list[Any] = [{"query": QUERY, "candidates": HITS, "top_n": n} for n in range(1, 5)]
    requests[2]["blend"] = "nobodys"
    answers = reranker.rerank_batch(requests, size=3, deadline=60)
    assert [len(answer.results) for answer in answers] == [1, 2, 3, 4]
    assert [answer.error.code if answer.error else "" for answer in answers] == [
        *("", "", "unknown_blend", "")
    ]
    assert answers[2].order == [0, 1, 2]
    assert answers[3].order == reranker.rerank(QUERY, HITS).order


def test_recommendations_and_carts(reranker: Reranker) -> None:
    recommended = reranker.recommend(context={"item": "17"}, top_n=5)
    assert recommended.error is None and len(recommended.results) == 5
    assert recommended.results[0].reason["text"] and recommended.source
    cart = reranker.cart(cart=[{"item": "3", "quantity": 1}], top_n=5)
    assert cart.error is None and cart.id
    refused = reranker.recommend(filters={"colour": "red"})
    assert refused.results == [] and refused.error and refused.error.status == 422


def test_events_in_the_background_are_kept_once(reranker: Reranker, service: Running) -> None:
    """In bodies that the service takes: it refuses those with more than 50 events."""
    for number in range(120):
        assert reranker.event("view", item=str(number % 60), user="background", position=number)
    assert reranker.flush(60)
    assert reranker.counts.kept == reranker.counts.queued == 120
    assert reranker.counts.dropped == reranker.counts.waiting == reranker.counts.duplicates == 0
    assert sorted(event["position"] for event in kept(service, "background")) == list(range(120))


def test_what_is_wrong_with_an_event_is_told(url: str, service: Running) -> None:
    lost: list[Any] = []
    options = {"on_lost": lambda events, reason: lost.append((events, reason))}
    with Reranker(url, **options) as client:  # type: ignore[arg-type]
        assert client.event("view", item="1", user="told")
        assert client.event("dance", item="2", user="told")
        assert not client.event("view", item="3", user="told", price=float("inf"))
    assert client.counts.queued == 3
    assert (client.counts.kept, client.counts.rejected, client.counts.dropped) == (1, 1, 1)
    (first, why), (second, because) = lost
    assert first[0]["item"] == "3" and "JSON" in why
    assert second[0]["item"] == "2" and "dance" in because
    assert len(kept(service, "told")) == 1


def test_events_and_items_sent_now(reranker: Reranker, service: Running) -> None:
    event = {"type": "view", "item": "1", "user": "direct", "id": "e1", "time": NOW}
    answer = reranker.send_events([event, {"type": "view"}])
    assert (answer.accepted, answer.rejected[0].position) == (1, 1)
    assert reranker.send_events([event]).duplicates == 1
    changed = reranker.update_items([{"id": "17", "price": 9.5}, {"id": "nobodys", "price": 1}])
    assert changed.accepted == 1 and changed.rejected[0].field == "title"
    with pytest.raises(RerankerError) as refused:
        reranker.send_events([{"type": "view"}] * 51)
    assert refused.value.failure.status == 422


def test_events_wait_while_the_service_is_away(home: Path) -> None:
    with serving(home, "--workers", "1") as first:
        port = first.port
    with Reranker(f"http://127.0.0.1:{port}") as client:
        for number in range(5):
            assert client.event("view", item="1", user="patient", position=number)
        assert not client.flush(0.01)
        assert client.counts.waiting == 5
        assert client.rerank(QUERY, HITS).order == [0, 1, 2, 3]
        with serving(home, "--workers", "1", "--port", str(port)) as second:
            assert client.flush(60)
            assert client.counts.kept == 5 and client.counts.dropped == 0
            assert len(kept(second, "patient")) == 5


FORKS = """
import os, sys
from reranker.client import Reranker
client = Reranker(sys.argv[1], deadline=60)
first = client.rerank("shoes for running", ["40", "0"])
child = os.fork()
second = client.rerank("shoes for running", ["40", "0"])
client.event("view", item="1", user="forked", position=0 if child else 1)
assert first.error is None and second.error is None, (first, second)
if child:
    assert os.waitpid(child, 0)[1] == 0
print("left", "torch" in sys.modules, "numpy" in sys.modules)
"""


def test_processes_that_fork_and_leave_lose_nothing(url: str, service: Running) -> None:
    """Neither closes its client: what waits is sent on the way out."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout == "left False False\n" * 2, done
    assert {event["position"] for event in kept(service, "forked")} == {0, 1}


COPIED = """
import sys
sys.path.insert(0, sys.argv[2])
import our_search.ranking as client
answer = client.Reranker(sys.argv[1], deadline=60).rerank("shoes for running", ["40", "0"])
assert answer.order == [1, 0], answer
print(sorted({"reranker", "indexes", "service", "msgspec", "flask"} & sys.modules.keys()))
"""


def test_the_folder_alone_is_enough(url: str, tmp_path: Path) -> None:
    (tmp_path / "our_search").mkdir()
    shutil.copytree(ROOT / "reranker" / "client", tmp_path / "our_search" / "ranking")
    command = [sys.executable, "-c", COPIED, url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done
