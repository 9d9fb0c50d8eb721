"""modalities.py: vectors of a kind (pictures, ...), which some items lack -> what they add.

While training, some that are there are left out, too, each use by itself (ModDrop: Neverova et al.
2016, arXiv:1501.00102). Then an item without a picture stands fairly beside those with one, by a
learned stand-in, and no kind drowns the others out.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from indexes.storage.arrays import Mask, Vectors


class KnownVectors(NamedTuple):
    """Of each item: whitened vectors (n, d) of length 1, and which are any (n,)."""

    vectors: Vectors
    known: Mask


class PlacedVectors(NamedTuple):
    """One kind of vector by place: items first, then searches, then one that is neither.

    vectors (p, d): zeros where there is none. known (p, 1): 1 or 0. could_be (p, 1): 0 for neither.
    """

    vectors: torch.Tensor
    known: torch.Tensor
    could_be: torch.Tensor

    def to(self, device: torch.device) -> "PlacedVectors":
        return PlacedVectors(*(part.to(device) for part in self))


def placed(items: KnownVectors, places: int) -> PlacedVectors:
    """Of the items, at the head of so many places."""
    known = torch.zeros(places, 1)
    known[: len(items.known), 0] = torch.from_numpy(items.known)
    vectors = torch.zeros(places, items.vectors.shape[1])
    vectors[: len(items.vectors)] = torch.from_numpy(items.vectors)
    could_be = torch.ones(places, 1)
    could_be[-1] = 0
    return PlacedVectors(vectors * known, known, could_be)


class ModalityAdaptor(nn.Module):
    """A linear map of one kind of vector, and what stands in for one that is missing."""

    def __init__(self, dimensions: int, width: int, dropout: float, scale: float) -> None:
        """scale: of what it begins with."""
        super().__init__()
        self.dropout = dropout
        self.weight = nn.Parameter(torch.empty(width, dimensions))
        self.stand_in = nn.Parameter(torch.zeros(width))
        nn.init.orthogonal_(self.weight, scale)

    def forward(self, of: PlacedVectors, places: torch.Tensor) -> torch.Tensor:
        """What the kind adds at each place: (n,) -> (n, width)."""
        known = of.known[places]
        if self.training and self.dropout:
            known = known * (torch.rand_like(known) >= self.dropout)
        there = functional.linear(of.vectors[places], self.weight) * known
        return there + self.stand_in * (of.could_be[places] - known)
