"""What was taken after a search counts by the position at which the logged ranking showed it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from indexes.storage.arrays import Floats
from reranker.events.events import TYPES, HistoryEvent
from reranker.feedback.off_policy import CLIP
from reranker.model.settings import TrainSettings
from reranker.model_selection.position_weights import position_weights
from reranker.training.search_statistics import count_searches
from reranker.training.sequences import Sequences, sequences_of

AT = 1e9
QUERIES = [f"query {number}" for number in range(10)]
APPEAL = np.array([0.3, 0.2, 0.6, 0.2, 0.4])  # of each query's items, in the order served most
LOOKS = 1.0 / np.arange(1, len(APPEAL) + 1)
IDS = [f"{query}/{place}" for query in QUERIES for place in range(len(APPEAL))]


def shop(folder: Path, shuffled: float, searches: int = 400) -> Sequences:
    """Searches in a world where a position is looked at with 1/k, of shoppers who search once.

    shuffled: the share of answers in a random order; the others are in one order, whose first is
    half as attractive as its third.
    """
    rng = np.random.default_rng(7)
    events, lines = [], []
    for number in range(searches * len(QUERIES)):
        query, who, time = QUERIES[number % len(QUERIES)], f"~{number}", AT + number
        order = np.arange(len(APPEAL))
        if rng.random() < shuffled:
            rng.shuffle(order)
        shown = [f"{query}/{item}" for item in order]
        ranking = {"id": who, "time": time, "user": who, "items": shown, "query": query.upper()}
        lines.append(msgspec.json.encode(ranking))
        events.append((f"u {who}", HistoryEvent(type="search", query=query, time=time)))
        taken = np.flatnonzero(rng.random(len(order)) < LOOKS * APPEAL[order])
        events += [
            (f"u {who}", HistoryEvent(type="view", item=shown[place], time=time + 5.0 + place))
            for place in taken.tolist()
        ]
    folder.mkdir()
    (folder / "2001-09-09.jsonl").write_bytes(b"\n".join([b"{torn", *lines, b""]))
    made = sequences_of(events, TYPES)
    return made.with_rows(np.array([IDS.index(item) for item in made.item_ids]))


def weights(folder: Path, sequences: Sequences) -> Floats | None:
    return position_weights(folder, sequences, IDS, {}, 30.0, sequences.at[1:])


def shares(sequences: Sequences, weighed: Floats | None) -> Floats:
    """Of what followed a query, the mean share of each of its items (5,), in the order served."""
    vectors = np.eye(len(sequences.query_texts), dtype=np.float32)
    counts = count_searches(sequences, vectors, TrainSettings(), 30.0, weighed)
    amounts = np.zeros(len(IDS))
    amounts[counts.rows] = counts.amounts
    of_query = amounts.reshape(len(QUERIES), len(APPEAL))
    return np.asarray((of_query / of_query.sum(axis=1, keepdims=True)).mean(axis=0))


def test_the_first_gains_nothing_by_its_place_alone(tmp_path: Path) -> None:
    sequences = shop(tmp_path / "rankings", shuffled=0.2)
    truth = APPEAL / APPEAL.sum()
    as_counted = shares(sequences, None)
    assert as_counted.argmax() == 0  # by its place alone
    weighed = shares(sequences, weights(tmp_path / "rankings", sequences))
    assert weighed.argmax() == truth.argmax() == 2
    assert weighed == pytest.approx(truth, abs=0.05)


def test_weights_are_clipped_and_of_clicks_on_what_was_shown_alone(tmp_path: Path) -> None:
    sequences = shop(tmp_path / "rankings", shuffled=0.2)
    weighed = weights(tmp_path / "rankings", sequences)
    assert weighed is not None and len(weighed) == len(sequences.items)
    assert weighed.min() == 1.0 and 3.0 < weighed.max() <= CLIP
    assert (weighed[sequences.searches] == 1.0).all()
    late = sequences.before(sequences.at[1:])
    late.times[:] += 3600.0  # the log holds none of these searches
    assert weights(tmp_path / "rankings", late) is None


def test_what_is_held_out_says_nothing_of_positions(tmp_path: Path) -> None:
    sequences = shop(tmp_path / "rankings", shuffled=0.2)
    nothing = sequences.at[:-1]
    folder = tmp_path / "rankings"
    assert position_weights(folder, sequences, IDS, {}, 30.0, nothing) is None
    some = np.where(np.arange(len(sequences)) < 3000, sequences.at[1:], nothing)
    fitted = position_weights(folder, sequences, IDS, {}, 30.0, some)
    first = sequences.is_before(some)
    alone = weights(folder, sequences.before(some))
    assert fitted is not None and alone is not None
    assert fitted[first].tolist() == alone.tolist()


def test_without_a_log_that_tells_positions_all_count_as_they_are(tmp_path: Path) -> None:
    sequences = shop(tmp_path / "rankings", shuffled=0.0)
    assert weights(tmp_path / "rankings", sequences) is None  # one order: nothing tells p
    assert weights(tmp_path / "none", sequences) is None
