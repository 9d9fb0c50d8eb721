"""SIGTERM drains, SIGHUP renews the workers, and neither loses a request."""

import http.client
import json
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.service import ALL_LET_IN, Running, serving
from support.waiting import wait_until

BODY: dict[str, Any] = {
    "query": "coffee maker",
    "candidates": [{"id": f"{number}"} for number in range(60)],
}


# Drain and reload


class Clients(threading.Thread):
    """Asks on new connections until told to stop; `obeys`: only while /readyz says yes."""

    def __init__(self, service: Running, obeys: bool) -> None:
        super().__init__()
        self.service, self.obeys, self.over = service, obeys, threading.Event()
        self.answers = 0
        self.failed: list[Exception] = []
        self.half: list[bytes] = []

    def run(self) -> None:
        while not self.over.wait(0.005):
            try:
                if self.obeys and self.service.ask("/readyz")[0] != 200:
                    return
                self._ask()
            except http.client.IncompleteRead as error:
                self.half.append(error.partial)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(error)
                if isinstance(error, ConnectionRefusedError):
                    return

    def _ask(self) -> None:
        status, body = self.service.ask("/rerank", BODY)
        assert status == 200, body
        if len(json.loads(body)["results"]) != 60:
            self.half.append(body)
        self.answers += 1


def stopped(home: Path, obeys: bool) -> list[Clients]:
    """Who obeys asks while it drains, which a second SIGTERM ends; others see no drain."""
    drain = {"RERANKER_SERVE_DRAIN_SECONDS": "600" if obeys else "0"}
    with serving(home, **drain, **ALL_LET_IN) as service:
        clients = [Clients(service, obeys) for _ in range(4)]
        for client in clients:
            client.start()
        wait_until(lambda: all(client.answers for client in clients))
        service.process.send_signal(signal.SIGTERM)
        if obeys:
            wait_until(lambda: service.ask("/readyz")[0] != 200)
            status, body = service.ask("/readyz")
            assert (status, json.loads(body)["error"]["code"]) == (503, "draining")
            assert service.ask("/rerank", BODY)[0] == 200, "still answered"
            for client in clients:
                client.join()  # they see it, too
            service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(180) == 0
        for client in clients:
            client.over.set()
            client.join()
    assert not any(client.half for client in clients), "never half an answer"
    assert sum(client.answers for client in clients) > 0
    return clients


@pytest.mark.promise(15)
def test_a_client_that_obeys_readiness_loses_nothing(own_home: Path) -> None:
    assert [client.failed for client in stopped(own_home, True)] == [[]] * 4


@pytest.mark.promise(15)
def test_a_client_that_does_not_sees_connections_refused_or_reset(own_home: Path) -> None:
    for client in stopped(own_home, False):
        lost = (ConnectionError, http.client.RemoteDisconnected)
        assert all(isinstance(error, lost) for error in client.failed), client.failed


@pytest.mark.promise(15)
def test_a_drain_ends_by_itself(shop_home: Path) -> None:
    with serving(shop_home, "--workers", "1", RERANKER_SERVE_DRAIN_SECONDS="0.5") as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(180) == 0


@pytest.mark.heavy
@pytest.mark.promise(15)
def test_twenty_stops_lose_nothing(own_home: Path, record_property: Any) -> None:
    record_property("runs", 20)
    for _ in range(20):
        assert [client.failed for client in stopped(own_home, True)] == [[]] * 4


@pytest.mark.promise(15)
def test_hup_starts_new_workers_and_loses_nothing(own_home: Path) -> None:
    reload_often(own_home, 1)


@pytest.mark.heavy
@pytest.mark.promise(15)
def test_many_hups_lose_nothing(own_home: Path, record_property: Any) -> None:
    record_property("runs", 30)
    reload_often(own_home, 30)


def reload_often(home: Path, times: int) -> None:
    with serving(home, **ALL_LET_IN) as service:
        clients = [Clients(service, obeys=False) for _ in range(3)]
        for client in clients:
            client.start()
        for _ in range(times):
            before = workers_of(service)
            service.process.send_signal(signal.SIGHUP)
            wait_until(partial(ended, service, before))
        for client in clients:
            client.over.set()
            client.join()
        assert [client.failed for client in clients] == [[]] * 3
        assert all(client.answers for client in clients)


def ended(service: Running, workers: set[int]) -> bool:
    return not workers_of(service) & workers


def workers_of(service: Running) -> set[int]:
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children}
