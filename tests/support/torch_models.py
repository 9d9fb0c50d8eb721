"""A published model, read by torch: what serving without torch is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file

from indexes.items.index import ItemIndex
from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Vectors
from indexes.storage.versions import Version
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.model.card import CARD, WEIGHTS, WHITE, Card
from reranker.model.model_modalities import load_modalities
from reranker.model.served_model import settings_of
from reranker.model.settings import TrainSettings
from reranker.model.versions import check_fits, model_store
from reranker.training.adaptors.modalities import KnownVectors
from reranker.training.batches import Cases
from reranker.training.data import Catalogue, encoded_queries, items_of
from reranker.training.inference import item_vectors, user_vectors
from reranker.training.model import Items, SequenceModel, numbers
from reranker.training.sequences import sequences_of


def with_queries(items: Items, queries: Vectors | None) -> Items:
    """The same items beside other search texts."""
    if queries is None:
        return items
    assert items.texts is not None
    known = {
        name: KnownVectors(
            numbers(of.vectors[: len(items)]), numbers(of.known)[: len(items), 0] > 0
        )
        for name, of in items.modalities.items()
    }
    return Items(items.ids, items.texts[: len(items)], torch.from_numpy(queries), known)


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
        named = [
            (str(number), event) for number, (events, _) in enumerate(histories) for event in events
        ]
        sequences = sequences_of(named, self.weights)
        searches = encoded_queries(self.index, sequences)
        queries = None if searches is None else self.whitening(searches)
        sequences = sequences.with_rows(self.index.rows(sequences.item_ids))
        present = np.array([int(name) for name in sequences.shoppers], np.int64)
        now = np.array([time for _, time in histories], np.float64)
        nothing = np.zeros(len(present), np.int64)
        cases = Cases(np.arange(len(present)), sequences.at[1:], now[present], nothing)
        items = with_queries(self.items, queries)
        vectors = np.zeros((len(histories), self.model.dimensions), np.float32)
        length = self.settings.length
        vectors[present] = user_vectors(self.model, items, sequences, cases, length)
        return vectors

    def item_vectors(self) -> Vectors:
        """Every item's vector (items, d), by row of the index."""
        return item_vectors(self.model, self.items)


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
    settings = settings_of(card)
    white = {name: numbers(tensors.pop(WHITE + name)) for name in ("mean", "matrix")}
    widths = {name: len(of.whitening.mean) for name, of in load_modalities(version.folder).items()}
    model = SequenceModel(settings, len(card.item_ids), card.text_width, len(card.weights), widths)
    model.load_state_dict(tensors)
    whitening = Whitening(**white)
    rows = index.rows(card.item_ids)
    ids = np.zeros(len(index), np.int64)
    indexed = rows >= 0  # an item may have left the index since
    ids[rows[indexed]] = 1 + np.flatnonzero(indexed)
    texts = whitening(index.vectors(np.arange(len(index), dtype=np.int64)))
    return PublishedModel(
        version=version.id,
        about=version.about,
        model=model.eval(),
        settings=settings,
        items=items_of(Catalogue([], texts, modalities=_white(version, index)), ids),
        weights=card.weights,
        whitening=whitening,
        index=index,
    )


def _white(version: Version, index: ItemIndex) -> dict[str, KnownVectors]:
    """The other vectors that the model reads, as the whitening that it knows makes them."""
    found = {}
    for name, of in load_modalities(version.folder).items():
        vectors, known = index.modalities[name].rows(np.arange(len(index)))
        vectors[known] = of.whitening(vectors[known])
        found[name] = KnownVectors(vectors, known)
    return found


def _read(folder: Path) -> tuple[Card, dict[str, torch.Tensor]]:
    card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    return card, load_file(folder / WEIGHTS)
