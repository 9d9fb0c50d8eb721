"""numpy_encoders.py: the events of one window -> the state after the newest, without torch.

The arithmetic of attention.py and recurrent.py for one history at a time: at 50 events torch spends
most of its time on calling, not on computing. Equal within 1e-5, which a test proves.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import erf, expit

from reranker.train_settings import TrainSettings

Numbers = npt.NDArray[Any]  # float32 while serving
Tensors = Mapping[str, Numbers]
LastState = Callable[[Numbers], Numbers]  # events (n, width), n >= 1 -> state (width,)
_EPSILON: Final = 1e-5  # torch's LayerNorm


def last_state(settings: TrainSettings, tensors: Tensors) -> LastState:
    """The encoder of these weights; their names are those of the torch modules."""
    part = {
        name.removeprefix("encoder."): value
        for name, value in tensors.items()
        if name.startswith("encoder.")
    }
    if settings.encoder == "transformer":
        return _Transformer(part, settings.blocks, settings.heads)
    return _Recurrent(part, settings.encoder)


def layer_norm(values: Numbers, weight: Numbers, bias: Numbers) -> Numbers:
    """To mean 0 and variance 1 along the last axis, then scaled."""
    mean = values.mean(axis=-1, keepdims=True)
    centred = values - mean
    spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + _EPSILON)
    return np.asarray(centred / spread * weight + bias)


def gelu(values: Numbers) -> Numbers:
    """x times the normal distribution's share below x."""
    half = values.dtype.type(0.5)
    root = values.dtype.type(np.sqrt(0.5))
    return np.asarray(half * values * (1 + erf(values * root)))


class _Transformer:
    """Only the newest event's state is wanted, so the last block computes one row."""

    def __init__(self, part: Tensors, blocks: int, heads: int) -> None:
        self.positions = part["positions.weight"]
        self.blocks = [_Block(part, f"blocks.{number}.", heads) for number in range(blocks)]
        self.last = part["last.weight"], part["last.bias"]

    def __call__(self, events: Numbers) -> Numbers:
        states = events + self.positions[: len(events)]
        for block in self.blocks[:-1]:
            states = block(states, len(states))
        newest = layer_norm(self.blocks[-1](states, 1), *self.last)
        return np.asarray(newest[0])


class _Block:
    def __init__(self, part: Tensors, prefix: str, heads: int) -> None:
        def layer(name: str) -> tuple[Numbers, Numbers]:
            return np.ascontiguousarray(part[f"{prefix}{name}.weight"].T), part[
                f"{prefix}{name}.bias"
            ]

        self.heads = heads
        self.before_attention = (
            part[f"{prefix}before_attention.weight"],
            part[f"{prefix}before_attention.bias"],
        )
        self.before_network = (
            part[f"{prefix}before_network.weight"],
            part[f"{prefix}before_network.bias"],
        )
        self.query_key_value = layer("query_key_value")
        self.joined, self.wide, self.narrow = layer("joined"), layer("wide"), layer("narrow")

    def __call__(self, states: Numbers, newest: int) -> Numbers:
        """The new states of the `newest` last events (newest, width)."""
        seen = self._attend(layer_norm(states, *self.before_attention), newest)
        kept = states[-newest:] + seen @ self.joined[0] + self.joined[1]
        inner = layer_norm(kept, *self.before_network) @ self.wide[0] + self.wide[1]
        return np.asarray(kept + gelu(inner) @ self.narrow[0] + self.narrow[1])

    def _attend(self, events: Numbers, newest: int) -> Numbers:
        weight, bias = self.query_key_value
        n, width = events.shape
        each = width // self.heads
        projected = (events @ weight + bias).reshape(n, 3, self.heads, each)
        query, key, value = projected.transpose(1, 2, 0, 3)  # each (heads, n, each)
        scores = query[:, -newest:] @ key.transpose(0, 2, 1) / np.float32(np.sqrt(each))
        if newest > 1:
            later = np.triu(np.ones((newest, n), dtype=bool), k=1 + n - newest)
            scores = np.where(later, -np.inf, scores)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ value).transpose(1, 0, 2).reshape(newest, width))


class _Recurrent:
    """Two layers of torch's LSTM or GRU, gate by gate."""

    def __init__(self, part: Tensors, kind: str) -> None:
        step = _lstm if kind == "lstm" else _gru
        self.layers = [
            (
                step,
                np.ascontiguousarray(part[f"{name}.weight_ih_l0"].T),
                np.ascontiguousarray(part[f"{name}.weight_hh_l0"].T),
                part[f"{name}.bias_ih_l0"],
                part[f"{name}.bias_hh_l0"],
            )
            for name in ("first", "second")
        ]
        self.last = part["last.weight"], part["last.bias"]

    def __call__(self, events: Numbers) -> Numbers:
        states = events
        for step, from_input, from_state, input_bias, state_bias in self.layers:
            states = step(states @ from_input + input_bias, from_state, state_bias)
        return layer_norm(states[-1], *self.last)


def _lstm(inputs: Numbers, from_state: Numbers, bias: Numbers) -> Numbers:
    """inputs (n, 4 d): gates input, forget, cell, output, as torch orders them -> (n, d)."""
    width = len(from_state)
    state, cell = np.zeros(width, inputs.dtype), np.zeros(width, inputs.dtype)
    found = np.empty((len(inputs), width), inputs.dtype)
    for at, row in enumerate(inputs + bias):
        gates = row + state @ from_state
        opened = expit(gates)  # of all four: one call costs less than two
        candidate = np.tanh(gates[2 * width : 3 * width])
        cell = opened[width : 2 * width] * cell + opened[:width] * candidate
        state = opened[3 * width :] * np.tanh(cell)
        found[at] = state
    return found


def _gru(inputs: Numbers, from_state: Numbers, bias: Numbers) -> Numbers:
    """inputs (n, 3 d): gates reset, update, new, as torch orders them -> (n, d)."""
    width = len(from_state)
    state = np.zeros(width, inputs.dtype)
    found = np.empty((len(inputs), width), inputs.dtype)
    for at, row in enumerate(inputs):
        own = state @ from_state + bias
        opened = expit(row[: 2 * width] + own[: 2 * width])
        reset, update = opened[:width], opened[width:]
        new = np.tanh(row[2 * width :] + reset * own[2 * width :])
        state = new + update * (state - new)
        found[at] = state
    return found
