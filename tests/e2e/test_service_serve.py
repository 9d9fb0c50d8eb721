"""`reranker serve` as a process: start, load, publishing under load, abuse, stop."""

import http.client
import json
import os
import re
import signal
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.service import ALL_LET_IN, BODY, Running, publish_again, refused, serving, workers
from support.shop import small_shop, write_items
from support.waiting import wait_until

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.feedback.records import ranking_files, read_rankings
from service.http.addresses import listen
from service.http.settings import ServeSettings
from service.server.banner import default_banner
from service.server.gunicorn import Server


@pytest.fixture(scope="module")
def service(shop_home: Path) -> Iterator[Running]:
    with serving(shop_home) as running:
        yield running


def test_the_banner_says_where_what_and_that_there_are_no_keys(service: Running) -> None:
    for part in ("60 items", "0001-", "default v1", "keys", "curl http://127.0.0.1"):
        assert part in service.banner
    sent = re.search(r"-d '(.*)'", service.banner)
    assert sent
    assert service.ask("/rerank", json.loads(sent[1]))[0] == 200  # the curl works as it stands


def test_it_is_alive_ready_and_counts_over_all_workers(service: Running) -> None:
    assert service.ask("/livez")[0] == 200
    status, ready = service.ask("/readyz")
    assert (status, json.loads(ready)["items"]) == (200, 60)
    before = _counted(service)
    for _ in range(40):  # new connections: both workers get some
        assert service.ask("/rerank", BODY)[0] == 200
    assert _counted(service) == before + 40


def _counted(service: Running) -> float:
    text = service.ask("/metrics")[1].decode()
    found = re.search(r'^reranker_requests_total{route="/rerank",status="200"} (.*)$', text, re.M)
    return float(found[1]) if found else 0.0


def test_serving_does_not_import_torch(service: Running) -> None:
    maps = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "libtorch" not in maps


@pytest.mark.parametrize("chunked", [False, True])
def test_50_megabytes_are_refused_without_being_kept(service: Running, chunked: bool) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=180) as connection:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {50 << 20}"
        connection.sendall(
            f"POST /rerank HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
        )
        block = b" " * (1 << 20)
        try:
            for _ in range(50):
                connection.sendall(b"100000\r\n" + block + b"\r\n" if chunked else block)
        except OSError:  # hanging up on such a sender is right
            pass
        assert b" 413 " in connection.recv(100)
    assert service.ask("/livez")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nX: " + b"a" * (10 << 20) + b"\r\n\r\n", b" 431 "),
        (b"GET /livez?" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n", b" 414 "),
        (b"NONSENSE\r\n\r\n", b" 400 "),
        (b"POST /rerank HTTP/1.1\r\nContent-Length: -5\r\n\r\n{}", b" 400 "),
        (b"POST /rerank HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b" 400 "),
    ],
    ids=["10 MB header", "1 MB address", "not HTTP", "negative length", "broken chunk"],
)
def test_what_is_not_http_gets_the_one_error_shape(
    service: Running, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=180) as connection:
        try:
            connection.sendall(sent)
        except OSError:
            pass
        answer = _everything(connection)
    if answer:  # a reset may overtake the answer while megabytes are still being sent
        assert status in answer.split(b"\r\n", 1)[0]
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]
    assert service.ask("/livez")[0] == 200


def _everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while block := connection.recv(65536):
            received += block
    except OSError:
        pass
    return received


def test_an_address_that_cannot_be_had_is_refused(service: Running, shop_home: Path) -> None:
    assert "something else listens" in refused(shop_home, "--port", str(service.port))
    assert "reranker --home" in refused(shop_home, "--host", "0.0.0.0")
    assert "no address" in refused(shop_home, "--host", "nowhere.invalid")
    assert "serve.port is 70000" in refused(shop_home, "--port", "70000")


@pytest.mark.promise(8)
def test_nothing_published_and_damage_are_refused_with_the_command(
    tmp_path: Path, own_home: Path
) -> None:
    assert "reranker rebuild" in refused(tmp_path / "empty")
    version = VersionStore(own_home / "index").current()
    assert version is not None
    damage(version.folder / "vectors.faiss")
    said = refused(own_home)
    assert "vectors.faiss" in said and "reranker" in said


def test_every_answer_of_every_worker_is_logged_though_it_stops_at_once(own_home: Path) -> None:
    with serving(own_home) as running:
        answers = [running.ask("/rerank", BODY)[1] for _ in range(40)]
        assert running.stop() == 0
    files = ranking_files(own_home / "rankings")
    logged = [ranking.id for ranking in read_rankings(files, pytest.fail)]
    assert sorted(logged) == sorted(json.loads(answer)["id"] for answer in answers)


def test_workers_threads_and_grace_reach_gunicorn(tmp_path: Path) -> None:
    chosen = ServeSettings(workers=3, threads=5, grace_seconds=7)
    workspace = Workspace(tmp_path, {ServeSettings: chosen})
    server = Server(workspace, listen("127.0.0.1", 0), default_banner, tmp_path)
    assert (server.cfg.workers, server.cfg.threads, server.cfg.graceful_timeout) == (3, 5, 7)
    os.close(server.cfg.address[0])


def damage(path: Path) -> None:
    """Flip one bit; in a new file, because the fixtures' files are links to each other."""
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.parent.chmod(0o755)
    path.unlink()
    path.write_bytes(flipped)


class Load:
    """Clients that ask again and again, with a breath between, and keep every answer."""

    def __init__(self, service: Running, clients: int = 2) -> None:
        self.service = service
        self.failed: list[Any] = []
        self.results: dict[str, set[str]] = defaultdict(set)
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=180)
        body = json.dumps(BODY).encode()
        while not self._stop.wait(0.005):
            try:
                connection.request("POST", "/rerank", body)
                answer = connection.getresponse()
                found = json.loads(answer.read())
                assert answer.status == 200, found
                version = found["versions"]["index"]
                self.results[version].add(json.dumps(found["results"]))
                self.answers[version] += 1
            except Exception as error:
                self.failed.append(error)
                return
        connection.close()

    def wait_for(self, version: str, answers: int = 1) -> None:
        """Until this version has answered so many more."""
        before = self.answers[version]
        wait_until(lambda: bool(self.failed) or self.answers[version] >= before + answers)
        assert not self.failed


def test_publishing_under_load_loses_and_mixes_nothing(own_home: Path, tmp_path: Path) -> None:
    store = VersionStore(own_home / "index")
    changed = [{**item, "title": item["title"][::-1]} for item in small_shop()]
    with (
        serving(own_home, RERANKER_RELOAD_SECONDS="0.05", **ALL_LET_IN) as service,
        Load(service) as load,
    ):
        first = store.current()
        assert first is not None
        load.wait_for(first.id)
        items = write_items(tmp_path / "changed.jsonl", changed)
        second = rebuild(Workspace(own_home), items, progress=silent).version
        load.wait_for(second)
        for swap in range(12):
            version = first.id if swap % 2 == 0 else second
            store.switch_to(version)
            load.wait_for(version, answers=10)
    assert not load.failed
    assert set(load.results) == {first.id, second}
    # Every answer that names a version has exactly that version's scores, and they differ.
    assert [len(found) for found in load.results.values()] == [1, 1]
    assert load.results[first.id] != load.results[second]


def test_a_worker_that_dies_while_a_damaged_version_is_published_comes_back(
    own_home: Path,
) -> None:
    store = VersionStore(own_home / "index")
    with serving(own_home, RERANKER_RELOAD_SECONDS="0.05", **ALL_LET_IN) as service:
        first = store.current()
        assert first is not None
        publish_again(own_home, damaged=True)
        dies, goes_on = workers(service)
        os.kill(dies, signal.SIGKILL)
        started: set[int] = set()

        def tried_twice() -> bool:  # while the other one goes on alone
            status, answer = service.ask("/rerank", BODY)
            assert (status, json.loads(answer)["versions"]["index"]) == (200, first.id)
            started.update(workers(service))
            return len(started - {dies, goes_on}) >= 2

        wait_until(tried_twice)
        store.switch_to(first.id)
        wait_until(lambda: len(workers(service)) == 2)
        assert service.ask("/readyz")[0] == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_running_requests_end(shop_home: Path, how: int) -> None:
    # Texts that the index lacks take the encoder a while each.
    slow = {
        "query": "shoes",
        "candidates": [{"id": f"x{i}", "text": f"long {i} text " * 40} for i in range(200)],
    }
    patient = {"RERANKER_SERVE_GRACE_SECONDS": "600"}
    with serving(shop_home, "--workers", "1", **patient) as service:
        answers: list[tuple[int, bytes]] = []
        asking = threading.Thread(target=lambda: answers.append(service.ask("/rerank", slow)))
        asking.start()
        while not re.search(rb"reranker_waiting_candidates [1-9]", service.ask("/metrics")[1]):
            assert asking.is_alive(), "it was answered before it could be stopped"
        assert service.stop(how) == 0
        asking.join()
    assert answers[0][0] == 200
    assert len(json.loads(answers[0][1])["results"]) == 200
