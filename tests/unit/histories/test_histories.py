"""Histories: what was acknowledged is there, in order, whatever arrives when and whoever dies."""

import math
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support.history_stores import MakeStore

from indexes.workspace import Workspace
from reranker.errors import HistoryBusy, HistoryDamaged, HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Appended, Histories, Shopper
from reranker.histories.reads import cutoff
from reranker.histories.store import SqliteHistories, open_histories
from reranker.pseudonyms.keys import PseudonymKeys

Store = SqliteHistories


def view(at: float, item: str = "1", **more: Any) -> HistoryEvent:
    return HistoryEvent(type="view", item=item, time=at, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = SqliteHistories(tmp_path / "events", HistorySettings())
    yield found
    found.close()


def kept(store: Histories, *users: str) -> list[str | None]:
    """The pseudonyms of users."""
    return [store.hidden(Shopper(user, None)).user for user in users]


def items(events: list[HistoryEvent]) -> list[str | None]:
    return [event.item for event in events]


def test_nothing_is_written_before_the_first_event(tmp_path: Path) -> None:
    store = open_histories(Workspace(tmp_path))
    assert store.recent("u") == []
    assert (list(store.users()), list(store.stream()), list(store.export("u"))) == ([], [], [])
    assert not store.forget("u").known
    assert store.append([]) == Appended()
    assert not list(tmp_path.iterdir())


def test_recent_is_the_newest_oldest_first(each_store: Histories) -> None:
    store = each_store
    store.append([view(n, str(n), user="u") for n in (5, 1, 3, 2, 4)])
    assert items(store.recent("u")) == ["1", "2", "3", "4", "5"]
    assert items(store.recent("u", n=2)) == ["4", "5"]
    assert items(store.recent("u", n=2, before=4)) == ["2", "3"]
    assert store.recent("stranger") == []
    assert store.recent() == []


@pytest.mark.promise(19)
def test_an_id_counts_once_however_it_comes(each_store: Histories) -> None:
    store = each_store
    event = view(1, user="u", id="e1")
    assert store.append([event, event]).stored == 1
    assert store.append([event, view(2, user="u", id="e2")]) == Appended(stored=1, duplicates=1)
    assert store.append([view(1, user="u"), view(1, user="u")]).stored == 2  # without an id: new
    assert len(store.recent("u")) == 4


def test_a_session_is_merged_when_its_user_is_known(each_store: Histories) -> None:
    store = each_store
    store.append([view(1, "a", session="s"), view(3, "b", session="s"), view(2, "c", user="u")])
    assert items(store.recent(session="s")) == ["a", "b"]
    assert items(store.recent("u", "s")) == ["a", "c", "b"]  # asked for together: one person
    assert store.append([view(4, "d", user="u", session="s")]).merged == 2
    assert items(store.recent("u")) == ["a", "c", "b", "d"]
    assert items(store.recent(session="s")) == ["a", "c", "b", "d"]
    assert items(store.recent("other", "s")) == []
    store.append([view(5, "e", session="s")])  # a tracker that says only the session
    assert items(store.recent("u"))[-1] == "e"
    assert list(store.users()) == kept(store, "u")


def test_the_first_user_of_a_session_stays(each_store: Histories) -> None:
    store = each_store
    store.append([view(1, "a", session="s")])
    assert store.append([view(2, "b", user="u", session="s")]).merged == 1
    assert store.append([view(3, "c", user="v", session="s")]).merged == 0
    assert items(store.recent("u")) == ["a", "b"]
    assert items(store.recent("v")) == ["c"]
    assert store.append([view(0, "d", user="w", session="s")]).merged == 1  # and was there before
    assert items(store.recent("w")) == ["d", "a"]


def test_export_and_stream_carry_whose_events_they_are(each_store: Histories) -> None:
    store = each_store
    store.append([view(n, user=f"u{n}") for n in range(600)] + [view(1, session="s")])
    assert [event.user for event in store.export("u7")] == ["u7"]
    assert [event.session for event in store.export(session="s")] == ["s"]
    streamed = dict(store.stream())
    assert len(streamed) == 601
    assert sum(map(len, streamed.values())) == 601
    assert len(set(store.users())) == 600


def test_setting_events_per_user(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(tmp_path / "events", HistorySettings(events_per_user=2500))
    order = list(range(6000))
    random.Random(5).shuffle(order)
    events = [view(at, str(at), user="u", id=str(at)) for at in order]
    for start in range(0, 6000, 700):
        store.append(events[start : start + 700])
    newest = [str(at) for at in range(3500, 6000)]
    assert items(store.recent("u", n=9999)) == newest
    again = store.append(events)
    assert (again.stored, again.duplicates, again.too_old) == (0, 2500, 3500)
    assert items(store.recent("u", n=9999)) == newest
    store.close()


def test_setting_days(make_store: MakeStore, tmp_path: Path) -> None:
    now = time.time()
    plain = make_store(tmp_path / "events")
    plain.append([view(now - 90_000, "old", user="u"), view(now - 90_000, user="gone")])
    plain.append([view(now, "new", user="u")])
    brief = make_store(tmp_path / "events", HistorySettings(days=1))
    assert items(brief.recent("u")) == ["new"]  # not used, though not deleted yet
    assert [shopper.user for shopper, _ in brief.stream()] == kept(brief, "u")
    assert brief.append([view(now - 90_000, user="u")]).too_old == 1
    brief.append([view(now, user="u")])  # a write deletes what is old of its shopper
    assert items(list(plain.export("u"))) == ["new", "1"]
    brief.append([view(now, session="s"), view(now, user="w", session="t")])
    assert brief.append([view(now, user="u", session="s")]).merged == 1
    assert brief.forget_old() == 1
    assert set(plain.users()) == set(kept(plain, "u", "w"))
    plain.append([view(now, session="s"), view(now, session="t")])  # still theirs
    assert (len(brief.recent("u")), len(brief.recent("w"))) == (5, 2)
    for store in (plain, brief):
        store.close()


def test_forget_takes_the_sessions_along_and_a_session_only_itself(each_store: Histories) -> None:
    store = each_store
    store.append([view(1, session="s"), view(2, user="u", session="s"), view(3, user="v")])
    store.append([view(4, session="t"), view(5, session="r")])
    assert store.append([view(6, user="v", session="t")]).merged == 1
    assert store.forget(session="t").events == 1
    assert len(store.recent("v")) == 2
    gone = store.forget("u")
    assert (gone.events, gone.sessions) == (2, 1)
    assert store.recent("u") == store.recent(session="s") == []
    store.append([view(6, session="s")])  # a new, anonymous visit
    assert list(store.users()) == kept(store, "v")


def steps_of(store: Store, user: str) -> int:
    """Of SQLite's machine, to read the newest 50 events."""
    counted = [0]

    def count() -> None:
        counted[0] += 1

    db = store._reader.connection()
    assert db is not None
    db.set_progress_handler(count, 1)
    assert len(store.recent(user)) == 50
    db.set_progress_handler(None, 1)
    return counted[0]


def test_a_history_is_not_read_again_while_nobody_writes(store: Store) -> None:
    store.append([view(n, user="u") for n in range(60)])
    first = store.recent("u")
    assert store.recent("u") is first
    assert steps_of(store, "u") < 20
    assert len(store.recent("u", None, 50, 30.0)) == 30  # before a time it is read as it was
    assert store.recent("u") == first


def test_what_another_process_writes_or_forgets_is_read_at_once(store: Store) -> None:
    other = SqliteHistories(store.path.parent, HistorySettings())
    store.append([view(1, "a", user="u"), view(1, "z", user="v")])
    assert items(store.recent("u")) == ["a"]
    for n in range(2, 6):
        other.append([view(n, f"n{n}", user="u")])
        assert items(store.recent("u"))[-1] == f"n{n}"
    other.append([view(9, "b", user="v")])
    assert len(store.recent("u")) == 5
    assert other.forget("u").events == 5
    assert store.recent("u") == []
    assert items(store.recent("v")) == ["z", "b"]
    other.close()


def test_a_remembered_history_loses_what_has_become_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteHistories(tmp_path / "events", HistorySettings(days=1))
    now = time.time()
    store.append([view(now - 86_000, "old", user="u"), view(now - 10, "new", user="u")])
    assert items(store.recent("u")) == ["old", "new"]
    monkeypatch.setattr("reranker.histories.reads.time.time", lambda: now + 600)
    assert items(store.recent("u")) == ["new"]
    store.close()


@pytest.mark.promise(20)
def test_a_very_long_history_reads_as_fast_as_a_short_one(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine, which no other work on this one changes."""
    store = SqliteHistories(tmp_path / "events", HistorySettings(events_per_user=10**6))
    store.append([view(n, user="few", price=1.5) for n in range(50)])
    store.append([view(n, user="many", price=1.5) for n in range(100_000)])

    def steps(user: str) -> int:
        assert len(store.recent(user)) == 50
        store.append([view(-1.0, user=user)])  # else it is remembered
        return steps_of(store, user)

    assert 50 < steps("many") < 1.1 * steps("few")
    store.close()


@pytest.mark.promise(19)
@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "u", "v"]),
            st.sampled_from([None, "s", "t"]),
            st.integers(0, 5),
            st.integers(0, 30),
        ).filter(lambda event: event[0] or event[1]),
        unique_by=lambda event: event[2] * 100 + event[3],
    ),
    st.randoms(use_true_random=False),
    st.integers(1, 7),
)
def test_any_arrival_in_any_pieces_gives_the_same_histories(
    make_store: MakeStore,
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[str | None, str | None, int, int]],
    chance: random.Random,
    piece: int,
) -> None:
    events = [
        view(a * 100 + b, user=user, session=session, id=f"{a}-{b}")
        for user, session, a, b in found
    ]
    results = []
    keys = PseudonymKeys(tmp_path_factory.mktemp("keys"))
    for order in (sorted(events, key=lambda event: event.time), events):
        if order is events:
            chance.shuffle(order)
        folder = tmp_path_factory.mktemp("h")
        store = make_store(folder, None, keys)
        for start in range(0, len(order), piece):
            store.append(order[start : start + piece])
            store.append(order[start : start + 1])  # sent again: a duplicate
        results.append(sorted(store.stream(), key=lambda found: str(found[0])))
        store.close()
    assert results[0] == results[1]
    assert sum(len(history) for _, history in results[0]) == len(events)


class HistoryMachine(RuleBasedStateMachine):
    """append, forget and export in any order, against dictionaries."""

    folder: Path
    make: MakeStore
    users = st.sampled_from(["u", "v"])
    sessions = st.sampled_from(["s", "t"])

    @initialize()
    def start(self) -> None:
        self.store = type(self).make(self.folder / uuid4().hex)
        self.owner: dict[str, str] = {}
        self.kept: list[HistoryEvent] = []
        self.clock = 0

    def send(self, user: str | None, session: str | None) -> None:
        self.clock += 1  # in order, so that the first login is the earliest one
        event = view(self.clock, str(self.clock), user=user, session=session, id=str(self.clock))
        if user and session:
            self.owner.setdefault(session, user)
        assert self.store.append([event]).stored == 1
        self.kept.append(event)

    @rule(user=users)
    def from_user(self, user: str) -> None:
        self.send(user, None)

    @rule(session=sessions)
    def from_session(self, session: str) -> None:
        self.send(None, session)

    @rule(user=users, session=sessions)
    def login(self, user: str, session: str) -> None:
        self.send(user, session)

    @rule()
    def again(self) -> None:
        assert self.store.append(self.kept).stored == 0

    @rule()
    def reopen(self) -> None:
        self.store.close()

    @rule(user=users)
    def forget(self, user: str) -> None:
        self.kept = [event for event in self.kept if self.owner_of(event) != user]
        self.store.forget(user)
        self.owner = {session: owner for session, owner in self.owner.items() if owner != user}
        assert list(self.store.export(user)) == []

    def owner_of(self, event: HistoryEvent) -> str | None:
        return event.user or self.owner.get(event.session or "", event.session)

    @rule()
    def looks_right(self) -> None:
        for name in ("u", "v"):
            expected = [event.item for event in self.kept if self.owner_of(event) == name]
            assert items(self.store.recent(name)) == expected
            assert items(list(self.store.export(name))) == expected
        for session in ("s", "t"):
            whose = self.owner.get(session, session)
            expected = [event.item for event in self.kept if self.owner_of(event) == whose]
            assert items(self.store.recent(session=session)) == expected

    def teardown(self) -> None:
        self.store.close()


@pytest.mark.promise(19)
def test_any_sequence_of_calls(make_store: MakeStore, tmp_path: Path) -> None:
    machine = type(
        "Machine", (HistoryMachine,), {"folder": tmp_path, "make": staticmethod(make_store)}
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


WRITER = """
import sys
from pathlib import Path
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.store import SqliteHistories

store = SqliteHistories(Path(sys.argv[1]), HistorySettings(events_per_user=10**6))
batch, number = int(sys.argv[3]), int(sys.argv[2])
print("ready", flush=True)
while True:
    events = [
        HistoryEvent(type="view", item=str(n), time=float(n), user=f"u{n % 3}", id=str(n))
        for n in range(number, number + batch)
    ]
    store.append(events)
    number += batch
    print(number, flush=True)
"""


@pytest.mark.promise(19)
@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.heavy)])
def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    """Kills at random moments, of writers of one event at a time and of many."""
    chance = random.Random(11)
    acknowledged = 0
    record_property("runs", kills)
    for kill in range(kills):
        batch = 1 if kill % 2 else 50
        args = [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged), str(batch)]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            # A writer is killed after an acknowledgement, however slow the machine is.
            first = int(writer.stdout.readline())
            time.sleep(chance.uniform(0, 0.06))
            writer.send_signal(signal.SIGKILL)
            later = [int(line) for line in writer.stdout if line.endswith("\n")]
        acknowledged = max([acknowledged, first, *later])
        # A batch is kept whole or not at all: an id that comes again counts once.
    store = SqliteHistories(tmp_path, HistorySettings(events_per_user=10**6))
    there = {int(event.item or 0) for _, events in store.stream() for event in events}
    assert acknowledged >= kills
    assert set(range(acknowledged)) <= there
    check = sqlite3.connect(store.path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
    store.close()


IMPORTER = """
import sys
from pathlib import Path
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.ingestion.importer import Importer
from reranker.histories.store import open_histories

workspace = Workspace(Path(sys.argv[1]))
Importer(workspace, Path(sys.argv[2]), silent).run(open_histories(workspace))
"""


@pytest.mark.promise(19)
def test_a_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    lines = [
        f'{{"user":"u{n % 9}","type":"view","item":"{n}","time":{10**9 + n}}}\n'
        for n in range(30_000)
    ]
    path.write_text("".join(lines))
    home = tmp_path / "home"
    store = SqliteHistories(home / "events", HistorySettings(), PseudonymKeys(home))
    importer = subprocess.Popen([sys.executable, "-c", IMPORTER, str(home), str(path)])
    deadline = time.monotonic() + 300
    while not store.recent("u1") and time.monotonic() < deadline:
        time.sleep(0.002)
    importer.kill()
    importer.wait()
    some = sum(len(events) for _, events in store.stream())
    assert 0 < some
    subprocess.run([sys.executable, "-c", IMPORTER, str(home), str(path)], check=True)
    assert sum(len(events) for _, events in store.stream()) == 30_000
    left = {found.name for found in (home / "events").iterdir()}
    assert left <= {"history.counts", "history.db", "history.db-wal", "history.db-shm"}
    store.close()


def _append_many(folder: Path, name: str, count: int) -> None:
    store = SqliteHistories(folder, HistorySettings())
    for n in range(count):
        store.append([view(n, user=name, id=f"{name}-{n}"), view(n, user="all", id=f"all-{n}")])
    store.close()


def test_processes_and_threads_write_beside_each_other(store: Store) -> None:
    folder = store.path.parent
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_append_many, args=(folder, f"p{n}", 40)) for n in range(3)]
    for process in processes:
        process.start()
    results: list[Appended] = []
    threads = [
        threading.Thread(
            target=lambda n=n: results.extend(
                store.append([view(i, user=f"t{n}")]) for i in range(20)
            )
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.join()
    assert sum(done.stored for done in results) == 80
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [len(store.recent(f"p{n}")) for n in range(3)] == [40] * 3
    assert len(store.recent("all")) == 40  # three senders of the same ids


def test_a_forked_child_gets_its_own_connection(store: Store) -> None:
    store.append([view(1, user="u")])
    assert len(store.recent("u")) == 1
    child = os.fork()
    if child == 0:  # pragma: no cover
        status = 1
        try:
            store.append([view(2, user="u")])
            status = 0 if len(store.recent("u")) == 2 else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(store.recent("u")) == 2


@pytest.fixture
def locked(store: Store) -> Iterator[Store]:
    store.append([view(1, user="u")])
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield store
    other.execute("ROLLBACK")
    other.close()


def test_setting_wait_seconds(locked: Store) -> None:
    brief = SqliteHistories(locked.path.parent, HistorySettings(wait_seconds=0.1))
    started = time.monotonic()
    with pytest.raises(HistoryBusy, match="another process"):
        brief.append([view(2, user="u")])
    assert time.monotonic() - started >= 0.1  # it did wait
    assert len(locked.recent("u")) == 1  # a reader does not wait for a writer
    brief.close()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda whole: b"x" * len(whole),
    "cut": lambda whole: whole[:5000],
    "garbage inside": lambda whole: whole[:100] + os.urandom(len(whole) - 100),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(store: Store, name: str) -> None:
    store.append([view(n, user=f"u{n}") for n in range(500)])
    store.close()
    store.path.write_bytes(DAMAGE[name](store.path.read_bytes()))
    with pytest.raises(HistoryDamaged, match=r"history\.db is damaged"):
        list(store.stream())
    with pytest.raises(HistoryFailure):
        store.append([view(1, user="u3", id="new")])
        store.recent("u499")


def test_a_file_of_another_form_is_refused(store: Store) -> None:
    store.append([view(1, user="u")])
    store.close()
    db = sqlite3.connect(store.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for call in (lambda: store.recent("u"), lambda: store.append([view(2, user="u")])):
        with pytest.raises(HistoryFailure, match="has the form 99"):
            call()


def test_a_file_that_was_moved_aside_is_not_written_to(store: Store) -> None:
    store.append([view(1, user="u")])
    assert store.recent("u")
    for path in list(store.path.parent.iterdir()):
        path.rename(path.with_name(f"aside-{path.name}"))
    assert store.recent("u") == []
    store.append([view(2, user="u")])
    assert len(store.recent("u")) == 1


def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file")
    store = SqliteHistories(tmp_path / "events" / "deeper", HistorySettings())
    with pytest.raises(HistoryFailure, match="cannot be used"):
        store.append([view(1, user="u")])


def test_the_cutoff_is_off_by_default() -> None:
    assert cutoff(HistorySettings()) == -math.inf


def test_forget_reaches_the_log_while_others_have_the_file_open(store: Store) -> None:
    other = SqliteHistories(store.path.parent, HistorySettings())
    for user in ("shopper-secret", "somebody-else"):
        store.append([view(n, user=user, query=f"{user}'s query {n}") for n in range(300)])
    assert len(other.recent("shopper-secret")) == 50
    other.append([view(999, user="somebody-else")])
    assert store.forget("shopper-secret").events == 300
    files = [path for path in store.path.parent.iterdir() if path.is_file()]
    (name,) = kept(store, "shopper-secret")
    assert name and not any(name.encode() in path.read_bytes() for path in files)
    assert len(files) == 4  # the database, its log, the log's index, the counts of writes
    assert not any(b"shopper-secret" in path.read_bytes() for path in files)
    assert other.recent("shopper-secret") == []
    assert len(other.recent("somebody-else", n=999)) == 301
    other.close()
