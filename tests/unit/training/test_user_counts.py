"""What too few shoppers did is learned from nobody."""

from pathlib import Path

import numpy as np

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model.training_users import TrainingUsers, save_training_users
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.training.data import Catalogue, new_model, training_data
from reranker.training.item_statistics import count_statistics
from reranker.training.sequences import Sequences, met_by, sequences_of
from reranker.training.sources import imported_sequences


def world() -> Sequences:
    """Four shoppers meet a, b and c; one alone meets x and y, very often."""
    events = [
        (f"u {who}", HistoryEvent(type="view", item=item, time=float(at)))
        for who in range(4)
        for at, item in enumerate("abcabc")
    ]
    events += [
        ("u 0", HistoryEvent(type="view", item="xy"[at % 2], time=10.0 + at)) for at in range(40)
    ]
    return sequences_of(events, {"view": 1.0})


def test_met_by_counts_different_shoppers() -> None:
    things, shoppers = np.array([3, 3, 3, 1, 1, 2]), np.array([0, 0, 1, 5, 5, 4])
    assert met_by(things, shoppers, 1).tolist() == [1, 2, 3]
    assert met_by(things, shoppers, 2).tolist() == [3]
    assert met_by(things[:0], shoppers[:0], 2).tolist() == []


def test_setting_min_users() -> None:
    sequences = world()
    ids = sequences.item_ids
    card = count_statistics(sequences, ids, TrainSettings(min_users=2)).card
    assert sorted(card.item_ids) == ["a", "b", "c"]
    everything = count_statistics(sequences, ids, TrainSettings(min_users=1)).card
    assert sorted(everything.item_ids) == ["a", "b", "c", "x", "y"]
    texts = np.eye(len(ids), 8, dtype=np.float32)
    for least, known in ((1, 5), (2, 3), (9, 0)):
        settings = TrainSettings(min_users=least, width=8, blocks=1)
        data = training_data(sequences, Catalogue(ids, texts), sequences.at[1:], settings)
        assert (len(data.known), int((data.items.ids > 0).sum())) == (known, known)
        model = new_model(data, settings)
        assert len(model.item_ids.weight) == known + 1
        found = model.item_vectors(data.items, data.items.ids.new_tensor(range(len(ids))))
        assert found.isfinite().all()
    # Without texts nothing else would be known of an item.
    data = training_data(sequences, Catalogue(ids), sequences.at[1:], TrainSettings(min_users=9))
    assert len(data.known) == 5


def test_setting_min_users_together() -> None:
    sequences = world()
    for least, together in ((1, True), (2, False)):
        settings = TrainSettings(min_users=1, min_users_together=least)
        found = count_statistics(sequences, sequences.item_ids, settings)
        places = [found.card.item_ids.index(item) for item in "xy"]
        assert bool(found.neighbours[places[0], places[1]] > 0) is together
        a, b = (found.card.item_ids.index(item) for item in "ab")
        assert found.neighbours[a, b] > 0


def test_setting_user_events(tmp_path: Path) -> None:
    store = open_histories(Workspace(tmp_path))
    some = [HistoryEvent(type="view", item=f"{n}", time=float(n), user="u") for n in range(9)]
    store.append([*some, HistoryEvent(type="view", item="x", time=1.0, user="v")])
    store.close()
    workspace = Workspace(tmp_path, {TrainSettings: TrainSettings(user_events=3)})
    found = imported_sequences(workspace)
    assert sorted(found.item_ids) == ["6", "7", "8", "x"]


def test_a_leak_is_told_by_any_pseudonym_and_after_a_rotation(tmp_path: Path) -> None:
    keys = PseudonymKeys(tmp_path)
    first = keys.open()
    events = [(f"u {first.user('one')}", HistoryEvent(type="view", item="a", time=5.0))]
    save_training_users(sequences_of(events, {"view": 1.0}), tmp_path, first)
    later = keys.add()
    seen = TrainingUsers(tmp_path, keys)
    for name in ("one", first.user("one"), later.user("one")):
        assert seen.newest(name, None) == 5.0
    assert seen.newest("other", "one") is None
    assert b"one" not in (tmp_path / "shoppers.safetensors").read_bytes()
