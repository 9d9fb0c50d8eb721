"""publish.py: a trained model -> a published version of it: safetensors and JSON, no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file

from indexes.storage.versions import Version, VersionStore
from reranker.model.card import CARD, WEIGHTS, WHITE, Card
from reranker.model.served_model import Whitening
from reranker.model.settings import TrainSettings
from reranker.training.data import TrainingData
from reranker.training.loop import Trained


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
