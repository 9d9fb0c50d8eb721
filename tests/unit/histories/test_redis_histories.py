"""Histories in a Redis: the same as in a file, whatever comes when and is cut off where."""

import random
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.history_stores import MakeStore, sqlite_store
from support.redis_servers import Server, needed, server
from support.waiting import wait_until

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories, Shopper
from reranker.histories.redis_nodes import Command, Nodes, read_url
from reranker.histories.redis_reads import NAMES_SECONDS
from reranker.histories.redis_store import RedisHistories
from reranker.histories.store import open_histories
from reranker.privacy.forget import forget
from reranker.pseudonyms.keys import PseudonymKeys
from service.commands import doctor_histories, doctor_home

NOW = 1_700_000_000.0
CAP = 6  # events of one shopper, so that some go


def view(at: float, item: str = "1", **more: Any) -> HistoryEvent:
    return HistoryEvent(type="view", item=item, time=at, **more)


USERS, SESSIONS = ("u", "v"), ("s", "t", "r")
EVENTS = st.tuples(
    st.sampled_from([None, *USERS]),
    st.sampled_from([None, *SESSIONS]),
    st.integers(0, 9),  # a time, so that there are ties
    st.sampled_from([None, "1", "2", "3", "4", "5", "6"]),  # an id, so that there are conflicts
    st.integers(0, 2),  # an item
).filter(lambda event: bool(event[0] or event[1]))
STEPS = st.lists(
    st.one_of(
        st.lists(EVENTS, min_size=1, max_size=6),
        st.sampled_from(["again", "forget u", "forget v", "forget session s", "rotate", "reopen"]),
        st.just("two writers"),
        st.integers(1, 12),  # the next append is cut off after so many commands, and repeated
    ),
    min_size=1,
    max_size=12,
)


class CutOff(Exception):
    """The process is gone."""


class Both:
    """The same done to a file and to a Redis."""

    def __init__(self, folder: Path, redis_store: MakeStore, settings: HistorySettings) -> None:
        self.folder, self._settings = folder, settings
        self.keys = PseudonymKeys(folder)
        self.keys.open()
        self.file = sqlite_store(folder / "file", settings, self.keys)
        self._make = lambda: redis_store(folder / "redis", settings, PseudonymKeys(folder))
        self.redis = self._make()
        self.other = self._make()
        self.last: tuple[list[HistoryEvent], list[int]] | None = None
        self.cut_after = 0
        self._count = 0

    def step(self, step: Any) -> None:
        if isinstance(step, list):
            self.append(step)
        elif isinstance(step, int):
            self.cut_after = step
        elif step == "again" and self.last is not None:
            self._append(*self.last)
        elif step == "two writers":
            self.redis, self.other = self.other, self.redis
        elif step == "reopen":
            self.redis.close()
            self.redis = self._make()
            self.redis.mend()
        elif step == "rotate":
            self.rotate()
        elif step.startswith("forget session"):
            name = step.split()[-1]
            assert self.redis.forget(session=name) == self.file.forget(session=name)
        elif step.startswith("forget"):
            name = step.split()[-1]
            assert self.redis.forget(name) == self.file.forget(name)

    def append(self, events: list[Any]) -> None:
        made = [
            view(NOW + time, str(item), user=user, session=session, id=name)
            for user, session, time, name, item in events
        ]
        self._count += 100
        from reranker.events.identity import event_key

        keys = [
            event_key(event) if event.id is not None else self._count + place
            for place, event in enumerate(made)
        ]
        self.last = made, keys
        self._append(made, keys)

    def _append(self, events: list[HistoryEvent], keys: list[int]) -> None:
        expected = self.file.append(events, keys)
        if not self.cut_after:
            assert self.redis.append(events, keys) == expected
            return
        try:
            with cut_off_after(self.redis, self.cut_after):
                self.redis.append(events, keys)
        except CutOff:
            self.redis.append(events, keys)
            self.redis.mend()
        self.cut_after = 0

    def rotate(self) -> None:
        names = self.keys.add()
        assert self.redis.rename(names) == self.file.rename(names)
        self.other._entry = None  # type: ignore[attr-defined] # a second later it has looked again

    def compare(self) -> int:
        """Every read of both; how many."""
        count = 0
        for user in (None, *USERS):
            for session in (None, *SESSIONS):
                for n in (1, 3, 50):
                    for before in (None, NOW + 4, NOW + 5):
                        asked = user, session, n, before
                        assert self.redis.recent(*asked) == self.file.recent(*asked), asked
                        count += 1
                who = Shopper(user, session)
                assert sorted(self.redis.same_person(who), key=str) == sorted(
                    self.file.same_person(who), key=str
                )
        for user in USERS:
            assert list(self.redis.export(user)) == list(self.file.export(user))
        for session in SESSIONS:
            exported = list(self.redis.export(session=session))
            assert exported == list(self.file.export(session=session))
        assert dict(self.redis.stream()) == dict(self.file.stream())
        assert sorted(self.redis.users()) == sorted(self.file.users())
        assert self.redis.newest_time() == self.file.newest_time()
        return count

    def close(self) -> None:
        self.file.close()


class cut_off_after:
    """The process dies before one of its commands."""

    def __init__(self, store: Histories, commands: int) -> None:
        self._nodes: Nodes = store._nodes  # type: ignore[attr-defined]
        self._left = commands

    def __enter__(self) -> None:
        run = self._nodes.run

        def counted(commands: list[Command], **named: Any) -> list[Any]:
            self._left -= 1
            if self._left < 0:
                raise CutOff
            return run(commands, **named)

        self._nodes.run = counted  # type: ignore[method-assign, assignment]

    def __exit__(self, *_: object) -> None:
        del self._nodes.run


@pytest.fixture(autouse=True)
def quick_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has these histories open who would have to notice."""
    monkeypatch.setattr("reranker.histories.redis_store._SETTLE", 0.0)


@pytest.mark.promise(19)
@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_redis_holds_what_a_file_holds(
    redis_store: MakeStore, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("both")
    both = Both(folder, redis_store, HistorySettings(events_per_user=CAP))
    for step in steps:
        both.step(step)
    both.compare()
    both.close()


def test_a_merge_that_fills_a_history_lets_go_of_the_same(
    redis_store: MakeStore, tmp_path: Path
) -> None:
    """What was held before the merge, and went by it, is a duplicate all the same."""
    both = Both(tmp_path, redis_store, HistorySettings(events_per_user=CAP))
    both.step([(None, "r", time, None, 0) for time in (5, 6, 7, 7)])
    both.step([("u", None, time, str(time), 0) for time in (1, 2, 3)])
    both.step([("u", None, 2, "2", 0), ("u", "r", 8, "6", 1), ("u", None, 9, "5", 1)])
    both.compare()
    both.close()


@pytest.mark.heavy
@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=6), st.integers(0, 9))
def test_a_redis_holds_what_a_file_holds_for_long(
    redis_store: MakeStore,
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[Any]],
    newest: int,
) -> None:
    """The same after many more steps, and when what is old is deleted."""
    folder = tmp_path_factory.mktemp("both")
    both = Both(folder, redis_store, HistorySettings(events_per_user=CAP))
    for part in parts:
        for step in part:
            both.step(step)
        both.compare()
    days = (time.time() - (NOW + newest + 0.5)) / 86_400
    brief = HistorySettings(events_per_user=CAP, days=days)
    file = sqlite_store(folder / "file", brief, both.keys)
    with closing(redis_store(folder / "redis", brief, both.keys)) as redis:
        assert redis.forget_old() == file.forget_old()
    both.compare()
    file.close()
    both.close()


def test_a_merge_that_was_cut_off_anywhere_is_ended_by_the_next_process(
    redis_store: MakeStore, tmp_path: Path
) -> None:
    keys = PseudonymKeys(tmp_path)
    for commands in range(20):
        folder = tmp_path / str(commands)
        store = redis_store(folder, None, keys)
        store.append([view(n, str(n), session="s") for n in range(4)])
        with suppress(CutOff), cut_off_after(store, commands):
            store.append([view(9, "9", user="u", session="s", id="x")])
        later = redis_store(folder, None, keys)
        later.mend()
        later.append([view(9, "9", user="u", session="s", id="x")])
        assert [event.item for event in later.recent("u")] == ["0", "1", "2", "3", "9"]
        assert later.recent(session="s") == later.recent("u")
        assert sum(len(events) for _, events in later.stream()) == 5


def test_rotation_goes_on_where_it_was_cut_off(redis_store: MakeStore, tmp_path: Path) -> None:
    keys = PseudonymKeys(tmp_path)
    chance = random.Random(3)
    for run in range(12):
        store = redis_store(tmp_path / str(run), None, keys)
        store.append([view(n, str(n), user="u") for n in range(3)])
        store.append([view(n + 3, str(n + 3), session="s") for n in range(3)])
        store.append([view(6, "6", user="u", session="s"), view(7, "7", session="t")])
        names = keys.add()
        with pytest.raises(CutOff), cut_off_after(store, chance.randrange(24)):
            store.rename(names)
            raise CutOff
        # Whoever reads in between meets everything, once.
        assert [event.item for event in store.recent("u")] == [str(n) for n in range(7)]
        assert [event.item for event in store.recent(session="s")] == [str(n) for n in range(7)]
        later = redis_store(tmp_path / str(run), None, PseudonymKeys(tmp_path))
        later.mend()
        assert [event.item for event in later.recent("u")] == [str(n) for n in range(7)]
        assert [event.item for event in later.recent(session="t")] == ["7"]
        assert set(later.users()) == {names.user("u")}


def test_who_writes_late_under_the_older_names_is_waited_for(
    redis_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer tries for history.wait_seconds, after it looked up which names there are."""
    monkeypatch.setattr("reranker.histories.redis_store._SETTLE", 1.5)
    keys = PseudonymKeys(tmp_path)
    store, writer = redis_store(tmp_path, None, keys), redis_store(tmp_path, None, keys)
    assert isinstance(store, RedisHistories) and isinstance(writer, RedisHistories)
    older = writer.open_names()
    late = [lambda: writer.writer.append([view(1, user="u")], [1], older)]

    def passed(seconds: float) -> None:
        if seconds > NAMES_SECONDS + HistorySettings().wait_seconds:
            late.pop()()

    monkeypatch.setattr("reranker.histories.redis_store.time.sleep", passed)
    store.rename(keys.add())
    for write in late:
        write()
    assert [event.item for event in store.recent("u")] == ["1"]


def test_who_is_forgotten_in_a_rotation_that_was_cut_off_does_not_come_back(
    redis_store: MakeStore, tmp_path: Path
) -> None:
    keys = PseudonymKeys(tmp_path)
    for run in range(0, 24, 2):
        store = redis_store(tmp_path / str(run), None, keys)
        store.append([view(n, str(n), user="u") for n in range(3)])
        store.append([view(n + 3, str(n + 3), session="s") for n in range(3)])
        store.append([view(6, "6", user="u", session="s"), view(7, "7", session="t")])
        names = keys.add()
        with pytest.raises(CutOff), cut_off_after(store, run):
            store.rename(names)
            raise CutOff
        later = redis_store(tmp_path / str(run), None, PseudonymKeys(tmp_path))
        later.forget("u")
        later.forget(session="t")
        later.mend()
        assert later.recent("u") == later.recent(session="s") == later.recent(session="t") == []
        assert not list(later.stream())


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that a test may do anything to."""
    needed()
    with server(tmp_path / "redis", "--hz", "500") as started:
        yield started


def workspace(tmp_path: Path, url: str, **more: Any) -> Workspace:
    return Workspace(tmp_path / "home", {HistorySettings: HistorySettings(url=url, **more)})


def files_of(*servers: Server) -> bytes:
    """Everything that these servers have on the disk."""
    paths = [path for one in servers for path in one.folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in paths)


def test_forget_leaves_nothing_in_the_server_s_files(tmp_path: Path, own_server: Server) -> None:
    home = workspace(tmp_path, own_server.url)
    with closing(open_histories(home)) as histories:
        histories.append([view(n, user="gone-shopper", query="secret") for n in range(9)])
        histories.append([view(n, user="other") for n in range(9)])
        histories.append([view(1, session="visit"), view(9, user="gone-shopper", session="visit")])
        own_server.ask("SAVE")
        pseudonym = histories.hidden(Shopper("gone-shopper", None)).user
        assert pseudonym is not None and pseudonym.encode() in files_of(own_server)
        proof = forget(home, histories, Shopper("gone-shopper", None))
        assert (proof.verified, proof.events, proof.sessions) == (True, 11, 1)
    wait_until(lambda: pseudonym.encode() not in files_of(own_server))  # it unlinks beside its work
    with closing(open_histories(home)) as histories:
        assert histories.recent("gone-shopper") == []
        assert len(histories.recent("other")) == 9


def test_nothing_is_certified_while_a_replica_is_away(tmp_path: Path, own_server: Server) -> None:
    with server(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_server.port}") as replica:
        wait_until(lambda: replica.ask("ROLE")[3] == b"connected")
        home = workspace(tmp_path, own_server.url, wait_replicas=1, wait_seconds=0.5)
        with closing(open_histories(home)) as histories:
            histories.append([view(n, user="gone-shopper") for n in range(9)])
            pseudonym = histories.hidden(Shopper("gone-shopper", None)).user or ""
            replica.kill()
            wait_until(lambda: own_server.ask("ROLE")[2] == [])
            with pytest.raises(HistoryFailure, match="replicas? .*is away|nothing is certified"):
                forget(home, histories, Shopper("gone-shopper", None))
            # Nor is it when it is asked for again, although nothing is kept any more.
            with pytest.raises(HistoryFailure):
                forget(home, histories, Shopper("gone-shopper", None))
            replica.again()
            wait_until(lambda: len(own_server.ask("ROLE")[2]) == 1)
            wait_until(lambda: replica.ask("ROLE")[3] == b"connected")
            assert forget(home, histories, Shopper("gone-shopper", None)).verified
        wait_until(lambda: pseudonym.encode() not in files_of(own_server, replica))


def test_setting_wait_replicas(tmp_path: Path, own_server: Server) -> None:
    home = workspace(tmp_path, own_server.url, wait_replicas=1, wait_seconds=0.2)
    with closing(open_histories(home)) as histories:
        with pytest.raises(HistoryFailure, match="0 of 1 replicas have it"):
            histories.append([view(1, user="u", id="a")])
    with closing(open_histories(workspace(tmp_path, own_server.url))) as histories:
        assert histories.append([view(1, user="u", id="a")]).stored == 0  # it was only not certain


@pytest.mark.parametrize("trouble", ["kill", "hang"])
def test_setting_read_seconds(tmp_path: Path, own_server: Server, trouble: str) -> None:
    """What is away is said in the time that is allowed, and events are not said to be kept."""
    home = workspace(tmp_path, own_server.url, read_seconds=0.05, wait_seconds=0.3)
    with closing(open_histories(home)) as histories:
        histories.append([view(1, user="u")])
        assert len(histories.recent("u")) == 1
        own_server.kill() if trouble == "kill" else own_server.hang()
        with pytest.raises(HistoryFailure, match="cannot be used"):
            histories.recent("u")
        with pytest.raises(HistoryFailure, match="history.url"):
            histories.append([view(2, user="u", id="late")])
        own_server.again() if trouble == "kill" else own_server.go_on()
        assert histories.append([view(3, user="u", id="later")]).stored == 1
        assert [event.time for event in histories.recent("u") if event.id != "late"] == [1, 3]


def test_setting_url(tmp_path: Path, own_server: Server) -> None:
    home = workspace(tmp_path, own_server.url)
    with closing(open_histories(home)) as histories:
        histories.append([view(1, user="u")])
    assert not (home.home / "events").exists()
    with closing(open_histories(home)) as histories:
        assert len(histories.recent("u")) == 1


def test_a_home_with_other_keys_is_refused(tmp_path: Path, own_server: Server) -> None:
    with closing(open_histories(workspace(tmp_path / "one", own_server.url))) as histories:
        histories.append([view(1, user="u")])
    with closing(open_histories(workspace(tmp_path / "two", own_server.url))) as histories:
        with pytest.raises(HistoryFailure, match="keys"):
            histories.append([view(1, user="u")])
        with pytest.raises(HistoryFailure, match="keys"):
            histories.recent("u")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h:1", "scheme is 'http'"),
        ("redis://", "host is missing"),
        ("redis://h:port", "cannot be read"),
        ("redis://h:1/0?prefix=a%20b", "prefix is 'a b'"),
    ],
)
def test_an_address_that_is_none_is_named(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(Failure, match=problem):
        open_histories(workspace(tmp_path, url))


def test_a_password_is_in_no_message() -> None:
    needed()
    url = read_url("redis://shop:hidden%21@localhost:1/3?prefix=x")
    assert (url.user, url.password, url.database, url.prefix) == ("shop", "hidden!", 3, "x")
    assert read_url("redis://a:1,b").addresses == (("a", 1), ("b", 6379))
    with pytest.raises(HistoryFailure) as failed:
        Nodes(url, 0.05).one("k", "GET", "k")
    assert "hidden" not in str(failed.value)


def finding(home: Workspace) -> tuple[str, str]:
    found = doctor_histories.histories(home)
    return found.state, found.message + found.do


def test_doctor_says_what_is_wrong_with_the_store(tmp_path: Path, own_server: Server) -> None:
    home = workspace(tmp_path, own_server.url, wait_seconds=0.2)
    assert finding(home)[0] == "ok"
    with closing(open_histories(home)) as histories:
        histories.append([view(1, user="u"), view(2, user="v")])
    assert finding(home)[0] == "ok"
    assert doctor_home.future(home).message == "none of a sample of 2 is from the future"
    own_server.ask("CONFIG", "SET", "appendonly", "no")
    assert finding(home)[0] == "warn"
    own_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert "noeviction" in finding(home)[1]
    own_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "appendonly", "yes")
    assert "replicas" in finding(workspace(tmp_path, own_server.url, wait_replicas=1))[1]
    elsewhere = Workspace(tmp_path / "other", home.sections)
    assert finding(elsewhere)[0] == "fail" and "pseudonyms/keys" in finding(elsewhere)[1]
    own_server.kill()
    assert finding(home)[0] == "fail"
    assert doctor_histories.histories(Workspace(tmp_path)).message == "in the home (SQLite)"
