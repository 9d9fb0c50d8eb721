"""A tiny world whose answer is visible by eye: shoppers walk a circle of items, a -> b -> c."""

from typing import Any

import numpy as np
import torch

from reranker.events.events import TYPES, HistoryEvent
from reranker.model.settings import TrainSettings
from reranker.training.batches import Batch, Cases, batch_of, cases_at
from reranker.training.data import Catalogue, TrainingData, items_of, new_model, training_data
from reranker.training.model import Items, SequenceModel
from reranker.training.sequences import Sequences, sequences_of

CIRCLE = 12
DAY = 86_400.0


def tiny_settings(**changed: Any) -> TrainSettings:
    """Small and quick; float32, so that results can be compared."""
    usual: dict[str, Any] = {
        "width": 16,
        "length": 10,
        "epochs": 12,
        "learning_rate": 0.02,
        "batch_users": 8,
        "dropout": 0.1,
        "precision": "float32",
        "minutes": 0.0,
        "validation_users": 8,
    }
    return TrainSettings(**(usual | changed))


def circle_events(shoppers: int = 40, steps: int = 7) -> list[tuple[str, HistoryEvent]]:
    """Each begins elsewhere and takes one step a day."""
    return [
        (
            f"u {shopper}",
            HistoryEvent(
                type="view",
                item=f"item {(shopper + step) % CIRCLE}",
                time=1e9 + DAY * step,
            ),
        )
        for shopper in range(shoppers)
        for step in range(steps + shopper % 3)
    ]


def circle(with_texts: bool = True) -> tuple[Sequences, Catalogue]:
    """Sequences by catalogue row, and two more items that nobody ever saw."""
    ids = [f"item {number}" for number in range(CIRCLE + 2)]
    sequences = sequences_of(circle_events(), TYPES)
    rows = np.array([ids.index(item) for item in sequences.item_ids])
    texts = None
    if with_texts:
        texts = np.random.default_rng(0).normal(size=(len(ids), 16)).astype(np.float32)
        texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    return sequences.with_rows(rows), Catalogue(ids, texts)


def leave_one_out(settings: TrainSettings, with_texts: bool = True) -> tuple[TrainingData, Cases]:
    """The last step of every walk is to be foreseen."""
    sequences, catalogue = circle(with_texts)
    last = sequences.last_target_before(sequences.at[1:])
    return training_data(sequences, catalogue, last, settings), cases_at(sequences, last)


def random_model(settings: TrainSettings) -> tuple[SequenceModel, Items, Sequences]:
    """Untrained, but with every part well away from 0."""
    data, _ = leave_one_out(settings)
    model = new_model(data, settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.item_ids.weight[0] = 0
    ids = np.zeros(len(data.catalogue.ids), np.int64)
    ids[data.seen] = np.arange(1, len(data.seen) + 1)
    return model.eval(), items_of(data.catalogue, ids), data.sequences


def windows(sequences: Sequences, numbers: list[int], most: int = 10) -> Batch:
    """The whole histories of these shoppers as one batch."""
    chosen = np.array(numbers)
    stops = sequences.at[1:][chosen]
    starts = np.maximum(sequences.at[:-1][chosen], stops - most)
    return batch_of(sequences, starts, stops, sequences.times[stops - 1] + DAY)[0]
