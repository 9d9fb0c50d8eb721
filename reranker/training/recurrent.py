"""recurrent.py: packed events -> what each means after those before it, by an LSTM or a GRU."""

from typing import Final, cast

import torch
from torch import nn

from reranker.training.attention import Layout, dropout

CELLS: Final[dict[str, type[nn.LSTM] | type[nn.GRU]]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(nn.Module):
    """Two layers, the first twice as wide as the second: 128 -> 64 by default."""

    def __init__(self, kind: str, width: int, dropout: float) -> None:
        super().__init__()
        cell = CELLS[kind]
        self.first = cell(width, 2 * width, batch_first=True)
        self.second = cell(2 * width, width, batch_first=True)
        self.last = nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Packed events (p, d) -> (p, d). Padding comes after a window, so it is never read."""
        states, _ = self.first(layout.padded(events))
        states = dropout(states, self.dropout, self.training)
        states, _ = self.second(states)
        return cast(torch.Tensor, self.last(layout.packed(states)))
