"""action_head.py: a user vector beside recency and counts -> the chance of each next action.

A small network with a sigmoid for each action, trained by binary cross-entropy and then calibrated
by Platt's two numbers on shoppers it has not seen. Without user vectors and hidden layer it is a
logistic regression: the baseline.
"""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Vectors
from reranker.model.card import ACTIONS

Tensors = dict[str, Vectors]
WEIGHTS: Final = "next_action.safetensors"
CARD: Final = "next_action.json"
_EPOCHS: Final = 30
_BATCH: Final = 512
_PATIENCE: Final = 4


class ActionCard(msgspec.Struct, frozen=True, kw_only=True):
    """possible: the actions that the training events held at all. vector: whether the head reads
    the user vector beside recency and counts."""

    possible: list[str]
    types: list[str]
    session_minutes: float
    vector: bool = True


class ActionHead:
    """Inputs (n, d) -> chances (n, 3) of ACTIONS, in numpy."""

    def __init__(self, tensors: Tensors) -> None:
        from scipy.special import expit  # a service without a model starts without scipy

        self.tensors, self._sigmoid = tensors, expit

    def __call__(self, inputs: Vectors) -> npt.NDArray[np.float64]:
        scores = self._scores(inputs)
        chances = self._sigmoid(scores * self.tensors["slope"] + self.tensors["shift"])
        return np.asarray(chances, np.float64)

    def _scores(self, inputs: Vectors) -> Vectors:
        tensors = self.tensors
        hidden = (inputs - tensors["mean"]) / tensors["spread"]
        if "inner.weight" in tensors:
            hidden = np.maximum(hidden @ tensors["inner.weight"].T + tensors["inner.bias"], 0.0)
        return np.asarray(hidden @ tensors["outer.weight"].T + tensors["outer.bias"])


def fit_head(
    inputs: Vectors,
    labels: npt.NDArray[np.bool_],
    shoppers: npt.NDArray[np.int64],
    hidden: int,
    seed: int = 1,
) -> ActionHead:
    """inputs (n, d), labels (n, 3). A fifth of the shoppers stops the training and calibrates."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    names = np.unique(shoppers)
    held = np.isin(shoppers, rng.permutation(names)[: max(len(names) // 5, 1)])
    if held.all() or not held.any():
        held = np.arange(len(inputs)) % 5 == 0
    mean, spread = inputs[~held].mean(axis=0), inputs[~held].std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
    wide = torch.nn.Linear(inputs.shape[1], hidden) if hidden else None
    outer = torch.nn.Linear(hidden or inputs.shape[1], len(ACTIONS))
    parts = torch.nn.Sequential(
        *([wide, torch.nn.ReLU(), torch.nn.Dropout(0.1)] if wide else []), outer
    )
    adam = torch.optim.AdamW(parts.parameters(), lr=3e-3, weight_decay=1e-3)
    ready = torch.from_numpy((inputs - mean) / spread)
    truth = torch.from_numpy(labels.astype(np.float32))
    learn, check = np.flatnonzero(~held), np.flatnonzero(held)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    best, best_loss, waited = None, np.inf, 0
    for _ in range(_EPOCHS):
        parts.train()
        order = rng.permutation(learn)
        for begin in range(0, len(order), _BATCH):
            batch = order[begin : begin + _BATCH]
            adam.zero_grad()
            loss = loss_of(parts(ready[batch]), truth[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            adam.step()
        parts.eval()
        with torch.no_grad():
            now = float(loss_of(parts(ready[check]), truth[check]))
        if now < best_loss - 1e-5:
            best, best_loss, waited = [part.detach().clone() for part in parts.parameters()], now, 0
        else:
            waited += 1
            if waited >= _PATIENCE:
                break
    values = [part.numpy() for part in best or [part.detach() for part in parts.parameters()]]
    layers = ["inner.weight", "inner.bias"] if wide else []
    tensors = dict(zip([*layers, "outer.weight", "outer.bias"], values, strict=True))
    tensors |= {"mean": mean, "spread": spread}
    tensors |= {"slope": np.ones(3, np.float32), "shift": np.zeros(3, np.float32)}
    head = ActionHead(tensors)
    scores = head._scores(inputs[check])
    for column in range(len(ACTIONS)):
        slope, shift = platt(scores[:, column], labels[check, column])
        tensors["slope"][column], tensors["shift"][column] = slope, shift
    return head


def platt(scores: Vectors, truth: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift under which sigmoid(slope x score + shift) fits the truth best (Platt 1999).

    His smoothed targets keep it finite where everything or nothing happened.
    """
    from scipy.optimize import minimize

    positive = int(truth.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(truth) - positive + 2)
    target = np.where(truth, high, low)
    values = scores.astype(np.float64)

    def loss(slope_and_shift: npt.NDArray[np.float64]) -> float:
        line = slope_and_shift[0] * values + slope_and_shift[1]
        return float((np.logaddexp(0, line) - target * line).sum())

    fitted = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(fitted[0]), float(fitted[1])


def save_head(head: ActionHead, card: ActionCard, folder: Path) -> None:
    """safetensors and JSON."""
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v) for k, v in head.tensors.items()}, folder / WEIGHTS)
    (folder / CARD).write_bytes(msgspec.json.encode(card))


def load_head(folder: Path) -> tuple[ActionHead, ActionCard] | None:
    """None where a model was trained without one."""
    from safetensors.numpy import load_file

    if not (folder / CARD).is_file():
        return None
    card = msgspec.json.decode((folder / CARD).read_bytes(), type=ActionCard)
    return ActionHead(load_file(folder / WEIGHTS)), card
