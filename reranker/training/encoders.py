"""encoders.py: packed events -> what each means after those before it: Transformer, LSTM, GRU.

A Transformer attends causally. Windows are padded at their end and only for the attention itself:
an event looks at itself and at earlier ones, so no real event ever sees the padding, and everything
else skips it.
"""

from typing import Final, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def dropout(values: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """While training about this share of the numbers is 0 and the others make up for it.

    On a CPU the share is rounded to 1/256. What is drawn depends on torch's seed alone.
    """
    if not training or not share:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, share, training)
    out = min(max(round(share * 256), 1), 255)
    seed = int(torch.randint(1 << 62, (1,)))
    drawn = np.random.Generator(np.random.SFC64(seed)).bytes(values.numel())
    bytes_ = torch.from_numpy(np.frombuffer(drawn, np.uint8).copy())
    mask = (bytes_ >= out).to(values.dtype).mul_(256 / (256 - out))
    return values * mask.view(values.shape)


class Linear(nn.Linear):
    """A linear layer in whatever numbers come in; its weights are learned in float32."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        kind = values.dtype
        bias = None if self.bias is None else self.bias.to(kind)
        return functional.linear(values, self.weight.to(kind), bias)


class LayerNorm(nn.LayerNorm):
    """To mean 0 and variance 1, likewise."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        kind = values.dtype
        weight, bias = self.weight.to(kind), self.bias.to(kind)
        return functional.layer_norm(values, self.normalized_shape, weight, bias, self.eps)


class Layout:
    """Where packed events (p,) stand in a padded block (windows, longest)."""

    def __init__(self, lengths: torch.Tensor) -> None:
        self.windows, self.longest = len(lengths), int(lengths.max())
        starts = lengths.cumsum(0) - lengths
        self.steps = torch.arange(
            int(lengths.sum()), device=lengths.device
        ) - starts.repeat_interleave(lengths)
        window = torch.arange(self.windows, device=lengths.device).repeat_interleave(lengths)
        self._places = window * self.longest + self.steps
        step = torch.arange(self.longest, device=lengths.device)
        back = step[:, None] - step
        self.back = back.clamp(min=0)  # (l, l): how many events before one another stands
        # Added to scores: 0, and -inf for what comes later.
        self.later = torch.zeros(back.shape, device=back.device).masked_fill(back < 0, -torch.inf)

    def padded(self, packed: torch.Tensor) -> torch.Tensor:
        """(p, d) -> (windows, longest, d), zeros at the ends."""
        block = packed.new_zeros(self.windows * self.longest, packed.shape[1])
        block = block.index_copy(0, self._places, packed)
        return block.view(self.windows, self.longest, packed.shape[1])

    def packed(self, padded: torch.Tensor) -> torch.Tensor:
        """(windows, longest, d) -> (p, d)."""
        return padded.reshape(-1, padded.shape[-1]).index_select(0, self._places)


class Block(nn.Module):
    """Attention, then a two-layer network, each added to its own normalised input.

    What an event is looked at for also depends on how many events ago it was: each distance has a
    learned number, added to the scores (Raffel et al. 2020, arXiv:1910.10683, as in HSTU).
    """

    def __init__(self, width: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.distances = nn.Parameter(torch.zeros(heads, length))
        self.before_attention = LayerNorm(width)
        self.query_key_value = Linear(width, 3 * width)
        self.joined = Linear(width, width)
        self.before_network = LayerNorm(width)
        self.wide = Linear(width, 4 * width)
        self.narrow = Linear(4 * width, width)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        seen = self.joined(self._attend(self.before_attention(events), layout))
        events = events + self._drop(seen)
        thought = self.narrow(self._drop(functional.gelu(self.wide(self.before_network(events)))))
        return events + self._drop(thought)

    def _attend(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        projected = layout.padded(self.query_key_value(events))  # (b, l, 3 d)
        shape = (layout.windows, layout.longest, 3, self.heads, -1)
        query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)  # each (b, h, l, d / h)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        added = self.distances[:, layout.back] + layout.later  # (h, l, l)
        shares = torch.softmax(scores + added.to(scores.dtype), dim=-1)
        return layout.packed((shares @ value).transpose(1, 2).flatten(2))

    def _drop(self, values: torch.Tensor) -> torch.Tensor:
        return dropout(values, self.dropout, self.training)


class TransformerEncoder(nn.Module):
    """Learned positions counted from a window's oldest event, then blocks."""

    def __init__(self, width: int, blocks: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, length, dropout) for _ in range(blocks))
        self.last = LayerNorm(width)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Packed events (p, d) -> (p, d)."""
        events = events + self.positions(layout.steps).to(events.dtype)
        for block in self.blocks:
            events = block(events, layout)
        return cast(torch.Tensor, self.last(events))


CELLS: Final[dict[str, type[nn.LSTM] | type[nn.GRU]]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(nn.Module):
    """Two layers, the first twice as wide as the second: 128 -> 64 by default."""

    def __init__(self, kind: str, width: int, dropout: float) -> None:
        super().__init__()
        cell = CELLS[kind]
        self.first = cell(width, 2 * width, batch_first=True)
        self.second = cell(2 * width, width, batch_first=True)
        self.last = LayerNorm(width)
        self.dropout = dropout

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Packed events (p, d) -> (p, d). Padding comes after a window, so it is never read."""
        kind = events.dtype
        lower = kind != torch.float32  # torch's layers have their own way to be fast there
        with torch.autocast(events.device.type, torch.bfloat16, enabled=lower):
            states, _ = self.first(layout.padded(events.float()))
            states = dropout(states, self.dropout, self.training)
            states, _ = self.second(states)
        return cast(torch.Tensor, self.last(layout.packed(states).to(kind)))
