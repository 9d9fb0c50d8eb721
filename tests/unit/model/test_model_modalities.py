"""A model that reads pictures, and indexes that have them, others, or none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.item_vectors import in_memory, publish_with_vectors
from support.shop import copy_home

from indexes.items.index import ItemIndex, published_version
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.model_modalities import FILE
from reranker.model.served_model import ServedModel
from reranker.model.settings import TrainSettings
from reranker.model.versions import ModelMismatch, check_fits, model_store
from reranker.model_selection.train import training_run
from reranker.training.data import new_model
from reranker.training.loop import Trained
from reranker.training.publish import publish_model, write_model

VECTORS = np.random.default_rng(7).normal(size=(60, 6)).astype(np.float32)


IDS = [f"{number}" for number in range(60)]


def with_looks(home: Path, folder: Path, vectors: Any) -> ItemIndex:
    """The index of a home with these vectors of its first items."""
    index = ItemIndex(published_version(Workspace(home)))
    return in_memory(index, folder, IDS[: len(vectors)], vectors, "look")


def without(home: Path) -> ItemIndex:
    """The index of a home with no vectors beside the texts'."""
    index = ItemIndex(published_version(Workspace(home)))
    index.modalities = {}
    return index


@pytest.fixture(scope="module")
def home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With events, vectors of 40 items, and a model of random weights that reads them."""
    home = copy_home(shop_home, tmp_path_factory.mktemp("looks") / "home")
    workspace = Workspace(home)
    index = publish_with_vectors(home, IDS[:40], VECTORS[:40], "look")
    histories = open_histories(workspace)
    histories.append(
        [
            HistoryEvent(
                type="view", item=f"{(shopper + step) % 20}", time=1e9 + step, user=f"u{shopper}"
            )
            for shopper in range(20)
            for step in range(5)
        ]
    )
    histories.close()
    settings = TrainSettings(width=8, length=10)
    run = training_run(workspace, settings)
    trained = Trained(
        model=new_model(run.data, settings),
        epochs=1,
        best_epoch=1,
        best_ndcg=0.1,
        seconds=0.0,
        bfloat16=False,
        stopped="epochs",
    )
    publish_model(
        model_store(workspace),
        {"fingerprint": index.fingerprint},
        1,
        lambda folder: write_model(folder, trained, run.data, run.whitening, settings),
    )
    return home


def served_item(home: Path, index: ItemIndex, row: int) -> Any:
    version = model_store(Workspace(home)).current()
    assert version is not None
    check_fits(version, index)
    rows = np.array([row])
    return ServedModel(version, index).item_vectors(rows, index.vectors(rows))[0]


def test_training_reads_them_unless_the_settings_say_no(home: Path) -> None:
    for wanted in (True, False):
        run = training_run(Workspace(home), TrainSettings(modalities=wanted))
        assert list(run.data.catalogue.modalities) == (["look"] if wanted else [])
        names = new_model(run.data, run.settings).state_dict()
        assert ("modalities.of_look.weight" in names) is wanted


def test_an_index_that_grew_or_has_none_is_still_read(home: Path, tmp_path: Path) -> None:
    before = served_item(home, ItemIndex(published_version(Workspace(home))), 45)  # has none
    now_known = served_item(home, with_looks(home, tmp_path, VECTORS), 45)
    assert not np.allclose(now_known, before, atol=1e-3)
    np.testing.assert_allclose(served_item(home, without(home), 45), before, atol=1e-6)


def test_vectors_of_another_maker_are_refused_by_name(home: Path, tmp_path: Path) -> None:
    version = model_store(Workspace(home)).current()
    assert version is not None and (version.folder / FILE).is_file()
    some_changed = VECTORS.copy()
    some_changed[:10] *= -1  # ten new pictures are no new maker
    check_fits(version, with_looks(home, tmp_path / "some", some_changed))
    check_fits(version, without(home))
    for number, other in enumerate((VECTORS[::-1], VECTORS[:, :4] + 1.0)):
        index = with_looks(home, tmp_path / str(number), other)
        with pytest.raises(ModelMismatch, match=r"look vectors of another maker.*reranker train"):
            check_fits(version, index)
