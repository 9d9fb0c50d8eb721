"""publish.py: a trained model -> a published version of it: safetensors and JSON, no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file

from indexes.modalities.whitening import Whitening
from indexes.storage.versions import Version, VersionStore
from reranker.model.card import CARD, WEIGHTS, WHITE, Card
from reranker.model.model_modalities import save_modalities
from reranker.model.settings import TrainSettings
from reranker.training.data import TrainingData
from reranker.training.loop import Trained


def write_model(
    folder: Path,
    trained: Trained | None,
    data: TrainingData,
    whitening: Whitening,
    settings: TrainSettings,
) -> None:
    """Write what serving reads of a trained model into a folder.

    trained: None where no encoder is to be served.
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
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS)
    (folder / CARD).write_bytes(msgspec.json.encode(card))
    if trained:
        save_modalities(folder, data.catalogue.model_modalities)


def publish_model(
    store: VersionStore, about: dict[str, Any], keep: int, write: Callable[[Path], object]
) -> Version:
    """Serve what `write` puts into an empty folder as a new version; keep: versions kept."""
    with store.stage() as staged:
        write(staged)
        version = store.publish(staged, about)
    store.prune(keep)
    return version
