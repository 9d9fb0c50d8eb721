"""numpy_encoders.py: the events of one window -> the state after the newest, without torch.

The arithmetic of training/encoders.py for one history at a time: at 50 events torch spends
most of its time on calling, not on computing. Equal within 1e-5, which a test proves.

An encoder reads a history in two steps: all events but the newest, of which something can be kept,
and then the newest, which costs a twentieth. What is asked of one history again and again, with one
search after another as the newest event, costs the second step only.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import erf, expit

from reranker.model.settings import TrainSettings

Numbers = npt.NDArray[Any]  # float32 while serving
Tensors = Mapping[str, Numbers]
Begun = list[tuple[Numbers, ...]]  # what an encoder keeps of the events before the newest
_EPSILON: Final = 1e-5  # torch's LayerNorm


class Encoder(Protocol):
    """Reads events (n, width) one after another, the last of them by itself."""

    def begin(self, events: Numbers, /) -> Begun:
        """What is kept of these events (n, width), n >= 0."""
        ...

    def end(self, begun: Begun, event: Numbers, /) -> Numbers:
        """The state (width,) after one more event (width,)."""
        ...


def numpy_encoder(settings: TrainSettings, tensors: Tensors) -> Encoder:
    """The encoder of these weights; their names are those of the torch modules."""
    part = {
        name.removeprefix("encoder."): value
        for name, value in tensors.items()
        if name.startswith("encoder.")
    }
    if settings.encoder == "transformer":
        return _Transformer(part, settings.blocks, settings.heads)
    return _Recurrent(part, _lstm if settings.encoder == "lstm" else _gru)


def layer_norm(values: Numbers, weight: Numbers, bias: Numbers) -> Numbers:
    """To mean 0 and variance 1 along the last axis, then scaled."""
    width = values.dtype.type(values.shape[-1])
    centred = values - np.add.reduce(values, axis=-1, keepdims=True) / width
    spread = np.vecdot(centred, centred)[..., None] / width
    centred /= np.sqrt(spread + values.dtype.type(_EPSILON))
    return np.asarray(centred * weight + bias)


def gelu(values: Numbers) -> Numbers:
    """x times the normal distribution's share below x."""
    half = values.dtype.type(0.5)
    root = values.dtype.type(np.sqrt(0.5))
    return np.asarray(half * values * (1 + erf(values * root)))


class _Transformer:
    """Kept of the events before the newest: each block's keys and values."""

    def __init__(self, part: Tensors, blocks: int, heads: int) -> None:
        self.positions = part["positions.weight"]
        length = len(self.positions)
        self.blocks = [_Block(part, f"blocks.{number}.", heads, length) for number in range(blocks)]
        self.last = part["last.weight"], part["last.bias"]

    def begin(self, events: Numbers, /) -> Begun:
        begun: Begun = []
        states = events + self.positions[: len(events)]
        for number, block in enumerate(self.blocks):
            query, key, value = block.project(states)
            begun.append((key, value))
            if number + 1 < len(self.blocks):  # nobody reads what the last block makes of these
                states = block.after(states, block.attend(query, key, value))
        return begun

    def end(self, begun: Begun, event: Numbers, /) -> Numbers:
        state = (event + self.positions[begun[0][0].shape[1]])[None]
        for block, (keys, values) in zip(self.blocks, begun, strict=True):
            query, key, value = block.project(state)
            seen = block.attend(
                query, np.concatenate([keys, key], axis=1), np.concatenate([values, value], axis=1)
            )
            state = block.after(state, seen)
        return np.asarray(layer_norm(state, *self.last)[0])


class _Block:
    def __init__(self, part: Tensors, prefix: str, heads: int, length: int) -> None:
        def layer(name: str) -> tuple[Numbers, Numbers]:
            weight = np.ascontiguousarray(part[f"{prefix}{name}.weight"].T)
            return weight, part[f"{prefix}{name}.bias"]

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
        self.added = _added(part.get(f"{prefix}distances"), heads, length, self.joined[1].dtype)

    def project(self, states: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Queries, keys and values of states (n, width); each (heads, n, width / heads)."""
        weight, bias = self.query_key_value
        n, width = states.shape
        projected = layer_norm(states, *self.before_attention) @ weight + bias
        query, key, value = projected.reshape(n, 3, self.heads, width // self.heads).transpose(
            1, 2, 0, 3
        )
        return query, key, value

    def attend(self, query: Numbers, key: Numbers, value: Numbers) -> Numbers:
        """What the newest n of all m events see (n, width) of themselves and those before them."""
        n, m = query.shape[1], key.shape[1]
        return self._seen(self._scores(query, key) + self.added[:, m - n : m, :m], value)

    def after(self, states: Numbers, seen: Numbers) -> Numbers:
        """The new states (n, width)."""
        attended = states + seen @ self.joined[0] + self.joined[1]
        inner = layer_norm(attended, *self.before_network) @ self.wide[0] + self.wide[1]
        return np.asarray(attended + gelu(inner) @ self.narrow[0] + self.narrow[1])

    def _scores(self, query: Numbers, key: Numbers) -> Numbers:
        each = query.dtype.type(np.sqrt(query.shape[2]))
        return np.asarray(query @ key.transpose(0, 2, 1) / each)

    def _seen(self, scores: Numbers, value: Numbers) -> Numbers:
        heads, n, _ = scores.shape
        if not n:
            return np.empty((0, heads * value.shape[2]), value.dtype)
        shares = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
        shares /= np.add.reduce(shares, axis=-1, keepdims=True)
        return np.asarray((shares @ value).transpose(1, 0, 2).reshape(n, -1))


def _added(distances: Numbers | None, heads: int, length: int, dtype: Any) -> Numbers:
    """What is added to scores (heads, length, length): by how many events ago; -inf: comes later.

    distances (heads, length); None: of a model from before they were learned. Takes the memory of
    two rows, not of a square.
    """
    if distances is None:
        distances = np.zeros((heads, length), dtype)
    later = np.full((heads, length - 1), -np.inf, dtype)
    line = np.concatenate([distances[:, ::-1], later], axis=1)
    return np.lib.stride_tricks.sliding_window_view(line, length, axis=1)[:, ::-1]


class _Recurrent:
    """Two layers of torch's LSTM or GRU, gate by gate. Kept: each layer's state, and cell."""

    def __init__(self, part: Tensors, step: "_Step") -> None:
        self.step = step
        self.layers = [
            (
                np.ascontiguousarray(part[f"{name}.weight_ih_l0"].T),
                np.ascontiguousarray(part[f"{name}.weight_hh_l0"].T),
                part[f"{name}.bias_ih_l0"],
                part[f"{name}.bias_hh_l0"],
            )
            for name in ("first", "second")
        ]
        self.last = part["last.weight"], part["last.bias"]

    def begin(self, events: Numbers, /) -> Begun:
        begun: Begun = []
        states = events
        for from_input, from_state, input_bias, state_bias in self.layers:
            memory = self._nothing(events.dtype, len(from_state))
            outputs = np.empty((len(states), len(from_state)), events.dtype)
            for at, row in enumerate(states @ from_input + input_bias):
                memory = self.step(row, memory, from_state, state_bias)
                outputs[at] = memory[0]
            begun.append(memory)
            states = outputs
        return begun

    def end(self, begun: Begun, event: Numbers, /) -> Numbers:
        state = event
        for memory, (from_input, from_state, input_bias, state_bias) in zip(
            begun, self.layers, strict=True
        ):
            state = self.step(state @ from_input + input_bias, memory, from_state, state_bias)[0]
        return layer_norm(state, *self.last)

    def _nothing(self, dtype: Any, width: int) -> tuple[Numbers, ...]:
        return np.zeros(width, dtype), np.zeros(width, dtype)


class _Step(Protocol):
    """One event's gates (k d,) and what is kept -> what is kept then, the state (d,) first."""

    def __call__(
        self, row: Numbers, memory: tuple[Numbers, ...], from_state: Numbers, bias: Numbers, /
    ) -> tuple[Numbers, ...]: ...


def _lstm(
    row: Numbers, memory: tuple[Numbers, ...], from_state: Numbers, bias: Numbers, /
) -> tuple[Numbers, ...]:
    """row (4 d,): gates input, forget, cell, output, as torch orders them."""
    state, cell = memory
    width = len(state)
    gates = row + bias + state @ from_state
    opened = expit(gates)  # of all four: one call costs less than two
    candidate = np.tanh(gates[2 * width : 3 * width])
    cell = opened[width : 2 * width] * cell + opened[:width] * candidate
    return opened[3 * width :] * np.tanh(cell), cell


def _gru(
    row: Numbers, memory: tuple[Numbers, ...], from_state: Numbers, bias: Numbers, /
) -> tuple[Numbers, ...]:
    """row (3 d,): gates reset, update, new, as torch orders them."""
    state = memory[0]
    width = len(state)
    own = state @ from_state + bias
    opened = expit(row[: 2 * width] + own[: 2 * width])
    reset, update = opened[:width], opened[width:]
    new = np.tanh(row[2 * width :] + reset * own[2 * width :])
    state = new + update * (state - new)
    return state, memory[1]
