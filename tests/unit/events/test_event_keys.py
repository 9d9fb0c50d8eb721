"""Which events are the same: of one shopper, by id and by what they say, by every way they come."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key, of_same_id, record_key
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories
from reranker.histories.store import SqliteHistories, open_histories
from reranker.privacy.rotation import rotate
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms

T = 1_700_000_000.0


def view(item: str, id: str | None = "1", user: str | None = "u", **more: object) -> HistoryEvent:
    return HistoryEvent(**{"type": "view", "item": item, "time": T, "id": id, "user": user} | more)


@pytest.fixture
def histories(tmp_path: Path) -> Iterator[Histories]:
    found = open_histories(Workspace(tmp_path))
    yield found
    found.close()


def counts(histories: Histories, *events: HistoryEvent) -> tuple[int, int, int]:
    done = histories.append(events)
    return done.stored, done.duplicates, done.conflicts


def items(histories: Histories, user: str) -> list[str | None]:
    return sorted(event.item or "" for event in histories.export(user))


def test_two_shoppers_may_count_alike(histories: Histories) -> None:
    same = [view("a", user="u"), view("a", user="v"), view("a", user=None, session="u")]
    assert counts(histories, *same) == (3, 0, 0)
    assert counts(histories, *same) == (0, 3, 0)


def test_other_content_under_one_id_is_kept_and_counted(histories: Histories) -> None:
    lines = [view("a"), view("b"), view("c"), view("b")]
    assert counts(histories, *lines) == (3, 1, 2)
    assert histories.append([view("d", "2"), view("e")]).first_conflict == 1
    assert counts(histories, *lines, view("e")) == (0, 5, 0)
    assert items(histories, "u") == ["a", "b", "c", "d", "e"]


def test_a_session_that_becomes_a_users_brings_nothing_twice(histories: Histories) -> None:
    alone = [view("a", user=None, session="s"), view("b", user=None, session="s")]
    named = [view("a", session="s"), view("c", session="s")]
    assert counts(histories, *alone) == (2, 0, 1)
    assert counts(histories, view("a")) == (1, 0, 0)  # nobody knows yet whose the session is
    assert counts(histories, *named) == (1, 1, 1)
    for again in (alone, named, alone + named):
        assert counts(histories, *again)[0] == 0
    assert items(histories, "u") == ["a", "b", "c"]


@settings(max_examples=25, deadline=None)
@given(
    events=st.lists(
        st.builds(
            view,
            item=st.sampled_from("ab"),
            id=st.sampled_from(["1", "2"]),
            user=st.sampled_from([None, "u", "v"]),
            session=st.sampled_from(["s", "t"]),
            time=st.sampled_from([T, T + 1]),
            price=st.sampled_from([None, 1.5]),
        ),
        min_size=1,
        max_size=12,
    ),
    chance=st.randoms(use_true_random=False),
    piece=st.integers(1, 5),
)
def test_what_came_once_adds_nothing_in_any_order_and_after_export_and_rotation(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[HistoryEvent],
    chance: random.Random,
    piece: int,
) -> None:
    # Of a session that two users claim, who is first decides whose its nameless events are.
    own = {"u": "s", "v": "t"}
    events = [
        msgspec.structs.replace(event, session=own[event.user]) if event.user else event
        for event in events
    ]
    home = Workspace(tmp_path_factory.mktemp("home"))
    histories = open_histories(home)
    for start in range(0, len(events), piece):
        histories.append(events[start : start + piece])

    def add_nothing() -> None:
        chance.shuffle(events)
        for start in range(0, len(events), piece):
            assert histories.append(events[start : start + piece]).stored == 0
        for user in ("u", "v"):
            exported = list(histories.export(user))
            assert not exported or histories.append(exported).stored == 0

    add_nothing()
    rotate(home)
    add_nothing()
    histories.close()


@given(st.text(min_size=1), st.text(min_size=1), st.binary(min_size=32, max_size=32))
def test_keys_of_one_id_stay_together_under_every_key(id: str, item: str, secret: bytes) -> None:
    names = Pseudonyms(secret, secret[::-1])
    event, other = view("x", id), view(item, id)
    keys = [names.event(event_key(one), has_id=True) for one in (event, other)]
    low, high = of_same_id(keys[0])
    assert low <= keys[1] <= high < 2**63
    assert (keys[0] == keys[1]) == (item == "x")
    first = names.at(1).event(event_key(event), has_id=True)
    assert names.event(first, since=1, has_id=True) == keys[0]


def as_of_an_earlier_release(home: Path) -> None:
    """history.db with one key for each id, whoever's it is, and no form of today."""
    names = PseudonymKeys(home).open()
    db = sqlite3.connect(home / "events" / "history.db")
    db.execute("DROP INDEX events_by_key")
    for key, payload in db.execute("SELECT key, payload FROM events").fetchall():
        event = msgspec.msgpack.decode(payload, type=HistoryEvent)
        if event.id is not None:
            made = xxhash.xxh3_64_intdigest(b"id\0" + event.id.encode()) >> 1
            db.execute("UPDATE events SET key = ? WHERE key = ?", (names.event(made), key))
    db.execute("CREATE UNIQUE INDEX events_by_key ON events (key)")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()


def test_the_form_on_the_disk_stays() -> None:
    assert record_key(view("a", None)) == 6472924190801699880
    stored = msgspec.msgpack.encode([*msgspec.structs.astuple(view("a")), True])
    assert msgspec.msgpack.decode(stored, type=HistoryEvent) == view("a")


@pytest.mark.parametrize("rotated", [False, True])
def test_what_an_earlier_release_kept_is_known_again(tmp_path: Path, rotated: bool) -> None:
    home = Workspace(tmp_path)
    histories = open_histories(home)
    if rotated:
        rotate(home)
    events = [view("a"), view("b", "2"), view("c", "3", None, session="s"), view("d", None)]
    keys = [event_key(event) for event in events]
    histories.append(events, keys)
    histories.close()
    as_of_an_earlier_release(tmp_path)
    with pytest.raises(Exception, match="earlier release"):
        SqliteHistories(tmp_path / "events", HistorySettings(), PseudonymKeys(tmp_path)).recent("u")
    histories = open_histories(home)
    done = histories.append([*events, view("e")], [*keys, event_key(view("e"))])
    assert (done.stored, done.duplicates, done.conflicts) == (1, 4, 1)
    histories.close()
