"""`reranker evaluate next-item`: splits, full ranking, baselines by hand, the report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.sequence_worlds import CIRCLE, DAY, circle, circle_events, tiny_settings

from indexes.errors import Failure
from reranker.events.events import TYPES, HistoryEvent
from reranker.model_selection.baselines import TrainingPart, baselines, ease, last_item, together
from reranker.model_selection.next_item import baseline_ranks, report, split_parts, values
from reranker.training.batches import Cases
from reranker.training.data import Catalogue, training_data
from reranker.training.inference import ndcg_at_10, ranks
from reranker.training.sequences import Sequences, sequences_of
from service.commands.cli import run

SETTINGS = """[train]
width = 16
epochs = 6
length = 6
learning_rate = 0.02
batch_users = 8
precision = "float32"
"""


def walks(*histories: str, days: float = 1.0) -> Sequences:
    """A letter is an item, a day apart; items are rows in the order of the letters."""
    events = [
        (f"u {who}", HistoryEvent(type="view", item=item, time=1e9 + step * days * DAY))
        for who, history in enumerate(histories)
        for step, item in enumerate(history)
    ]
    found = sequences_of(events, TYPES)
    letters = sorted(found.item_ids)
    return found.with_rows(np.array([letters.index(item) for item in found.item_ids]))


def test_leave_one_out_asks_for_the_last_item_and_trains_on_all_before() -> None:
    parts = split_parts(walks("abc", "ba", "c"), "leave-one-out")
    assert parts.limits.tolist() == [2, 4, 5]
    assert parts.cases.targets.tolist() == [2, 0]
    assert parts.cases.stops.tolist() == [2, 4]
    assert (parts.left_out, parts.mask_seen) == (1, True)


def test_a_time_split_asks_for_the_first_item_after_a_moment() -> None:
    found = walks("abcdefghij", "jihg", days=1.0)
    parts = split_parts(found, "time")
    assert parts.cutoff == np.quantile(found.times, 0.9)
    before = found.times < parts.cutoff
    for shopper, limit in enumerate(parts.limits):
        assert before[found.at[shopper] : limit].all()
        assert not before[limit : found.at[shopper + 1]].any()
    assert parts.cases.shoppers.tolist() == [0]
    assert parts.cases.targets.tolist() == [int(parts.limits[0])]  # its rows are its positions
    assert not parts.mask_seen


def test_nobody_with_a_history_is_a_failure() -> None:
    with pytest.raises(Failure, match="No shopper has both"):
        split_parts(walks("a", "b"), "leave-one-out")


def test_ranks_count_ties_against_and_can_put_seen_items_last() -> None:
    found = walks("abc", "bca")
    parts = split_parts(found, "leave-one-out")
    scores = np.array([[9, 5, 1], [0, 2, 2]], np.float32)
    assert ranks(scores.copy(), found, parts.cases, mask_seen=False).tolist() == [3, 3]
    assert ranks(scores.copy(), found, parts.cases, mask_seen=True).tolist() == [1, 1]
    tied = np.ones((2, 3), np.float32)
    assert ranks(tied, found, parts.cases, mask_seen=False).tolist() == [3, 3]


def test_metrics_of_ranks() -> None:
    some = np.array([1, 3, 10, 11])
    np.testing.assert_allclose(ndcg_at_10(some), [1, 0.5, 1 / np.log2(11), 0])
    np.testing.assert_allclose(values(some)[:, 0], [1, 1, 1, 0])
    np.testing.assert_allclose(values(some)[:, 2], [1, 1 / 3, 0.1, 1 / 11])


def one_case(shopper: int, stop: int, now: float = 0.0) -> Cases:
    return Cases(np.array([shopper]), np.array([stop]), np.array([now]), np.array([0]))


def test_popularity_of_all_time_and_of_the_week_before() -> None:
    found = walks("aab", "abb", days=5.0)  # at days 0, 5, 10
    made = baselines(found, found.at[1:], Catalogue(["a", "b"]), None)
    names = {"popular", "popular-7d", "own-newest", "together", "ease"}
    assert set(made) == names  # no texts: no last-item
    assert made["popular"]()(one_case(0, 3))[0].tolist() == [3, 3]
    week = made["popular-7d"]()
    assert week(one_case(0, 3, 1e9 + 10 * DAY))[0].tolist() == [1, 1]  # day 5 alone
    assert week(one_case(0, 3, 1e9 + 11 * DAY))[0].tolist() == [1, 3]
    assert week(one_case(0, 3, 1e9))[0].tolist() == [0, 0]
    both = Cases(np.zeros(2, int), np.ones(2, int), np.array([1e9 + 11 * DAY, 1e9]), np.zeros(2))
    assert week(both).tolist() == [[1, 3], [0, 0]]


def test_own_items_stand_newest_first() -> None:
    found = walks("abca", "c")
    score = baselines(found, found.at[1:], Catalogue(["a", "b", "c", "d"]), None)["own-newest"]()
    newest, *others = score(one_case(0, 4))[0].tolist()  # a twice: newest, and three before
    np.testing.assert_allclose([newest, *others], [1 + 0.8**3, 0.8**2, 0.8, 0], rtol=1e-6)


def test_together_is_a_decayed_sum_of_cosines() -> None:
    found = walks("ab", "abc", "c")
    score = together(TrainingPart(found, found.at[1:], 3), found)(one_case(1, 4))[0]
    ab, bc = 2 / 2, 1 / 2  # met by both / root of (met by one x met by the other)
    np.testing.assert_allclose(score, [ab, 0.8 * ab, 0.8 * bc + bc], rtol=1e-5)


def test_last_item_is_the_nearest_text() -> None:
    texts = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    found = walks("abc")
    np.testing.assert_allclose(last_item(texts, found)(one_case(0, 2))[0], [0.6, 1, 0.8])


def test_ease_is_its_closed_form() -> None:
    found = walks("abc", "abd", "cd", "bd", "ab")
    part = TrainingPart(found, found.at[1:], 4)
    matrix = part.matrix().toarray()
    inverse = np.linalg.inv(matrix.T @ matrix + 250 * np.eye(4))
    weights = np.eye(4) - inverse / np.diag(inverse)
    expected = np.array([1, 1, 0, 0]) @ (weights * (1 - np.eye(4)))
    np.testing.assert_allclose(ease(part, found)(one_case(0, 2))[0], expected, rtol=1e-3)


def test_no_baseline_knows_what_it_is_asked_for() -> None:
    """With other answers every score is the same."""
    sequences, catalogue = circle()
    parts = split_parts(sequences, "leave-one-out")
    items = sequences.items.copy()
    items[parts.cases.stops] = (items[parts.cases.stops] + 5) % CIRCLE
    changed = replace(sequences, items=items)
    other = baselines(changed, parts.limits, catalogue, None)
    for name, make in baselines(sequences, parts.limits, catalogue, None).items():
        np.testing.assert_array_equal(make()(parts.cases), other[name]()(parts.cases))


def test_the_report_has_segments_and_intervals_beside_plain_numbers() -> None:
    sequences, catalogue = circle()
    parts = split_parts(sequences, "leave-one-out")
    data = training_data(sequences, catalogue, parts.limits, tiny_settings())
    score = baselines(sequences, parts.limits, catalogue, None)["popular"]()
    found = {"popular": baseline_ranks(score, sequences, parts, len(catalogue.ids))}
    result = report(data, parts, found, "leave-one-out", {}, {})
    assert (result.users, result.items) == (40, CIRCLE + 2)
    assert set(result.metrics["popular"]) == {"hit@10", "ndcg@10", "mrr"}
    interval = result.intervals["popular"]["ndcg@10"]
    assert interval.low <= result.metrics["popular"]["ndcg@10"] <= interval.high
    assert result.segments["head"].users + result.segments["tail"].users == 40
    lengths = [some.users for name, some in result.segments.items() if name.startswith("history")]
    assert sum(lengths) == 40


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    lines = [
        {"user": who, "type": event.type, "item": (event.item or "")[5:], "time": event.time}
        for who, event in circle_events()
    ]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def answer(home: Path, capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["--home", str(home), "evaluate", "next-item", *args, "--json"]) == 0
    found: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    return found


def test_the_command_prints_everyone_in_one_table(
    own_home: Path, events_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "settings.toml").write_text(SETTINGS)
    result = answer(own_home, capsys, "--events", str(events_file), "--encoder", "gru")
    names = {"popular", "popular-7d", "own-newest", "last-item", "together", "ease", "gru"}
    assert set(result["metrics"]) == names
    assert (result["users"], result["items"], result["seen_masked"]) == (40, 60, True)
    metrics = result["metrics"]
    assert metrics["gru"]["mrr"] > metrics["popular"]["mrr"]
    assert metrics["gru"]["ndcg@10"] > 0.9
    assert result["models"]["gru"]["parameters"] > 0
    assert not (own_home / "model").exists()  # nothing is published


def test_baselines_alone_train_no_encoder(
    tmp_path: Path, events_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--events", str(events_file), "--ids-only", "--encoder", "none")
    result = answer(tmp_path, capsys, *args, "--baseline", "popular", "--baseline", "together")
    assert set(result["metrics"]) == {"popular", "together"}
    assert result["models"] == {}


def test_ids_only_needs_no_index_and_a_person_gets_a_table(
    tmp_path: Path, events_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    args = ["--events", str(events_file), "--ids-only", "--split", "time", "--length", "5"]
    assert run(["--home", str(tmp_path), "evaluate", "next-item", *args]) == 0
    out = capsys.readouterr().out
    assert "transformer" in out and "time, whole catalogue, seen items stay" in out
    assert "last-item: not possible here, it needs an index" in out
    args = ["--home", str(tmp_path), "evaluate", "next-item", "--events", str(events_file)]
    assert run(args) == 1
    assert "No index is published" in capsys.readouterr().err
