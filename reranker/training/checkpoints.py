"""checkpoints.py: a training at work <-> files from which it, or the next one, goes on.

A training of the same events and settings goes on where it was. One of other events begins with
the weights of the one before (warm start): what it knows of an item, a type of event or a text is
taken over, and what is new begins at the mean.

Safetensors and JSON, written beside and renamed: a crash leaves the checkpoint before.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load, save

from indexes.storage.arrays import Floats, Ints, Vectors
from indexes.storage.durable import make_folder
from reranker.model.card import CHECKPOINT, NEW_CONTENT
from reranker.model.model_modalities import PREFIX
from reranker.training.model import SequenceModel

FILE: Final = CHECKPOINT
_NOTES: Final = "training"
_SCOPE: Final = "scope"
_WHITES: Final = "white."

Weights = dict[str, torch.Tensor]


def hashes_of(names: Iterable[str]) -> Ints:
    """Of ids or shoppers (n,)."""
    digests = [xxhash.xxh64_intdigest(name.encode("utf-8", "surrogatepass")) for name in names]
    return np.array(digests, np.uint64).view(np.int64)


class Layout(msgspec.Struct, frozen=True):
    """What has to be the same for weights to be taken over. shape: settings of the model's shape,
    and the seed. fingerprint: of the text encoder."""

    shape: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Scope:
    """What weights belong to, and what they have learned from.

    types: of events, in the order of their numbers. newest: time of the newest event. items (k,):
    hashes of the known items' ids. white (d, d): the whitening of the texts; None without texts.
    whites: of the other vectors, by kind. shoppers, begins (n,): who was held out, as hashes, and
    from which time on.
    """

    layout: Layout
    types: list[str]
    newest: float
    items: Ints
    white: Vectors | None
    shoppers: Ints
    begins: Floats
    whites: Mapping[str, Vectors] = field(default_factory=dict)

    def unseen_from(self, shoppers: Sequence[str]) -> Floats:
        """From which time on nothing of each shopper was learned (s,)."""
        times = np.full(len(shoppers), np.nextafter(self.newest, np.inf))
        _, here, there = np.intersect1d(
            hashes_of(shoppers), self.shoppers, return_indices=True, assume_unique=True
        )
        times[here] = self.begins[there]
        return times


class Notes(msgspec.Struct, kw_only=True):
    """Where a training stands. key: of the data and settings that it belongs to."""

    key: str
    bfloat16: bool
    epoch: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    seconds: float = 0.0
    known_before: int | None = None


class Checkpoint:
    """One folder with at most one checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def write(
        self,
        notes: Notes,
        model: SequenceModel,
        best: Weights,
        adam: torch.optim.Optimizer,
        scope: Scope,
    ) -> None:
        """Everything in one file, so that its parts always fit each other."""
        tensors = {f"now.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for number, state in adam.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {f"scope.{name}": value for name, value in _columns(scope).items()}
        make_folder(self.path.parent)
        beside = self.path.with_suffix(".new")
        content = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
        with beside.open("wb") as file:
            file.write(save(content, _header(notes, scope)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def notes(self, key: str) -> Notes | None:
        """Where the training of this key stands; None without one that can be read."""
        try:
            notes = msgspec.json.decode(self._metadata()[_NOTES], type=Notes)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return notes if notes.key == key else None

    def scope(self) -> Scope | None:
        """What the weights have learned from; None without any that can be read."""
        try:
            header = msgspec.json.decode(self._metadata()[_SCOPE], type=_ScopeHeader)
            columns = _under(load(self.path.read_bytes()), "scope.")
            arrays = {name: value.numpy() for name, value in columns.items()}
            return Scope(
                Layout(header.shape, header.fingerprint),
                header.types,
                header.newest,
                arrays["items"],
                arrays.get("white"),
                arrays["shoppers"],
                arrays["begins"],
                {name: arrays[key] for key, name in _kinds(arrays)},
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def best(self) -> Weights:
        """The weights of the best epoch."""
        return _under(load(self.path.read_bytes()), "best.")

    def _metadata(self) -> dict[str, str]:
        raw = self.path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        metadata: dict[str, str] = msgspec.json.decode(raw[8 : 8 + length])["__metadata__"]
        return metadata

    def read(self, model: SequenceModel, adam: torch.optim.Optimizer) -> Weights | None:
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
        """The next training begins from scratch."""
        self.path.unlink(missing_ok=True)


class _ScopeHeader(msgspec.Struct):
    shape: str
    fingerprint: str
    types: list[str]
    newest: float


def _header(notes: Notes, scope: Scope) -> dict[str, str]:
    layout = scope.layout
    header = _ScopeHeader(layout.shape, layout.fingerprint, scope.types, scope.newest)
    return {
        _NOTES: msgspec.json.encode(notes).decode(),
        _SCOPE: msgspec.json.encode(header).decode(),
    }


def _columns(scope: Scope) -> Weights:
    columns = {"items": torch.from_numpy(scope.items), "begins": torch.from_numpy(scope.begins)}
    columns["shoppers"] = torch.from_numpy(scope.shoppers)
    for name, white in scope.whites.items():
        columns[_WHITES + name] = torch.from_numpy(white)
    return columns | ({} if scope.white is None else {"white": torch.from_numpy(scope.white)})


def _kinds(arrays: Iterable[str]) -> list[tuple[str, str]]:
    """Keys of the other vectors' whitenings, and the kinds that they are of."""
    return [(key, key.removeprefix(_WHITES)) for key in arrays if key.startswith(_WHITES)]


def _turn(name: str, before: Scope, now: Scope) -> Floats | None:
    """What turns the axes that the weights of this name learned to read to those of now."""
    old, new = _whitening_of(name, before), _whitening_of(name, now)
    if old is None or new is None:
        return None
    return np.asarray(np.linalg.solve(new.astype(np.float64), old))


def _whitening_of(name: str, scope: Scope) -> Vectors | None:
    """Of the vectors that the weights of this name read; None for other weights."""
    if name == "adaptor.weight":
        return scope.white
    kind = name.removeprefix(f"modalities.{PREFIX}").removesuffix(".weight")
    return scope.whites.get(kind) if name == f"modalities.{PREFIX}{kind}.weight" else None


def transfer_weights(model: SequenceModel, weights: Weights, before: Scope, now: Scope) -> int:
    """Set a model to the weights of a training of another scope; how many items it knew of.

    An item that is new here begins at the mean of those known, where it counts by its text alone.
    Axes of another whitening are turned back to those that the weights have learned to read.
    """
    state = model.state_dict()
    _, here, there = np.intersect1d(
        now.items, before.items, return_indices=True, assume_unique=True
    )
    for name, learned in weights.items():
        if name == NEW_CONTENT:  # of the end of a training
            continue
        fresh = state[name].detach().cpu().clone()
        if name == "item_ids.weight":
            fresh[1:] = learned[1:].mean(dim=0) if len(learned) > 1 else 0.0
            fresh[torch.from_numpy(1 + here)] = learned[torch.from_numpy(1 + there)]
        elif name in ("types.weight", "text_reader.types.weight"):
            for number, kind in enumerate(now.types):
                if kind in before.types:
                    fresh[number] = learned[before.types.index(kind)]
        elif (turn := _turn(name, before, now)) is not None:
            fresh = learned @ torch.from_numpy(turn.T.astype(np.float32))
        else:
            fresh = learned
        state[name] = fresh
    model.load_state_dict(state)
    return len(here)


def _under(tensors: Weights, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
