"""The gate before the threads: who waits, who hears 503, and how slow senders are kept apart."""

import http.client
import json
import math
import random
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.service import Running, serving
from support.shop import copy_home
from support.waiting import wait_until

from service.server.admission import Admission, Admitted
from service.server.service_times import ServiceTimes
from service.server.settings import AdmissionSettings

HURRY = "X-Request-Timeout-Ms: 1\r\n"  # who has to wait at all is refused
BODY = {"query": "coffee maker", "candidates": [{"id": f"{number}"} for number in range(60)]}


class Queue:
    """A process on a clock of its own: one request after another, and the gate before it.

    costs: seconds of a request without candidates, and of each candidate. speed: of its processor
    seconds, those that pass on the clock. refusing: seconds that a refusal costs.
    """

    def __init__(self, chosen: AdmissionSettings, costs: tuple[float, float], speed: float = 1.0):
        self.now = self.spent = 0.0
        self.costs, self.speed, self.refusing = costs, speed, 0.0
        self.gate = Admission(chosen, lambda: self.now, lambda: self.spent)
        self._inside: deque[Admitted] = deque()
        self._worked = 0.0  # of the first of them
        self.took: list[float] = []

    def ask(self, candidates: int, budget: float = 0.1) -> bool:
        let_in = self.gate.admit(budget, lambda: candidates)
        if let_in is None:
            self.work(self.refusing)
            return False
        self._inside.append(let_in)
        return True

    def work(self, seconds: float) -> None:
        """Let the clock go on without an answer."""
        self.now += seconds
        self.spent += seconds * self.speed

    def until(self, then: float) -> None:
        """Answer what is inside, as far as this time goes."""
        while self._inside and self.now < then:
            first = self._inside[0]
            left = (self.costs[0] + self.costs[1] * first.candidates) / self.speed - self._worked
            step = min(left, then - self.now)
            self.work(step)
            self._worked += step
            if step == left:
                self._inside.popleft()
                self._worked = 0.0
                self.gate.done(first)
                self.took.append(self.now - first.came)
        self.now = max(self.now, then)

    def empty(self) -> None:
        self.until(self.now + 1e6)

    def learn(self, sizes: Sequence[int]) -> None:
        """Answer requests of these sizes, three at a time."""
        for size in sizes:
            assert self.ask(size, 1e6)
            while len(self._inside) > 2:
                self.until(self.now + 1e-4)
        while self._inside:
            self.until(self.now + 1e-4)
        self.took.clear()


CHOSEN = AdmissionSettings()
COSTS = (0.0016, 4.4e-6)


@pytest.mark.promise(16)
@pytest.mark.parametrize("size", [100, 1000])
def test_connections_that_ask_without_pause_are_never_refused(size: int) -> None:
    """Eight of them, each with the next request as soon as it has an answer."""
    queue = Queue(CHOSEN, COSTS)
    for _ in range(8):
        assert queue.ask(size)
    for _ in range(5000):
        answered = len(queue.took)
        while len(queue.took) == answered:
            queue.until(queue.now + 1e-4)
        assert queue.ask(size)


@pytest.mark.promise(16)
@pytest.mark.parametrize("costs", [COSTS, (0.0008, 1e-6), (0.004, 1e-5)])
@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("times", [2, 5, 10])
def test_past_the_capacity_the_accepted_are_in_time(
    costs: tuple[float, float], size: int, times: int
) -> None:
    queue, chance = Queue(CHOSEN, costs), random.Random(3)
    seconds = costs[0] + costs[1] * size
    queue.refusing = 0.03 * seconds / times
    due = 0.0
    while due < 20.0:
        due += chance.expovariate(times / seconds)
        queue.until(due)
        queue.ask(size)
    settled = queue.took[len(queue.took) // 10 :]
    assert max(settled) < 0.1
    assert len(queue.took) > 0.8 * 20.0 / seconds


@given(
    intercept=st.floats(3e-4, 1e-2),
    slope=st.floats(5e-7, 2e-5),
    small=st.integers(1, 300),
    large=st.integers(600, 5000),
    shares=st.lists(st.booleans(), min_size=5, max_size=12),
)
def test_what_a_request_takes_is_learned_from_those_before(
    intercept: float, slope: float, small: int, large: int, shares: list[bool]
) -> None:
    """Whatever the sizes are that come, each is known, and so is what they take together, once
    what the first ones seemed to take is forgotten: far from what was expected, they counted as
    less far, and where one in ten is large, it takes a hundred of those."""
    times = ServiceTimes()
    sizes = [large if share else small for share in shares]
    for size in sizes * 200:
        times.note(1, size, intercept + slope * size)
    taken = sum(intercept + slope * size for size in sizes)
    assert times.seconds(len(sizes), sum(sizes)) == pytest.approx(taken, rel=0.1)
    for size in sizes:
        assert times.seconds(1, size) == pytest.approx(intercept + slope * size, rel=0.5)
    assert times.intercept > 0 and times.slope >= 0


def test_intercept_and_slope_are_told_apart_by_requests_of_two_sizes() -> None:
    times = ServiceTimes()
    for _ in range(300):
        times.note(1, 20, 0.0008 + 20 * 2e-6)
        times.note(1, 1000, 0.0008 + 1000 * 2e-6)
    assert times.intercept == pytest.approx(0.0008, rel=0.1)
    assert times.slope == pytest.approx(2e-6, rel=0.1)


def test_one_that_hangs_is_no_measure_and_a_slower_machine_is() -> None:
    times = ServiceTimes()
    for _ in range(300):
        times.note(10, 1000, 0.02)
    times.note(10, 1000, 5.0)  # 250 times what was expected
    assert times.seconds(10, 1000) < 0.026
    for _ in range(50):
        times.note(10, 1000, 0.02)
    assert times.seconds(10, 1000) == pytest.approx(0.02, rel=0.05)
    for _ in range(50):
        times.note(10, 1000, 0.2)
    assert times.seconds(10, 1000) == pytest.approx(0.2, rel=0.05)


def test_a_process_that_has_half_a_processor_takes_twice_as_long() -> None:
    queue = Queue(CHOSEN, COSTS, speed=0.5)
    queue.learn([100] * 2000)
    times = queue.gate.times
    assert times.stretch == pytest.approx(2.0, rel=0.1)
    assert times.seconds(1, 100) == pytest.approx(times.stretch * (0.0016 + 4.4e-4), rel=0.02)
    queue.now += 10.0  # long with nothing to do: it need not be so any more
    queue.ask(100)
    assert times.stretch == pytest.approx(1.0, rel=0.02)


def test_the_budget_of_each_request_decides() -> None:
    queue = Queue(AdmissionSettings(requests=1), COSTS)
    assert queue.ask(1000)
    for _ in range(4):
        assert queue.ask(1000)  # 30 ms are inside
    assert not queue.ask(1000, budget=0.05)
    assert not queue.ask(5000, budget=0.07) and queue.ask(10, budget=0.07)
    counted = []
    assert queue.gate.admit(0.01, lambda: counted.append(1) or 10) is None
    assert not counted, "what cannot be in time whatever it has is not counted"
    assert (queue.gate.requests, queue.gate.admitted, queue.gate.refused) == (6, 6, 3)
    queue.empty()
    assert queue.ask(5000, budget=1e-9), "whoever comes to an empty service is let in"


def test_admission_budget_share() -> None:
    let_in = []
    for share in (0.2, 0.7):
        queue = Queue(AdmissionSettings(budget_share=share, requests=1), COSTS)
        let_in.append(sum(queue.ask(1000) for _ in range(50)))
    assert let_in == [3, 11]  # 6 ms each


def test_admission_requests_and_candidates() -> None:
    for chosen, expected in (
        ({"requests": 2}, 2),
        ({"requests": 100, "candidates": 500}, 5),
    ):
        queue = Queue(AdmissionSettings(**{"budget_share": 1e-9, **chosen}), COSTS)
        assert sum(queue.ask(100) for _ in range(50)) == expected
        queue.until(queue.now + 0.2)
        assert sum(queue.ask(100) for _ in range(50)) == 1, "there was no rest before it"
        queue.until(queue.now + 1.0)
        assert sum(queue.ask(100) for _ in range(50)) == expected, "the next burst"
        queue.work(0.3)
        assert not queue.ask(100), "no burst any more"


def test_nothing_is_refused_for_having_gone_on_for_long() -> None:
    """Beyond a burst the time decides alone: forty small ones take less than the budget."""
    queue = Queue(CHOSEN, (0.0005, 1e-6))
    queue.learn([10] * 2000)
    assert queue.ask(10)
    queue.work(1.0)
    assert sum(queue.ask(10) for _ in range(60)) == 60


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_comes_what_is_inside_is_counted_rightly(data: st.DataObject) -> None:
    queue = Queue(CHOSEN, COSTS)
    for _ in range(data.draw(st.integers(1, 60))):
        if data.draw(st.booleans()):
            empty = queue.gate.requests == 0
            let_in = queue.ask(data.draw(st.integers(0, 5000)), data.draw(st.floats(1e-3, 10.0)))
            assert let_in or not empty
        else:
            queue.until(queue.now + data.draw(st.floats(0, 0.05)))
    inside = queue.gate.admitted - len(queue.took)
    assert queue.gate.requests == inside
    assert queue.gate.wait() >= 0 and (queue.gate.candidates == 0 or inside)
    queue.empty()
    assert (queue.gate.requests, queue.gate.candidates, queue.gate.wait()) == (0, 0, 0)
    assert math.isfinite(queue.gate.times.seconds(1, 1000))


@pytest.fixture(scope="module")
def service(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = copy_home(trained_home, tmp_path_factory.mktemp("admission") / "home")
    with serving(home, "--workers", "1", RERANKER_LIMITS_ARRIVAL_SECONDS="600") as running:
        yield running


def at_once(
    service: Running, bodies: list[bytes], more: str = ""
) -> list[tuple[int, bytes, dict[str, str]]]:
    """All requests at the same moment, each on its own connection. more: lines of their heads."""
    connections = [socket.create_connection(("127.0.0.1", service.port), 30) for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}{more}\r\n".encode() + body)
    found = []
    for connection in connections:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        found.append((answer.status, answer.read(), dict(answer.getheaders())))
        connection.close()
    return found


@pytest.mark.promise(16)
def test_sixteen_requests_of_a_thousand_candidates_pass(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(1000)]}
    answers = at_once(service, [json.dumps(many).encode()] * 16)
    assert [status for status, _, _ in answers] == [200] * 16


@pytest.mark.promise(16)
def test_beyond_that_the_rest_hears_503_at_once_and_the_connection_lives(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(2000)]}
    answers = at_once(service, [json.dumps(many).encode()] * 60, HURRY)
    refused = [(body, headers) for status, body, headers in answers if status == 503]
    assert {status for status, _, _ in answers} == {200, 503} and len(refused) < 60
    for body, headers in refused:
        assert json.loads(body)["error"]["code"] == "overloaded"
        assert int(headers["Retry-After"]) >= 1
    assert service.ask("/rerank", BODY)[0] == 200
    counted = f'reranker_admission_total{{outcome="refused"}} {len(refused)}.0'
    wait_until(lambda: counted in service.ask("/metrics")[1].decode())
    assert "reranker_waiting_candidates" in service.ask("/metrics")[1].decode()


@pytest.mark.promise(33)
def test_health_is_answered_while_searches_are_refused(service: Running) -> None:
    many = {**BODY, "candidates": [{"id": f"{n}", "score": 1.0} for n in range(2000)]}
    load = threading.Thread(
        target=at_once, args=(service, [json.dumps(many).encode()] * 120, HURRY)
    )
    load.start()
    asked = 0
    while load.is_alive() or asked < 5:
        assert service.ask("/livez")[0] == 200
        assert service.ask("/readyz")[0] == 200
        asked += 1
    load.join()


def test_slow_senders_hold_up_nobody(service: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", service.port), 30) for _ in range(20)]
    for number, connection in enumerate(slow):
        connection.sendall(
            b"POST /rerank HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"[: 10 + 4 * number]
        )
    assert service.ask("/rerank", BODY)[0] == 200  # while they are all still sending
    for connection in slow:
        connection.close()


def test_two_requests_in_one_packet_get_two_answers(service: Running) -> None:
    body = json.dumps(BODY).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    one = head.encode() + body
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.sendall(one + one[:40])
        time.sleep(0.05)
        connection.sendall(one[40:])
        received = b""
        while received.count(b'"took_ms"') < 2:
            received += connection.recv(1 << 16)
        answers = re.findall(rb'"results":(.*?),"blend":', received)
        assert len(answers) == 2 and answers[0] == answers[1]
