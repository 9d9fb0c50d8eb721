"""Histories in a cluster of three primaries and three replicas: one of them killed under load."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.history_stores import sqlite_store
from support.redis_servers import Server, cluster, cluster_url, needed
from support.waiting import wait_until

from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories, Shopper
from reranker.histories.store import open_histories
from reranker.privacy.forget import forget
from reranker.pseudonyms.keys import PseudonymKeys
from service.commands import doctor_histories

pytestmark = pytest.mark.heavy


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    needed()
    with cluster(tmp_path / "cluster") as started:
        yield started


def workspace(tmp_path: Path, servers: list[Server], **more: Any) -> Workspace:
    settings = HistorySettings(url=cluster_url(servers), **more)
    return Workspace(tmp_path / "home", {HistorySettings: settings})


def view(at: float, item: str = "1", **more: Any) -> HistoryEvent:
    return HistoryEvent(type="view", item=item, time=at, **more)


def test_a_cluster_holds_what_a_file_holds(tmp_path: Path, servers: list[Server]) -> None:
    home, chance = workspace(tmp_path, servers), random.Random(5)
    users, sessions = [f"u{n}" for n in range(40)], [f"s{n}" for n in range(60)]
    file = sqlite_store(tmp_path / "file", None, PseudonymKeys(home.home))
    reads = 0
    with closing(open_histories(home)) as histories:
        for number in range(300):
            events = []
            for place in range(chance.randrange(1, 9)):
                user = chance.choice([None, *users[: chance.choice([3, 40])]])
                session = chance.choice(sessions) if user is None else None
                if chance.random() < 0.3:
                    session = chance.choice(sessions)
                name = f"{number}-{place}" if chance.random() < 0.8 else "a"
                at = float(chance.randrange(200))
                events.append(view(at, f"{place}", user=user, session=session, id=name))
            assert histories.append(events) == file.append(events)
            for user in chance.sample(users, 3):
                assert histories.recent(user) == file.recent(user)
            for session in chance.sample(sessions, 3):
                assert histories.recent(None, session) == file.recent(None, session)
                reads += 6
        assert dict(histories.stream()) == dict(file.stream())
        assert histories.forget("u3") == file.forget("u3")
        names = PseudonymKeys(home.home).add()
        assert histories.rename(names) == file.rename(names)
        assert dict(histories.stream()) == dict(file.stream())
    assert doctor_histories.histories(home).state == "ok"
    file.close()
    assert reads == 5400


@pytest.mark.parametrize("wait_replicas", [0, 1])
def test_a_primary_killed_under_load_loses_nothing_that_was_accepted(
    tmp_path: Path,
    servers: list[Server],
    record_property: Callable[[str, object], None],
    wait_replicas: int,
) -> None:
    """With a replica that has to have it; without one a failover may lose some."""
    more = {"wait_replicas": wait_replicas, "wait_seconds": 0.5, "read_seconds": 0.1}
    home, accepted = workspace(tmp_path, servers, **more), set[int]()
    with closing(open_histories(home)) as histories:

        def send(numbers: range) -> bool:
            """Whether all were accepted."""
            return all([_sent(histories, number, accepted) for number in numbers])

        assert send(range(300))
        servers[0].kill()
        down_since, number = time.monotonic(), 300
        assert not send(range(number, number + 50))
        survivors = [one for one in servers[1:] if one.process.poll() is None]

        def taken_over() -> bool:
            _every_read_is_an_answer_or_a_failure(histories)
            roles = [one.ask("ROLE")[0] for one in survivors]
            return roles.count(b"master") == 3

        wait_until(taken_over)
        if wait_replicas:  # whoever took over has no replica until the other one is back
            servers[0].again()
        batches = count(number + 50, 50)
        wait_until(lambda: bool(send(range(first := next(batches), first + 50))))
        seconds = time.monotonic() - down_since
        kept = {int(event.id or 0) for _, events in histories.stream() for event in events}
        lost = len(accepted - kept)
        record_property("seconds until all is accepted again", round(seconds, 1))
        record_property("accepted and lost", lost)
        print(f"wait_replicas {wait_replicas}: {seconds:.1f} s, {lost} of {len(accepted)} lost")  # noqa: T201
        assert not (wait_replicas and lost)
        if not wait_replicas:
            with pytest.raises(HistoryFailure, match="may still be in the files"):
                forget(home, histories, Shopper("u7", None))
            servers[0].again()
        wait_until(lambda: servers[0].ask("ROLE")[0] == b"slave")
        wait_until(lambda: servers[0].ask("ROLE")[3] == b"connected")
        assert forget(home, histories, Shopper("u7", None)).verified


def _sent(histories: Histories, number: int, accepted: set[int]) -> bool:
    event = view(float(number), user=f"u{number % 50}", id=str(number))
    try:
        histories.append([event])
    except HistoryFailure:
        return False
    accepted.add(number)
    return True


def _every_read_is_an_answer_or_a_failure(histories: Histories) -> None:
    for user in range(10):
        try:
            assert all(event.time >= 0 for event in histories.recent(f"u{user}"))
        except HistoryFailure:
            continue


def test_forget_leaves_nothing_on_six_nodes(tmp_path: Path, servers: list[Server]) -> None:
    home = workspace(tmp_path, servers)

    def on_disk(name: bytes) -> bool:
        paths = [path for one in servers for path in one.folder.rglob("*") if path.is_file()]
        return any(name in path.read_bytes() for path in paths)

    with closing(open_histories(home)) as histories:
        for user in range(30):
            histories.append([view(n, user=f"u{user}", session=f"s{user}") for n in range(30)])
        for one in servers:
            one.ask("SAVE")
        hidden = [histories.hidden(Shopper("u8", None)).user, None]
        hidden[1] = histories.hidden(Shopper(None, "s8")).session
        names = [name.encode() for name in hidden if name]
        assert all(map(on_disk, names))
        assert forget(home, histories, Shopper("u8", None)).verified
        wait_until(lambda: not any(map(on_disk, names)))
        assert len(list(histories.users())) == 29
