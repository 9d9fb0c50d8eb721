"""A remembered history holds while none of its own shopper's events is written, and no longer."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Shopper
from reranker.histories.store import SqliteHistories
from reranker.histories.write_counts import bucket
from reranker.histories.writes import Write

Who = tuple[str | None, str | None]
NAMES: list[Who] = [(user, session) for user in ("u", "v", None) for session in ("s", "t", None)]
ASKED = [who for who in NAMES if who != (None, None)]


def opened(folder: Path, most: int = 1000) -> SqliteHistories:
    return SqliteHistories(folder / "events", HistorySettings(events_per_user=most))


def view(at: float, user: str | None, session: str | None = None) -> HistoryEvent:
    return HistoryEvent(type="view", item=f"i{at}", time=at, user=user, session=session)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[SqliteHistories, SqliteHistories]]:
    """Of one folder: who reads, and who writes."""
    stores = opened(tmp_path), opened(tmp_path)
    stores[1].append([view(1.0, "u"), view(1.0, "v"), view(2.0, None, "s")])
    yield stores
    for store in stores:
        store.close()


def test_others_events_leave_a_history_at_hand(
    both: tuple[SqliteHistories, SqliteHistories],
) -> None:
    reader, writer = both
    first = reader.recent("u"), reader.recent("nobody"), reader.recent(None, "s")
    for at in range(20):
        writer.append([view(5.0 + at, f"other {at}", f"visit {at}")])
    assert reader.at_hand("u") is first[0]
    assert reader.at_hand("nobody") == first[1] == []
    assert reader.at_hand(None, "s") is first[2]
    writer.append([view(9.0, "u")])
    assert reader.at_hand("u") is None and len(reader.recent("u")) == 2
    writer.append([view(9.5, "v", "s")])  # the session becomes v's
    assert reader.at_hand(None, "s") is None and len(reader.recent(None, "s")) == 3
    writer.append([view(9.7, "v")])  # and what v does is the session's from now on
    assert reader.at_hand(None, "s") is None and len(reader.recent(None, "s")) == 4
    assert writer.forget("other 3").known
    assert reader.at_hand("u") is None, "what is forgotten is forgotten everywhere"


@settings(max_examples=12, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["write"] * 8 + ["forget", "read", "expire"]),
            st.sampled_from(NAMES),
            st.integers(1, 9),
            st.booleans(),
        ),
        min_size=4,
        max_size=10,
    )
)
def test_a_reader_that_remembers_says_what_one_says_that_reads(
    steps: list[tuple[str, Who, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever two others write in between, sessions that change their owner included."""
    folder = tmp_path_factory.mktemp("counts")
    reader, forgetful, *writers = (opened(folder, most=4) for _ in range(4))
    for what, (user, session), at, which in steps:
        writer = writers[which]
        if what == "write" and (user, session) != (None, None):
            writer.append([view(float(at), user, session)])
        elif what == "forget" and (user, session) != (None, None):
            writer.forget(user, None if user is not None else session)
        elif what == "expire":
            writer._transaction(partial(Write.delete_before, cutoff=float(at)))
        for who in ASKED:
            forgetful._newest.clear()
            expected = forgetful.recent(*who)
            assert reader.at_hand(*who) in (None, expected)
            assert reader.recent(*who) == expected
    for store in (reader, forgetful, *writers):
        store.close()


def test_a_writer_that_is_killed_while_it_commits(
    both: tuple[SqliteHistories, SqliteHistories],
) -> None:
    reader, writer = both
    assert reader.recent("u") and reader.recent("v")
    child = os.fork()
    if child == 0:
        with writer._counts.writing(5.0) as begin:
            begin([bucket(True, str(writer.hidden(Shopper("u", None)).user))])
            os._exit(0)
    os.waitpid(child, 0)
    assert reader.at_hand("u") is None and len(reader.recent("u")) == 1
    assert reader.at_hand("u") is None, "what was read then cannot be told from what is stored"
    assert reader.at_hand("v") is not None
    writer.append([view(3.0, "u")])
    assert len(reader.recent("u")) == 2 and reader.at_hand("u") is not None


def written_by_another(folder: Path, number: int, tells: int) -> int:
    """A process that says each time of an event once it is stored."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = opened(folder)
            for step in range(15):
                at = 1 + 100 * number + step
                own.append([view(float(at), "u")])
                os.write(tells, b"%08d\n" % at)
            code = 0
        finally:
            os._exit(code)
    return child


def test_what_other_processes_were_told_is_stored_is_read(tmp_path: Path) -> None:
    """Three write to the same shopper beside each other; each word of theirs is true at once."""
    reader = opened(tmp_path)
    reader.append([view(0.5, "u")])
    told, tells = os.pipe()
    children = [written_by_another(tmp_path, number, tells) for number in range(3)]
    os.close(tells)
    heard = b""
    while block := os.read(told, 9):
        heard += block
        seen = {event.item for event in reader.recent("u", n=1000)}
        assert {f"i{float(line)}" for line in heard.split(b"\n")[:-1]} <= seen
    os.close(told)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert heard.count(b"\n") == 45 and len(reader.recent("u", n=1000)) == 46
    reader.close()
