"""What `reranker train` publishes does not tell what one shopper did, nor when."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from reranker.events.events import HistoryEvent
from reranker.model.card import ARRAYS
from reranker.model.settings import TrainSettings
from reranker.training.item_statistics import (
    HALF_LIFE_DAYS,
    CountedStatistics,
    count_statistics,
    rounded,
)
from reranker.training.sequences import Sequences, sequences_of

DAY = 86_400.0
NEWEST = 1.76e9
TYPES = {"view": 1.0, "cart": 2.0, "purchase": 5.0}
Events = list[tuple[str, HistoryEvent]]


def event(kind: str, item: int, at: float) -> HistoryEvent:
    return HistoryEvent(type=kind, item=f"{item}", time=at)


def shop(buyers: int, seed: int = 1) -> tuple[Sequences, npt.NDArray[np.float64]]:
    """60 items that everybody views, each bought by so many shoppers, once; and when."""
    rng = np.random.default_rng(seed)
    times = NEWEST - rng.uniform(0, 400 * DAY, (60, buyers))
    events: Events = []
    for item in range(60):
        viewers = rng.permutation(40)[:8]
        events += [
            (f"u {who}", event("view", item, NEWEST - rng.uniform(0, 400 * DAY))) for who in viewers
        ]
        events += [
            (f"u {who}", event("purchase", item, at))
            for who, at in zip(viewers, times[item], strict=False)
        ]
    events += [(f"u {who}", event("view", 0, NEWEST)) for who in range(3)]
    events.sort(key=lambda one: one[1].time)
    return sequences_of(events, TYPES), times


def published(
    sequences: Sequences, folder: Path
) -> tuple[CountedStatistics, dict[str, npt.NDArray]]:  # type: ignore[type-arg]
    found = count_statistics(sequences, sequences.item_ids)
    found.save(folder)
    return found, load_file(folder / ARRAYS)


def reconstructed(counts: npt.NDArray[np.float32], newest: float) -> npt.NDArray[np.float64]:
    """Times from counts, as if each were of one event: count = 2 ** -(age / half-life)."""
    with np.errstate(divide="ignore"):
        ages = -np.log2(counts.astype(np.float64)) * HALF_LIFE_DAYS * DAY
    return np.where(counts > 0, newest - ages, -np.inf)


def test_no_time_of_a_single_buyer_comes_back(tmp_path: Path) -> None:
    sequences, times = shop(buyers=1)
    found, arrays = published(sequences, tmp_path)
    purchases = arrays["counts"][:, found.card.types.index("purchase")]
    assert len(found.card.item_ids) == 60  # all are known: they were viewed by many
    assert not purchases.any()
    for column in arrays["counts"].T:
        guessed = reconstructed(column, NEWEST)
        away = np.abs(guessed - times[[int(item) for item in found.card.item_ids], 0])
        assert (away > DAY / 24).all()


def test_what_several_bought_is_published_and_tells_no_time(tmp_path: Path) -> None:
    sequences, times = shop(buyers=2)
    found, arrays = published(sequences, tmp_path)
    purchases = arrays["counts"][:, found.card.types.index("purchase")]
    assert (purchases > 0).all()
    # Whoever knows the time of one of the two takes it off, and does not learn the other's hour.
    mine, other = times[[int(item) for item in found.card.item_ids]].T
    for newest in (found.card.newest, NEWEST):
        left = purchases - np.exp2(-(newest - mine) / (DAY * HALF_LIFE_DAYS))
        guessed = reconstructed(np.maximum(left, 0.0).astype(np.float32), newest)
        assert (np.abs(guessed - other) < 3600).mean() < 0.2


def test_counts_do_not_change_within_a_day(tmp_path: Path) -> None:
    def counts(shift: float) -> npt.NDArray[np.float32]:
        day = np.floor(NEWEST / DAY) * DAY
        events = [
            (f"u {who}", event("purchase", item, day - 5 * item * DAY + 60.0 + shift * who))
            for item in range(5)
            for who in range(3)
        ]
        found = sequences_of(sorted(events, key=lambda one: one[1].time), TYPES)
        statistics = count_statistics(found, found.item_ids)
        order = np.argsort(statistics.card.item_ids)
        assert statistics.card.newest % DAY == 0
        return statistics.counts[order]

    np.testing.assert_array_equal(counts(1.0), counts(40_000.0))


def test_each_type_of_event_needs_enough_shoppers() -> None:
    events = [(f"u {who}", event("view", item, item + who)) for who in range(3) for item in (1, 2)]
    events += [("u 0", event("purchase", 1, 50.0)), ("u 0", event("purchase", 1, 51.0))]
    events += [(f"u {who}", event("cart", 2, 60.0)) for who in range(2)]
    sequences = sequences_of(events, TYPES)
    for least, bought, carted in ((1, True, True), (2, False, True), (3, False, False)):
        settings = TrainSettings(min_users=least)
        found = count_statistics(sequences, sequences.item_ids, settings)
        one, two = (found.card.item_ids.index(item) for item in "12")
        view, cart, purchase = (found.card.types.index(name) for name in TYPES)
        assert (found.counts[one, purchase] > 0) is np.bool_(bought)
        assert (found.counts[two, cart] > 0) is np.bool_(carted)
        assert (found.counts[:, view] > 0).all()


def test_how_one_shopper_comes_back_is_no_habit() -> None:
    events = [
        (f"u {who}", event("view", at % 3, DAY * at + who)) for who in range(3) for at in range(9)
    ]
    events += [("u 0", event("cart", 1, DAY * (10 + at))) for at in range(9)]  # again and again
    sequences = sequences_of(sorted(events, key=lambda one: one[1].time), TYPES)
    lifts = count_statistics(sequences, sequences.item_ids, TrainSettings(min_users=2)).card.lifts
    assert lifts["view"] != 0.0 and lifts["cart"] == 0.0
    alone = count_statistics(sequences, sequences.item_ids, TrainSettings(min_users=1)).card.lifts
    assert alone["cart"] > 0.0


@given(st.lists(st.floats(0, 1e9), min_size=1), st.integers(3, 20))
def test_rounding_keeps_size_and_order(values: list[float], digits: int) -> None:
    some = np.sort(np.array(values))
    found = rounded(some, digits)
    assert (np.abs(found - some) <= some * 2.0**-digits).all()
    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(rounded(found, digits), found)
