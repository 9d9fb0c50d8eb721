"""Moments that nothing is learned from: the last search that led somewhere, else the last item."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reranker.events.events import TYPES, HistoryEvent
from reranker.model.card import NONE
from reranker.training.held_out import held_out
from reranker.training.sequences import Sequences, sequences_of

Row = tuple[str, str, float]  # type, item or query, time


def sequences(*shoppers: list[Row]) -> Sequences:
    """One shopper a list of events."""
    return sequences_of(
        (
            (
                f"u {number}",
                HistoryEvent(
                    type=kind,
                    item=None if kind == "search" else what,
                    query=what if kind == "search" else None,
                    time=time,
                ),
            )
            for number, rows in enumerate(shoppers)
            for kind, what, time in rows
        ),
        TYPES,
    )


def moment(rows: list[Row]) -> tuple[int, int, int]:
    """Begin, target and end of the one moment held out of two equal shoppers."""
    made = sequences(rows, rows)
    moments = held_out(made, made.at[1:], 1, seed=1)
    [who] = moments.shoppers.tolist()
    first = int(made.at[who])
    return tuple(int(part[0]) - first for part in (moments.begins, moments.targets, moments.ends))  # type: ignore[return-value]


def test_a_moment_begins_with_the_search_that_led_to_it() -> None:
    rows = [
        ("view", "a", 0.0),
        ("view", "b", 1.0),
        ("search", "lamp", 10.0),
        ("view", "c", 20.0),
        ("cart", "c", 30.0),
    ]
    assert moment(rows) == (2, 3, 5)


def test_without_a_search_or_long_after_it_a_moment_is_the_last_item() -> None:
    visited = [("view", name, float(place)) for place, name in enumerate("abc")]
    assert moment(visited) == (2, 2, 3)
    long_after = [*visited, ("search", "lamp", 10.0), ("view", "d", 10.0 + 31 * 60)]
    assert moment(long_after) == (4, 4, 5)


def test_the_same_shoppers_are_held_out_when_events_are_added() -> None:
    walks = [[("view", f"{step}", float(step)) for step in range(4)] for _ in range(30)]
    before = sequences(*walks)
    more = [
        [*walk, ("view", "9", 9.0)] if place % 3 == 0 else walk for place, walk in enumerate(walks)
    ]
    after = sequences(*more)
    chosen = held_out(before, before.at[1:], 10, seed=1)
    again = held_out(after, after.at[1:], 10, seed=1)
    assert [before.shoppers[n] for n in chosen.shoppers] == [
        after.shoppers[n] for n in again.shoppers
    ]
    assert len(chosen) == 10


@given(
    st.lists(
        st.lists(st.sampled_from(["view", "search", "cart"]), min_size=0, max_size=8),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 8),
)
def test_nothing_from_a_moment_on_is_left_to_learn_from(kinds: list[list[str]], most: int) -> None:
    made = sequences(
        *[[(kind, f"{place % 3}", 40.0 * place) for place, kind in enumerate(row)] for row in kinds]
    )
    moments = held_out(made, made.at[1:], most, seed=3)
    assert len(moments) <= min(most, max(len(made) // 2, 1))
    left = made.before(moments.limits)
    assert len(left.items) == int((moments.limits - made.at[:-1]).sum())
    for begin, target, end, who in zip(
        moments.begins, moments.targets, moments.ends, moments.shoppers, strict=True
    ):
        assert made.at[who] < begin <= target < end <= made.at[who + 1]
        assert moments.limits[who] == begin
        assert made.items[target] != NONE and made.items[begin:target].max(initial=NONE) == NONE
    np.testing.assert_array_equal(
        np.delete(moments.limits, moments.shoppers), np.delete(made.at[1:], moments.shoppers)
    )
