"""Faults in every signal and dependency: the candidates come back, on time, and it is said why."""

import gc
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.breakable import IDS, SENT, Shop, raises
from support.shop import copy_home

from indexes.cached import lazily
from reranker.events.events import HistoryEvent
from reranker.runtime.budget import Breaker, Breakers, RequestBudget, Unavailable, spending
from reranker.runtime.guarded_encoder import GuardedEncoder
from reranker.signals.registry import SIGNALS, Signal

PERSONAL = {name for name, signal in SIGNALS.items() if signal.personal}


class Hanging:
    """What hangs until the answer has come. The time of who waits for it is over as soon as it
    does: no test waits for a clock, and none depends on how much a machine gets done meanwhile."""

    def __init__(self) -> None:
        self._begun, self._released = threading.Event(), threading.Event()
        self._in_encoder = False

    def hang(self, *_anything: Any) -> Any:
        released = self._released
        self._in_encoder = threading.current_thread().name == "encoder"
        self._begun.set()
        released.wait()
        raise OSError("it would have come to nothing")

    def wait(self, done: Callable[[float | None], bool], _seconds: float | None) -> bool:
        """In place of RequestBudget.wait: until it is done, or something hangs."""
        ranks = threading.current_thread().name == "ranking"
        while not done(0.002):
            if self._begun.is_set() and ranks == self._in_encoder:
                return False
        return True

    def release(self) -> None:
        """Whatever hangs goes on; what hangs from now on is new."""
        self._released.set()
        self._begun, self._released = threading.Event(), threading.Event()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    made = Hanging()
    monkeypatch.setattr(RequestBudget, "wait", lambda _budget, *asked: made.wait(*asked))
    yield made
    made.release()


@pytest.fixture
def shop(trained_home: Path) -> Shop:
    return Shop(trained_home)


GARBAGE_HISTORIES: list[Any] = [None, 7, "x", [1], [None], {"a": 1}, [("view", "1")]]
GARBAGE_VECTORS: list[Any] = [
    None,
    [[0.1]],
    np.full((1, 384), np.nan, np.float32),
    np.zeros((1, 3), np.float32),
    np.zeros((2, 384), np.float32),
    np.array([["a"] * 384]),
]


@pytest.mark.promise(17)
@pytest.mark.promise(18)
def test_a_history_that_hangs_costs_its_signals_until_the_breaker_opens(
    shop: Shop, hanging: Hanging
) -> None:
    whole = shop.ask(personalize=False)["results"]
    works, shop.recent = shop.recent, hanging.hang
    for _ in range(3):
        answer = shop.ask()
        hanging.release()
        assert {"behaviour": "history_slow"}.items() <= shop.why(answer).items()
        assert set(shop.why(answer)) <= PERSONAL
        assert answer["results"] == whole, "all others are there"
    assert shop.why(shop.ask())["behaviour"] == "breaker_open"
    assert 'reranker_breaker_open{dependency="history"} 1.0' in shop.client.get("/metrics").text
    breaker = shop.served.breakers.of("history")
    breaker._try_at = 0.0  # the time to try again has come
    shop.recent = works
    assert shop.why(shop.ask()) == {} and not breaker.open
    assert 'reranker_breaker_open{dependency="history"} 0.0' in shop.client.get("/metrics").text


@pytest.mark.promise(18)
@pytest.mark.parametrize(
    "broken",
    [raises, *GARBAGE_HISTORIES],
    ids=lambda one: "dies" if one is raises else str(one)[:30],
)
def test_a_history_that_is_dead_or_garbage(shop: Shop, broken: Any) -> None:
    whole = shop.ask(personalize=False)["results"]
    shop.recent = broken if broken is raises else lambda *_asked: broken
    for _ in range(3):
        answer = shop.ask()
        assert set(shop.why(answer).values()) == {"history_unavailable"}
        assert answer["results"] == whole
    assert set(shop.why(shop.ask()).values()) == {"breaker_open"}


@pytest.mark.promise(18)
def test_a_history_that_another_process_holds(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    db = sqlite3.connect(home / "events" / "history.db", isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    shop = Shop(home)
    why = shop.why(shop.ask())
    assert set(why) <= PERSONAL
    assert set(why.values()) <= {"history_slow", "history_unavailable"}, why
    db.execute("ROLLBACK")
    db.close()
    assert shop.why(shop.ask()) == {}


@pytest.mark.promise(18)
def test_a_damaged_row_costs_the_personal_signals(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    with sqlite3.connect(home / "events" / "history.db") as db:
        db.execute("UPDATE events SET payload = x'c1'")
    db.close()
    shop = Shop(home)
    assert set(shop.why(shop.ask()).values()) == {"history_unavailable"}


@pytest.mark.promise(18)
@pytest.mark.parametrize("broken", [raises, *GARBAGE_VECTORS], ids=lambda one: type(one).__name__)
def test_an_encoder_that_is_dead_or_garbage(shop: Shop, broken: Any) -> None:
    class Broken:
        def encode_queries(self, _texts: list[str]) -> Any:
            return raises() if broken is raises else broken

        encode_documents = encode_queries

    shop.encoder._encoder = Broken()
    assert "semantic" not in shop.why(shop.ask()), "a remembered query needs no encoder"
    for number in range(3):
        why = shop.why(shop.ask(query=f"never seen {number}"))
        assert why["semantic"] == why["typical"] == "encoder_failed"
        assert not PERSONAL & set(why)
    assert shop.why(shop.ask(query="never seen at all"))["semantic"] == "breaker_open"


@pytest.mark.promise(17)
def test_an_encoder_that_hangs_costs_its_signals_only(shop: Shop, hanging: Hanging) -> None:
    class Slow:
        def encode_queries(self, _texts: list[str]) -> Any:
            return hanging.hang()

        encode_documents = encode_queries

    shop.encoder._encoder = Slow()
    for number in range(3):
        why = shop.why(shop.ask(query=f"new {number}"))
        hanging.release()
        assert why["semantic"] == "deadline" and "match" not in why
    assert shop.why(shop.ask(query="new at all"))["semantic"] == "breaker_open"


@pytest.mark.promise(17)
@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "engine"])
def test_a_signal_that_hangs(
    shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch, hanging: Hanging
) -> None:
    broken = Signal(name, hanging.hang, "", SIGNALS[name].personal, SIGNALS[name].learned)
    monkeypatch.setitem(SIGNALS, name, broken)
    answer = shop.ask(explain=True)
    if any(part["signal"] == name for part in answer["degraded"]):
        assert shop.why(answer)[name] == "deadline"
    for result in answer["results"]:
        total = sum(result["explanation"]["contributions"].values())
        assert total == pytest.approx(result["score"], abs=1e-9)


def test_a_timeout_that_is_no_number_says_nothing(shop: Shop) -> None:
    for nonsense in ("", "soon", "-5", "nan", "0", "1e999", "12abc"):
        assert shop.why(shop.ask(headers={"X-Request-Timeout-Ms": nonsense})) == {}


def test_ranking_budget_ms(trained_home: Path) -> None:
    shop = Shop(trained_home, budget_ms=60_000.0)
    assert shop.why(shop.ask()) == {}
    shop.served.budget_ms = 1e-6
    answer = shop.ask()
    assert answer["degraded"] == [{"signal": "all", "reason": "deadline"}]
    assert [result["id"] for result in answer["results"]] == [one["id"] for one in SENT]
    assert shop.why(shop.ask(budget_ms=60_000)) == {}, "the request's own counts"


def test_ranking_breaker_failures_and_seconds(trained_home: Path) -> None:
    shop = Shop(trained_home, breaker_failures=1, breaker_seconds=0.01)
    works, shop.recent = shop.recent, raises
    assert shop.why(shop.ask())["behaviour"] == "history_unavailable"
    assert shop.served.breakers.of("history").open
    shop.recent = works
    time.sleep(0.02)
    assert shop.why(shop.ask()) == {}


def test_a_history_that_hangs_costs_next_action_its_answer_only(
    shop: Shop, hanging: Hanging
) -> None:
    shop.recent = hanging.hang
    found = shop.client.post("/next-action", json={"user": "u3"}).get_json()
    assert found["actions"] == {}
    assert found["degraded"][0]["reason"] in ("history_slow", "too_few_visits")


# Promise 5: every combination of missing parts.


@pytest.mark.promise(5)
@pytest.mark.parametrize("model", [True, False], ids=["model", "no model"])
def test_every_combination_of_missing_parts(
    trained_home: Path, shop_home: Path, tmp_path: Path, model: bool, record_property: Any
) -> None:
    home = trained_home if model else copy_home(shop_home, tmp_path / "home")
    shop = Shop(home, breaker_failures=1_000_000)
    whole = shop.encoder._encoder

    class Gone:
        encode_queries = encode_documents = staticmethod(raises)

    record_property("runs", 16)
    for number in range(16):
        no_user, empty, unknown, no_encoder = (bool(number >> bit & 1) for bit in range(4))
        shop.encoder._encoder = Gone() if no_encoder else whole
        sent = [f"unknown {one}" for one in range(9)] if unknown else IDS[:9]
        more: dict[str, Any] = {"user": "nobody" if no_user else "u3"}
        if empty:
            more["history"] = []
        query = f"jacket {number} {model}"
        answer = shop.ask(query=query, candidates=[{"id": one} for one in sent], **more)
        why = shop.why(answer)
        text = shop.client.get("/metrics").text
        for signal, reason in why.items():
            assert f'{{reason="{reason}",signal="{signal}"}}' in text
        if unknown:
            assert [result["id"] for result in answer["results"]] == sent
            assert why["semantic"] == "not_in_index"
        elif no_encoder:
            assert why["semantic"] == "encoder_failed"
        if model and (no_user or empty):
            assert why["behaviour"] == "no_history"


# The parts on their own.


def test_a_breaker_opens_tries_again_and_closes() -> None:
    now, told = 0.0, []
    breaker = Breaker(3, 5.0, told.append, lambda: now)
    for _ in range(2):
        breaker.failed()
    breaker.worked()
    for _ in range(3):
        breaker.check()
        breaker.failed()
    assert told == [True]
    with pytest.raises(Unavailable, match="breaker_open"):
        breaker.check()
    now = 5.0
    breaker.check()  # one may try
    with pytest.raises(Unavailable):
        breaker.check()  # and no other meanwhile
    breaker.failed()
    now = 9.9
    with pytest.raises(Unavailable):
        breaker.check()
    now = 10.0
    breaker.check()
    breaker.worked()
    breaker.check()
    assert told == [True, False]


def test_a_breaker_lets_no_more_in_while_many_never_came_back() -> None:
    now = 0.0
    breaker = Breaker(1, 1.0, clock=lambda: now)
    for _ in range(8):
        breaker.left()
        now += 2.0
    with pytest.raises(Unavailable):
        breaker.check()
    breaker.came_back()
    breaker.check()


def test_equal_texts_are_encoded_once_and_late_vectors_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []
    go = threading.Event()

    class Counted:
        def encode_queries(self, texts: list[str]) -> Any:
            calls.append(texts)
            go.wait()
            return np.ones((len(texts), 4), np.float32)

        encode_documents = encode_queries

    breakers = Breakers(1000)
    guarded = GuardedEncoder(Counted(), 4, breakers.of("encoder"))
    waiting = threading.Semaphore(0)

    def wait(_budget: Any, done: Callable[[float | None], bool], seconds: float | None) -> bool:
        waiting.release()
        return done(seconds)

    monkeypatch.setattr(RequestBudget, "wait", wait)

    def ask(budget: float, found: list[Any]) -> None:
        with spending(RequestBudget(time.perf_counter() + budget, breakers)):
            try:
                found.append(guarded.encode_queries(["red"]))
            except Unavailable as unavailable:
                found.append(unavailable.reason)

    found: list[Any] = []
    ask(0.02, found)
    waiting.acquire()
    assert found == ["deadline"]
    threads = [threading.Thread(target=ask, args=(600.0, found)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in threads:
        waiting.acquire()
    go.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len(found) == 6
    assert all(vectors.shape == (1, 4) for vectors in found[1:])


def test_an_encoder_that_is_no_longer_served_goes_away() -> None:
    class Fine:
        def encode_queries(self, texts: list[str]) -> Any:
            return np.ones((len(texts), 4), np.float32)

        encode_documents = encode_queries

    breakers = Breakers()
    guarded = GuardedEncoder(Fine(), 4, breakers.of("encoder"))
    with spending(RequestBudget(time.perf_counter() + 30, breakers)):
        guarded.encode_queries(["red"])
    gone = weakref.ref(guarded)
    del guarded
    end = time.monotonic() + 180
    while gone() is not None and time.monotonic() < end:
        time.sleep(0.05)
        gc.collect()
    assert gone() is None


def test_a_value_that_takes_long_holds_up_no_other_object() -> None:
    begun, go = threading.Event(), threading.Event()

    class Thing:
        def __init__(self, slow: bool) -> None:
            self.slow, self.times = slow, 0

        @lazily
        def value(self) -> int:
            self.times += 1
            if self.slow:
                begun.set()
                go.wait()
            return self.times

    slow = threading.Thread(target=lambda: Thing(slow=True).value)
    slow.start()
    begun.wait()
    quick = Thing(slow=False)
    assert (quick.value, quick.value, quick.times) == (1, 1, 1)  # while the other one takes long
    go.set()
    slow.join()


def test_events_of_a_guarded_history_are_those_of_the_store(shop: Shop) -> None:
    events = shop.recent("u3", None, 50, None)
    assert [event.item for event in events] == ["3", "8", "13"]
    assert all(isinstance(event, HistoryEvent) for event in events)
