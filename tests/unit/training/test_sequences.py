"""Events to sequences, and sequences to packed batches."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexes.readers.bad_lines import BadLine
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.events.events import TYPES, HistoryEvent
from reranker.events.settings import EventSettings
from reranker.histories.histories import Shopper
from reranker.histories.store import open_histories
from reranker.model.card import NONE
from reranker.model.served_model import BUCKETS, bucket
from reranker.training.batches import (
    TrainingWindows,
    batch_of,
    case_batches,
    cases_at,
)
from reranker.training.sequences import Sequences, file_events, kept_events, sequences_of

Row = tuple[str, str, str | None, float]


def made(rows: list[Row]) -> Sequences:
    """shopper, type, item (or a search's text), time."""
    return sequences_of(
        (
            (
                who,
                HistoryEvent(
                    type=kind,
                    item=None if kind == "search" else what,
                    query=what if kind == "search" else None,
                    time=time,
                ),
            )
            for who, kind, what, time in rows
        ),
        TYPES,
    )


ROWS: list[Row] = [
    ("u ann", "view", "a", 3.0),
    ("u bob", "view", "a", 1.0),
    ("u ann", "search", "lamp", 1.0),
    ("u ann", "view", "b", 1.0),
    ("u ann", "purchase", "c", 9.0),
    ("u ann", "cancel", "c", 11.0),
]


def test_sequences_are_in_the_order_of_time_and_ties_as_they_came() -> None:
    found = made(ROWS)
    assert found.shoppers == ["u ann", "u bob"]
    assert found.at.tolist() == [0, 5, 6]
    items = [None if item == NONE else found.item_ids[item] for item in found.items]
    assert items == [None, "b", "a", "c", "c", "a"]
    assert [found.query_texts[q] for q in found.queries if q != NONE] == ["lamp"]


def test_searches_and_cancels_are_read_and_not_foreseen() -> None:
    found = made(ROWS)
    assert found.targets.tolist() == [1, 2, 3, 5]
    assert found.next_target().tolist() == [1, 2, 3, NONE, NONE, NONE]
    assert found.last_target_before(found.at[1:]).tolist() == [3, 5]
    assert found.last_target_before(found.at[:-1]).tolist() == [NONE, NONE]


def test_items_that_the_catalogue_lacks_stay_as_events_without_item() -> None:
    found = made(ROWS).with_rows(np.array([5, NONE, 7]))  # a, b, c
    assert found.items.tolist() == [NONE, NONE, 5, 7, 7, 5]
    assert found.targets.tolist() == [2, 3, 5]


rows = st.lists(
    st.tuples(
        st.sampled_from(["u 1", "u 2", "u 3"]),
        st.sampled_from(["view", "search", "cancel"]),
        st.sampled_from("abcd"),
        st.integers(0, 5).map(float),
    ),
    min_size=1,
    max_size=40,
)


@given(rows, st.integers(1, 6), st.integers(0, 40))
def test_no_training_window_holds_or_foresees_what_is_at_or_after_its_limit(
    events: list[Row], length: int, cut: int
) -> None:
    found = made(events)
    limits = np.minimum(found.at[1:], np.maximum(found.at[:-1], cut))
    windows = TrainingWindows.before(found, limits, length)
    owner = np.searchsorted(found.at, windows.starts, side="right") - 1
    assert (windows.stops < limits[owner]).all()
    assert (windows.stops - windows.starts <= length).all()
    for batch, targets in windows.batches(2, 4096, np.random.default_rng(0)):
        assert len(batch.items) == len(targets) == int(batch.lengths.sum())
        assert (targets >= 0).all()
    following = found.next_target()
    owners = found.owner
    for start, stop, shopper in zip(windows.starts, windows.stops, owner, strict=True):
        for place in range(start, stop):
            assert place < following[place] <= stop < limits[shopper]
            assert owners[following[place]] == shopper


def test_a_batch_holds_real_events_only_with_their_gaps_and_ages() -> None:
    found = made(ROWS)
    batch, places = batch_of(found, np.array([0, 5]), np.array([3, 6]), np.array([9.0, 1.0]))
    assert places.tolist() == [0, 1, 2, 5]
    assert batch.lengths.tolist() == [3, 1]
    assert batch.gaps.tolist() == [0, 1, 2, 0]  # none, 0 s, 2 s, none
    assert batch.ages.tolist() == [1, 2, 3, 1]  # 0 s, 2 s, 6 s to the request, 0 s
    assert batch.last.tolist() == [2, 3]


def test_buckets_tell_seconds_from_years_and_never_leave_the_table() -> None:
    seconds = np.array([-5.0, 0, 1, 3, 60, 86_400, 1e9, 1e300])
    found = bucket(seconds)
    assert found.tolist() == sorted(found.tolist())
    assert found[0] == found[1] == 1 and found.max() == BUCKETS - 1


def test_cases_without_a_history_are_in_no_batch() -> None:
    found = made(ROWS)
    cases = cases_at(found, np.array([5, 3]))  # bob's only event, ann's purchase
    assert cases.targets.tolist() == [found.item_ids.index("a"), found.item_ids.index("c")]
    batches = list(case_batches(found, cases, 2, 10))
    assert [some.tolist() for some, _ in batches] == [[1]]
    assert batches[0][1].lengths.tolist() == [2]


def test_the_file_and_the_kept_histories_give_the_same_sequences(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"user":"1","type":"view","item":"a","time":1700000020}\n'
        '{"user":"1","type":"view","item":"b","time":1700000010}\n'
        '{"session":"1","type":"purchase","item":"c","time":1700000005}\n'
        '{"user":"1","type":"view","time":1700000001}\n'
    )
    bad: list[BadLine] = []
    events = list(file_events(path, EventSettings(), TimeSettings(), bad.append))
    assert [one.line for one in bad] == [4]
    histories = open_histories(Workspace(tmp_path / "home"))
    histories.append([event for _, event in events])
    from_file, kept = sequences_of(events, TYPES), sequences_of(kept_events(histories), TYPES)
    user, session = histories.hidden(Shopper("1", "1"))
    histories.close()
    names = {f"u {user}": "u 1", f"s {session}": "s 1"}
    assert {shopper: walk(from_file, shopper) for shopper in from_file.shoppers} == {
        names[shopper]: walk(kept, shopper) for shopper in kept.shoppers
    }
    assert walk(from_file, "u 1") == ["b", "a"]


def walk(found: Sequences, shopper: str) -> list[str]:
    number = found.shoppers.index(shopper)
    return [found.item_ids[item] for item in found.items[found.at[number] : found.at[number + 1]]]
