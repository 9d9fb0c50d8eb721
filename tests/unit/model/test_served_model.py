"""test_served_model.py: what serves without torch equals the model that torch trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.item_vectors import in_memory
from support.torch_models import load_model

from indexes.encoders.query_encoder import load_query_encoder
from indexes.items.index import ItemIndex
from indexes.storage.manifests import Manifest
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.events.events import TYPES, HistoryEvent
from reranker.model.card import CARD, NEW_CONTENT, WEIGHTS
from reranker.model.numpy_encoders import numpy_encoder
from reranker.model.served_model import ServedModel
from reranker.model.settings import ENCODERS, TrainSettings
from reranker.model.versions import model_store
from reranker.runtime.caches import QueryVectors
from reranker.training.encoders import TransformerEncoder
from reranker.training.publish import publish_model, write_model

JOINTLY = "transformer for ids and texts jointly"
KINDS = (*ENCODERS, "transformer of two heads", "transformer and pictures", JOINTLY)


def pictured(index: ItemIndex, folder: Path) -> ItemIndex:
    """The same index with vectors of pictures, which every third item lacks."""
    rows = np.array([row for row in range(len(index)) if row % 3])
    vectors = np.random.default_rng(3).normal(0.5, 1.0, (len(rows), 12))
    return in_memory(index, folder, index.ids.ids(rows), vectors)


@pytest.fixture(scope="module", params=KINDS)
def both(request: Any, shop_home: Path, tmp_path_factory: Any) -> Iterator[tuple[Any, Any]]:
    """A model with random weights, read by torch and by numpy."""
    import torch

    from reranker.training.data import index_catalogue, new_model, training_data
    from reranker.training.loop import Trained
    from reranker.training.sequences import sequences_of

    kind = request.param.split()[0]
    settings = TrainSettings(
        encoder=kind,
        heads=2 if "two" in request.param else 1,
        fusion="joint" if "jointly" in request.param else "apart",
        length=20,
    )
    index = ItemIndex(VersionStore(shop_home / "index").current())  # type: ignore[arg-type]
    if "pictures" in request.param:
        index = pictured(index, tmp_path_factory.mktemp("pictures"))
    events = [
        (f"u{user}", HistoryEvent(type="view", item=str((user * 7 + step) % 40), time=100.0 * step))
        for user in range(20)
        for step in range(6)
    ]
    catalogue, sequences, whitening = index_catalogue(
        index, sequences_of(events, TYPES), modalities=True
    )
    data = training_data(sequences, catalogue, sequences.at[1:], settings)
    model = new_model(data, settings)
    with torch.no_grad():
        for value in model.parameters():
            value += torch.randn_like(value) * 0.1
        model.new_content.fill_(1.75)
    trained = Trained(
        model=model, epochs=1, best_epoch=1, best_ndcg=0, seconds=0, bfloat16=False, stopped=""
    )
    workspace = Workspace(tmp_path_factory.mktemp("model"))
    about = {"fingerprint": index.fingerprint}
    version = publish_model(
        model_store(workspace),
        about,
        1,
        lambda folder: write_model(folder, trained, data, whitening, settings),
    )
    yield load_model(workspace, index), ServedModel(version, index)


def histories() -> list[tuple[list[HistoryEvent], float]]:
    rng = np.random.default_rng(4)
    found: list[tuple[list[HistoryEvent], float]] = [([], 5.0)]
    for length in (1, 2, 3, 19, 20, 21, 60):
        times = np.sort(rng.random(length) * 1e6)
        events = [
            HistoryEvent(type="search", query=f"tea {at}", time=float(time))
            if at % 5 == 1
            else HistoryEvent(
                type=("view", "cart", "purchase", "cancel")[at % 4],
                item=str(rng.integers(70)),  # some are in no index
                time=float(time),
            )
            for at, time in enumerate(times)
        ]
        found.append((events, float(times[-1] + 10.0**length % 1e7)))
    return found


def test_user_vectors_are_torchs_within_1e_5(both: tuple[Any, Any]) -> None:
    by_torch, served = both
    encoder = load_query_encoder(served.index.encoder_folder)
    queries = QueryVectors(encoder, 100)
    wanted = by_torch.user_vectors(histories())
    for (events, now), right in zip(histories(), wanted, strict=True):
        found = served.user_vector(events, now, queries)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, right, atol=1e-5, rtol=1e-5)


def test_a_model_from_before_distances_were_learned_is_one_that_learned_none() -> None:
    rng = np.random.default_rng(6)
    settings = TrainSettings(width=8, length=6, heads=2)
    shapes = {
        name: tuple(value.shape)
        for name, value in TransformerEncoder(8, 2, 2, 6, 0.0).state_dict().items()
    }
    tensors = {
        f"encoder.{name}": np.zeros(shape, np.float32)
        if name.endswith("distances")
        else rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    older = {name: value for name, value in tensors.items() if not name.endswith("distances")}
    assert len(older) == len(tensors) - 2
    events = rng.normal(size=(6, 8)).astype(np.float32)
    states = []
    for weights in (tensors, older):
        encoder = numpy_encoder(settings, weights)
        states.append(encoder.end(encoder.begin(events[:-1]), events[-1]))
    np.testing.assert_array_equal(*states)


def test_item_vectors_are_torchs_within_1e_5(both: tuple[Any, Any]) -> None:
    by_torch, served = both
    rows = np.arange(len(served.index), dtype=np.int64)
    found = served.item_vectors(rows, served.index.vectors(rows))
    np.testing.assert_allclose(found, by_torch.item_vectors(), atol=1e-5)


def test_affinities_are_those_of_the_item_vectors(both: tuple[Any, Any]) -> None:
    _, served = both
    rows = np.append(np.arange(len(served.index)), [-1, -1])  # two candidates known by text alone
    vectors = np.concatenate([served.index.vectors(rows[:-2]), served.index.vectors(rows[4:6])])
    user = np.random.default_rng(1).normal(size=served.dimensions).astype(np.float32)
    found = served.affinities(user, rows, vectors)
    np.testing.assert_allclose(found, served.item_vectors(rows, vectors) @ user, atol=1e-5)
    np.testing.assert_array_equal(served.affinities(user, rows[::2], vectors[::2]), found[::2])


@pytest.mark.parametrize("both", [JOINTLY], indirect=True)
def test_a_model_from_before_there_was_a_choice_is_served_as_the_joint_one_that_it_is(
    both: tuple[Any, Any], tmp_path: Path
) -> None:
    _, served = both
    for file in served.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = msgspec.json.decode((tmp_path / CARD).read_bytes())
    del card["settings"]["fusion"]
    (tmp_path / CARD).write_bytes(msgspec.json.encode(card))
    tensors = load_file(tmp_path / WEIGHTS)
    del tensors[NEW_CONTENT]
    save_file(tensors, tmp_path / WEIGHTS)
    older = ServedModel(Version("older", tmp_path, Manifest("older", "", {}, {})), served.index)
    queries = QueryVectors(load_query_encoder(served.index.encoder_folder), 100)
    for events, now in histories():
        np.testing.assert_array_equal(
            older.user_vector(events, now, queries), served.user_vector(events, now, queries)
        )
    known = np.flatnonzero(served.numbers(np.arange(len(served.index), dtype=np.int64)))
    vectors = served.index.vectors(known)
    np.testing.assert_array_equal(
        older.item_vectors(known, vectors), served.item_vectors(known, vectors)
    )


def test_an_event_type_of_another_time_is_passed_over(both: tuple[Any, Any]) -> None:
    _, served = both
    queries = QueryVectors(load_query_encoder(served.index.encoder_folder), 10)
    events = [HistoryEvent(type="view", item="3", time=5.0)]
    plain = served.user_vector(events, 9.0, queries)
    strange = msgspec.structs.replace(events[0], type="wave")
    np.testing.assert_array_equal(served.user_vector([strange, *events], 9.0, queries), plain)
