"""The Python client where the service is away, late, or not what answers."""

import asyncio
import json
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from support.odd_servers import (
    OddServer,
    Script,
    answer,
    drip,
    odd_server,
    raw,
    refusal,
    silence,
)
from support.waiting import wait_until

from reranker.client import AsyncReranker, RerankAnswer, Reranker, RerankerError

HITS: list[Any] = [{"id": "a", "score": 3.0}, {"id": "b"}, "c"]
RANKED = {
    "id": "r1",
    "results": [
        {"id": name, "index": place, "rank": rank, "score": 1.0 / rank}
        for rank, (name, place) in enumerate((("c", 2), ("a", 0), ("b", 1)), 1)
    ],
}
KEPT = {"duplicates": 0, "conflicts": 0, "rejected": []}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def accepting(handler: Any) -> None:
    """Every event of the request is kept."""
    events = len(json.loads(handler.server.asked[-1].body))
    answer(KEPT | {"accepted": events})(handler)


def asked_of(*scripts: Script, **options: Any) -> tuple[RerankAnswer, OddServer]:
    with odd_server(*scripts) as server, Reranker(server.url, **options) as client:
        return client.rerank("shoes", HITS), server


def fell_back(ranked: RerankAnswer, code: str) -> None:
    assert ranked.error and ranked.error.code == code, ranked.error
    assert ranked.error.message
    assert ranked.order == [0, 1, 2] and ranked.id is None
    assert [(row.id, row.score) for row in ranked.results] == [("a", 3.0), ("b", None), ("c", None)]


def test_a_service_that_is_down() -> None:
    with Reranker(f"http://127.0.0.1:{free_port()}", deadline=60) as client:
        fell_back(client.rerank("shoes", HITS), "unreachable")
        assert client.rerank("shoes", HITS, top_n=2).order == [0, 1]
        assert [one.order for one in client.rerank_batch([{"query": "q", "candidates": HITS}])] == [
            [0, 1, 2]
        ]
        assert client.recommend(user="u").error and client.recommend(user="u").results == []
        cart = client.cart(user="u")
        assert cart.error and (cart.complete, cart.next, cart.ordered) == ([], [], None)
        for send in (client.send_events, client.update_items):
            with pytest.raises(RerankerError, match="unreachable"):
                send([{"id": "1"}])


@pytest.mark.parametrize(
    "url", ["http://nobody.invalid", "http://", "nonsense", "http://[::1", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none(url: str) -> None:
    with Reranker(url) as client:
        ranked = client.rerank("shoes", HITS)
    assert ranked.order == [0, 1, 2] and ranked.error


@pytest.mark.parametrize("script", [silence, drip], ids=["silent", "in drops"])
def test_a_service_that_is_slow_is_not_waited_for(script: Script) -> None:
    ranked, _ = asked_of(script, deadline=0.2)
    fell_back(ranked, "timeout")


def test_the_service_is_told_how_long_there_is() -> None:
    ranked, server = asked_of(answer(RANKED), deadline=30, key="secret", headers={"X-Shop": "1"})
    assert ranked.order == [2, 0, 1] and ranked.error is None
    [asked] = server.asked
    assert 0 < float(asked.headers["x-request-timeout-ms"]) <= 30_000
    assert asked.headers["authorization"] == "Bearer secret" and asked.headers["x-shop"] == "1"
    body = json.loads(asked.body)
    assert body["candidates"] == [{"id": "a", "score": 3.0}, {"id": "b"}, {"id": "c"}]
    assert set(body) == {"query", "candidates"}


def test_a_busy_service_is_asked_again_where_there_is_time() -> None:
    ranked, server = asked_of(refusal("overloaded", 503), answer(RANKED), deadline=60)
    assert ranked.order == [2, 0, 1] and len(server.asked) == 2
    ranked, server = asked_of(refusal("overloaded", 503, Retry_After="60"), deadline=30)
    fell_back(ranked, "overloaded")
    assert len(server.asked) == 1, "it would come too late"
    ranked, server = asked_of(refusal("overloaded", 503), retries=3, deadline=60)
    fell_back(ranked, "overloaded")
    assert len(server.asked) == 4
    ranked, server = asked_of(refusal("internal_error", 500), deadline=60)
    fell_back(ranked, "internal_error")
    assert len(server.asked) == 1


def test_a_search_that_breaks_off_is_asked_again() -> None:
    ranked, server = asked_of(raw(b"HTTP/1.1 200 OK\r\nContent-Le"), answer(RANKED), deadline=60)
    assert ranked.order == [2, 0, 1] and len(server.asked) == 2


def rows(*changes: dict[str, Any]) -> dict[str, Any]:
    return RANKED | {
        "results": [row | change for row, change in zip(RANKED["results"], changes, strict=False)]
    }


GARBAGE: dict[str, Any] = {
    "no JSON": b"<html>Welcome</html>",
    "nothing": b"",
    "a list": [],
    "no results": {"id": "x"},
    "results of another kind": {"id": "x", "results": 3},
    "rows of another kind": {"id": "x", "results": [1, 2, 3]},
    "two rows": rows({}, {}),
    "one twice": rows({}, {}, {"index": 2}),
    "one that was not sent": rows({}, {}, {"index": 3}),
    "a negative place": rows({}, {}, {"index": -1}),
    "a place that is true": rows({}, {}, {"index": True}),
    "a place that is a text": rows({}, {}, {"index": "1"}),
    "no score": rows({"score": None}, {}, {}),
    "deep": b"[" * 200_000,
    "no text": b'{"id": "\xff\xfe"}',
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_never_taken_for_a_ranking(body: Any) -> None:
    ranked, server = asked_of(answer(body), deadline=60)
    fell_back(ranked, "bad_answer")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (answer(b"moved", 302, Location="http://127.0.0.1:1/"), "status_302"),
        (answer(b"<h1>Bad gateway</h1>", 502), "status_502"),
        (answer(b'{"error": "text"}', 400), "status_400"),
        (answer(b'{"error": {"code": 3}}', 418), "status_418"),
        (raw(b"SSH-2.0-OpenSSH_9\r\n"), "interrupted"),
        (raw(b""), "interrupted"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"), "interrupted"),
    ],
)
def test_what_another_program_answers_has_a_name(script: Script, code: str) -> None:
    ranked, _ = asked_of(script, deadline=60)
    fell_back(ranked, code)


def test_events_that_may_have_arrived_are_sent_again_as_they_were() -> None:
    with odd_server(raw(b""), refusal("busy", 503), accepting) as server:
        with Reranker(server.url) as client:
            client.event("view", item="1", user="u")
            assert client.flush(60) and client.counts.kept == 1
    first, second, third = (asked.body for asked in server.asked)
    assert first == second == third
    [event] = json.loads(first)
    assert event["id"] and event["time"] and event["type"] == "view"


def test_items_that_may_have_arrived_are_not_sent_again() -> None:
    with odd_server(raw(b""), answer({})) as server, Reranker(server.url) as client:
        with pytest.raises(RerankerError, match="interrupted"):
            client.update_items([{"id": "1", "price": 3}])
        assert len(server.asked) == 1
    with odd_server(refusal("busy", 503), answer(KEPT | {"accepted": 1})) as server:
        with Reranker(server.url) as client:
            assert client.update_items([{"id": "1", "price": 3}]).accepted == 1


@pytest.mark.parametrize(
    "body",
    [
        {"accepted": 2} | KEPT,
        {"accepted": 0} | KEPT,
        {"accepted": "1"} | KEPT,
        {"accepted": 0} | KEPT | {"rejected": [{"position": 7, "field": "", "message": ""}]},
        b"ok",
    ],
)
def test_an_answer_that_does_not_account_for_the_events_is_none(body: Any) -> None:
    with odd_server(answer(body)) as server, Reranker(server.url) as client:
        with pytest.raises(RerankerError, match="bad_answer"):
            client.send_events([{"type": "view", "item": "1", "user": "u"}])


class Lost:
    """What a client gives up."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, str]] = []

    def __call__(self, events: list[dict[str, Any]], reason: str) -> None:
        self.events += [(event["position"], reason) for event in events]


def test_a_full_queue_says_what_it_does_not_take() -> None:
    lost = Lost()
    with odd_server(silence) as server:
        client = Reranker(server.url, queue_events=3, on_lost=lost)
        taken = [client.event("view", item="1", user="u", position=n) for n in range(5)]
        assert taken == [True, True, True, False, False]
        assert [place for place, _ in lost.events] == [3, 4] and "full" in lost.events[0][1]
        wait_until(lambda: bool(server.asked))
        client.close(0.05)
    assert sorted(place for place, _ in lost.events) == [0, 1, 2, 3, 4]
    assert client.counts.queued == client.counts.dropped == 5 and client.counts.waiting == 0


def test_closing_while_events_are_sent_loses_none_that_can_be_sent() -> None:
    with odd_server(refusal("busy", 503), accepting) as server:
        client = Reranker(server.url)
        for number in range(1200):
            client.event("view", item="1", user="u", position=number)
        client.close(60)
    assert client.counts.kept == 1200 and client.counts.dropped == 0
    assert not client.event("view", item="1", user="u")
    assert client.counts.dropped == 1
    assert client.counts.queued == 1201
    ranked = client.rerank("shoes", HITS)
    fell_back(ranked, "closed")
    with pytest.raises(RerankerError, match="closed"):
        client.send_events([])
    client.close()


def test_one_event_that_spoils_a_body_costs_no_other() -> None:
    """A proxy in front refuses what it does not like: the events around it still pass."""

    def choosy(handler: Any) -> None:
        body = handler.server.asked[-1].body
        refuse = b'"position":13' in body
        (answer(b"forbidden word", 400) if refuse else accepting)(handler)

    lost = Lost()
    with odd_server(choosy) as server, Reranker(server.url, on_lost=lost) as client:
        for number in range(40):
            client.event("view", item="1", user="u", position=number)
        assert client.flush(60)
    assert [place for place, _ in lost.events] == [13]
    assert client.counts.kept == 39 and client.counts.dropped == 1


def test_own_code_that_fails_does_not_end_the_sending() -> None:
    def fails(_events: Any, _reason: str) -> None:
        raise ZeroDivisionError

    numbers = count()

    def first_is_wrong(handler: Any) -> None:
        wrong = {"position": 0, "field": "type", "message": "no"}
        rejected = {"accepted": 0} | KEPT | {"rejected": [wrong]}
        (answer(rejected) if next(numbers) == 0 else accepting)(handler)

    with odd_server(first_is_wrong) as server, Reranker(server.url, on_lost=fails) as client:
        client.event("view", item="1", user="u")
        assert client.flush(60)
        client.event("view", item="2", user="u")
        assert client.flush(60)
    assert (client.counts.rejected, client.counts.kept) == (1, 1)


def run(ask: Callable[[AsyncReranker], Any], *scripts: Script, **options: Any) -> Any:
    async def inside(url: str) -> Any:
        async with AsyncReranker(url, **options) as client:
            return await ask(client)

    with odd_server(*scripts) as server:
        return asyncio.run(inside(server.url))


def test_async_falls_back_and_keeps_account_as_well() -> None:
    fell_back(run(lambda client: client.rerank("shoes", HITS), drip, deadline=0.2), "timeout")
    fell_back(run(lambda client: client.rerank("shoes", HITS), answer([])), "bad_answer")

    async def events(client: AsyncReranker) -> Any:
        assert client.event("view", item="1", user="u", position=1)
        assert await client.flush(60)
        return client.counts

    counts = run(events, raw(b""), accepting)
    assert (counts.queued, counts.kept, counts.waiting) == (1, 1, 0)


def test_a_loop_that_ends_without_closing_says_what_was_not_sent() -> None:
    async def forgetful(url: str, lost: Lost) -> AsyncReranker:
        client = AsyncReranker(url, on_lost=lost)
        client.event("view", item="1", user="u", position=7)
        return client

    lost = Lost()
    with odd_server(silence) as server:
        client = asyncio.run(forgetful(server.url, lost))
    assert [place for place, _ in lost.events] == [7] and "loop" in lost.events[0][1]
    assert client.counts.dropped == 1 and client.counts.waiting == 0


def test_a_task_that_is_cancelled_leaves_the_client_usable() -> None:
    async def ask(server: OddServer) -> RerankAnswer:
        async with AsyncReranker(server.url, deadline=60) as client:
            first = asyncio.create_task(client.rerank("shoes", HITS))
            while not server.asked:
                await asyncio.sleep(0.01)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await client.rerank("shoes", HITS)

    with odd_server(silence, answer(RANKED)) as server:
        assert asyncio.run(ask(server)).order == [2, 0, 1]
