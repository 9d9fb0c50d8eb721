"""checkpoints.py: a training at work <-> files from which it goes on after an interruption.

Safetensors and JSON, written beside and renamed: a crash leaves the checkpoint before.
"""

import os
from pathlib import Path
from typing import Final

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from indexes.storage.durable import make_folder
from reranker.training.model import SequenceModel

FILE: Final = "training.safetensors"
_NOTES: Final = "training"


class Notes(msgspec.Struct, kw_only=True):
    """Where a training stands. key: of the data and settings that it belongs to."""

    key: str
    bfloat16: bool
    epoch: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    seconds: float = 0.0


class Checkpoint:
    """One folder with at most one checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def write(
        self,
        notes: Notes,
        model: SequenceModel,
        best: dict[str, torch.Tensor],
        adam: torch.optim.Optimizer,
    ) -> None:
        """Everything in one file, so that its parts always fit each other."""
        tensors = {f"now.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for number, state in adam.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        make_folder(self.path.parent)
        beside = self.path.with_suffix(".new")
        content = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
        with beside.open("wb") as file:
            file.write(save(content, {_NOTES: msgspec.json.encode(notes).decode()}))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def notes(self, key: str) -> Notes | None:
        """Where the training of this key stands; None without one that can be read."""
        try:
            raw = self.path.read_bytes()
            length = int.from_bytes(raw[:8], "little")
            header = msgspec.json.decode(raw[8 : 8 + length])
            notes = msgspec.json.decode(header["__metadata__"][_NOTES], type=Notes)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return notes if notes.key == key else None

    def read(
        self, model: SequenceModel, adam: torch.optim.Optimizer
    ) -> dict[str, torch.Tensor] | None:
        """Set the model and Adam as they were; the best weights. None where it is damaged."""
        try:
            tensors = load(self.path.read_bytes())
        except (OSError, SafetensorError):
            return None
        model.load_state_dict(_under(tensors, "now."))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under(tensors, "adam.").items():
            number, _, field = name.partition(".")
            state.setdefault(int(number), {})[field] = value
        adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        return _under(tensors, "best.")

    def remove(self) -> None:
        """The training is done."""
        self.path.unlink(missing_ok=True)


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
