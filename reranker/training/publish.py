"""publish.py: a trained model <-> a published version of it: safetensors and JSON, no more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Vectors
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.model.card import CARD, WEIGHTS, WHITE, Card
from reranker.model.settings import TrainSettings
from reranker.model.versions import check_fits, model_store
from reranker.model.whitening import Whitening
from reranker.training.batches import Cases
from reranker.training.data import Catalogue, TrainingData, encoded_queries, items_of
from reranker.training.inference import item_vectors, user_vectors
from reranker.training.loop import Trained
from reranker.training.model import Items, SequenceModel, numbers
from reranker.training.sequences import sequences_of


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """One model version, fitted to the rows of one index."""

    version: str
    about: dict[str, Any]
    model: SequenceModel
    settings: TrainSettings
    items: Items
    weights: dict[str, float]
    whitening: Whitening
    index: ItemIndex

    def user_vectors(self, histories: Sequence[tuple[Sequence[HistoryEvent], float]]) -> Vectors:
        """A vector (n, d) for each history and time of the request; 0 for an empty history."""
        named = [(str(who), event) for who, (events, _) in enumerate(histories) for event in events]
        sequences = sequences_of(named, self.weights)
        queries = encoded_queries(self.index, sequences, self.whitening)
        sequences = sequences.with_rows(self.index.rows(sequences.item_ids))
        who = np.array([int(name) for name in sequences.shoppers], np.int64)
        now = np.array([time for _, time in histories], np.float64)
        nothing = np.zeros(len(who), np.int64)
        cases = Cases(np.arange(len(who)), sequences.at[1:], now[who], nothing)
        items = self.items
        if queries is not None:
            items = items.with_queries(torch.from_numpy(queries))
        found = np.zeros((len(histories), self.model.dimensions), np.float32)
        length = self.settings.length
        found[who] = user_vectors(self.model, items, sequences, cases, length)
        return found

    def item_vectors(self) -> Vectors:
        """Every item's vector (items, d), by row of the index."""
        return item_vectors(self.model, self.items)


def publish_model(
    store: VersionStore,
    trained: Trained | None,
    data: TrainingData,
    whitening: Whitening,
    settings: TrainSettings,
    about: dict[str, Any],
    more: Callable[[Path], object] = lambda _folder: None,
) -> Version:
    """Write a trained model as a new version and serve it. more: writes further files beside it.

    trained: None where there was too little to learn an encoder from.
    """
    weights = trained.model.state_dict() if trained else {}
    tensors = {name: value.cpu() for name, value in weights.items()}
    tensors[WHITE + "mean"] = torch.from_numpy(whitening.mean)
    tensors[WHITE + "matrix"] = torch.from_numpy(whitening.matrix)
    card = Card(
        settings=msgspec.to_builtins(settings),
        text_width=trained.model.text_width if trained else 0,
        weights=data.sequences.weights,
        item_ids=[data.catalogue.ids[row] for row in data.known] if trained else [],
        encoder=trained is not None,
    )
    with store.stage() as staged:
        save_file({name: value.contiguous() for name, value in tensors.items()}, staged / WEIGHTS)
        (staged / CARD).write_bytes(msgspec.json.encode(card))
        more(staged)
        version = store.publish(staged, about)
    store.prune(settings.keep)
    return version


def load_model(workspace: Workspace, index: ItemIndex) -> PublishedModel | None:
    """The served model; None without one or its encoder, ModelMismatch where it does not fit."""
    store = model_store(workspace)
    version = store.current()
    if version is None:
        return None
    check_fits(version, index)
    store.ensure_verified(version)
    return _opened(version, index)


def _opened(version: Version, index: ItemIndex) -> PublishedModel | None:
    card, tensors = _read(version.folder)
    if not card.encoder:
        return None
    settings = msgspec.convert(card.settings, TrainSettings)
    white = {name: numbers(tensors.pop(WHITE + name)) for name in ("mean", "matrix")}
    model = SequenceModel(settings, len(card.item_ids), card.text_width, len(card.weights))
    model.load_state_dict(tensors)
    whitening = Whitening(**white)
    rows = index.rows(card.item_ids)
    ids = np.zeros(len(index), np.int64)
    there = rows >= 0  # an item may have left the index since
    ids[rows[there]] = 1 + np.flatnonzero(there)
    texts = whitening(index.vectors(np.arange(len(index), dtype=np.int64)))
    return PublishedModel(
        version=version.id,
        about=version.about,
        model=model.eval(),
        settings=settings,
        items=items_of(Catalogue([], texts), ids),
        weights=card.weights,
        whitening=whitening,
        index=index,
    )


def _read(folder: Path) -> tuple[Card, dict[str, torch.Tensor]]:
    card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    return card, load_file(folder / WEIGHTS)
