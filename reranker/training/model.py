"""model.py: a batch of sequences -> user vectors, in the space of item vectors.

An item's vector is its content part (the whitened text vector, and other vectors where there are
some, through a small adaptor) beside its id part (learned, for items seen in training). A user
vector's inner product with it is the affinity. A new item has no id part, and is compared by its
content from its first minute.
"""

from collections.abc import Mapping
from typing import Final, Protocol, cast

import torch
from torch import nn
from torch.nn import functional

from indexes.errors import Failure
from indexes.storage.arrays import Vectors
from reranker.model.card import TEXT_SCALE
from reranker.model.model_modalities import PREFIX
from reranker.model.served_model import BUCKETS
from reranker.model.settings import TrainSettings
from reranker.training.adaptors.modalities import (
    KnownVectors,
    ModalityAdaptor,
    PlacedVectors,
    placed,
)
from reranker.training.batches import Batch
from reranker.training.encoders import (
    Layout,
    Linear,
    RecurrentEncoder,
    TransformerEncoder,
    dropout,
)

_START: Final = 0.02  # standard deviation of what is learned, at the beginning


class Encoder(Protocol):
    """What the three encoders share: packed events (p, width) -> states (p, width), causal."""

    def __call__(self, events: torch.Tensor, layout: Layout, /) -> torch.Tensor: ...


class Items:
    """What a model knows of a catalogue: which row has which learned id, and the rows' texts.

    ids (n,): 1.. for items seen in training, 0 for all others. texts (n, d): whitened; None where
    there is no index. queries (q, d): whitened vectors of search texts. modalities: other vectors
    of the rows, by kind.
    """

    def __init__(
        self,
        ids: torch.Tensor,
        texts: torch.Tensor | None,
        queries: torch.Tensor | None = None,
        modalities: Mapping[str, KnownVectors] | None = None,
    ) -> None:
        self.ids = ids
        self.texts = None
        self.modalities: dict[str, PlacedVectors] = {}
        if texts is not None:
            nothing = texts.new_zeros(1, texts.shape[1])
            parts = [texts] if queries is None else [texts, queries]
            self.texts = torch.cat([*parts, nothing])  # the last row: neither item nor query
            for name, vectors in (modalities or {}).items():
                self.modalities[name] = placed(vectors, len(self.texts))

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "Items":
        moved = Items(self.ids.to(device), None)
        moved.texts = None if self.texts is None else self.texts.to(device)
        moved.modalities = {name: of.to(device) for name, of in self.modalities.items()}
        return moved

    def text_places(self, batch: Batch) -> torch.Tensor:
        """Row of `texts` for each event: its item's, else its query's, else the last."""
        assert self.texts is not None
        neither = len(self.texts) - 1
        query = torch.where(batch.queries >= 0, len(self) + batch.queries, neither)
        return torch.where(batch.items >= 0, batch.items, query)


class SequenceModel(nn.Module):
    """Event inputs, one of three encoders, and user vectors from its states."""

    def __init__(
        self,
        settings: TrainSettings,
        known_items: int,
        text_width: int,
        types: int,
        modalities: Mapping[str, int] | None = None,
    ) -> None:
        """modalities: dimensions of the other vectors, by kind."""
        super().__init__()
        width = settings.width
        self.id_dropout = settings.id_dropout if text_width else 0.0
        self.dropout = settings.dropout
        self.bfloat16 = False  # while training; what is learned stays float32
        self.item_ids = nn.Embedding(known_items + 1, width, padding_idx=0)
        self.types = nn.Embedding(types, width)
        self.gaps = nn.Embedding(BUCKETS, width)
        self.ages = nn.Embedding(BUCKETS, width)
        self.text_width = text_width
        if text_width:
            self.adaptor = Linear(text_width, width, bias=False)
            self.read_text = Linear(width, width, bias=False)
            self.foresee_text = Linear(width, width)
        self.encoder: Encoder = _encoder(settings)
        self.apply(_begin)
        if text_width:
            nn.init.orthogonal_(self.adaptor.weight)
            nn.init.eye_(self.read_text.weight)
        self.modalities = nn.ModuleDict(_adaptors(settings, text_width, modalities or {}))

    @torch.no_grad()
    def begin_ids(self, vectors: torch.Tensor) -> None:
        """Let the known items' ids begin with these vectors (k, width) of mean square 1."""
        self.item_ids.weight[1:] = vectors * _START

    @property
    def dimensions(self) -> int:
        """Length of user and item vectors."""
        return self.item_ids.embedding_dim * (2 if self.text_width else 1)

    @property
    def kind(self) -> torch.dtype:
        """Of the numbers that a step computes with."""
        return torch.bfloat16 if self.training and self.bfloat16 else self.item_ids.weight.dtype

    def known_ids(self) -> torch.Tensor:
        """1 by id (k, 1); 0 for no id, and for some left out while training, as new items are."""
        vectors = self.item_ids.weight
        known = torch.ones(len(vectors), 1, device=vectors.device)
        if self.training and self.id_dropout:
            known = (torch.rand_like(known) >= self.id_dropout).to(known.dtype)
        known[0] = 0
        return known

    def text_part(self, texts: torch.Tensor) -> torch.Tensor:
        """Whitened text vectors (n, d) -> text parts (n, width) of length 1, or 0 for no text."""
        projected: torch.Tensor = self.adaptor(texts.to(self.kind))
        return functional.normalize(projected.to(self.adaptor.weight.dtype), dim=1)

    def content_part(self, items: Items, places: torch.Tensor) -> torch.Tensor:
        """Content parts (n, width) of places (n,) of `texts`, of length 1, or 0 for neither."""
        assert items.texts is not None
        texts = items.texts[places]
        if not self.modalities:
            return self.text_part(texts)
        total: torch.Tensor = self.adaptor(texts.to(self.kind))
        for name, of in items.modalities.items():
            total = total + self.modalities[PREFIX + name](of, places)
        return functional.normalize(total.to(self.adaptor.weight.dtype), dim=1)

    def forward(
        self, batch: Batch, items: Items, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """User vectors (p, dimensions) after each event of the batch; known: known_ids()."""
        known = self.known_ids() if known is None else known
        states: torch.Tensor = self.states(batch, items, known)
        states = states + self.ages(batch.ages).to(states.dtype)
        if not self.text_width:
            return states
        return torch.cat([self.foresee_text(states), states], dim=1)

    def states(self, batch: Batch, items: Items, known: torch.Tensor) -> torch.Tensor:
        """What the encoder makes of each event and all before it (p, width)."""
        numbers = torch.where(batch.items >= 0, items.ids[batch.items.clamp(min=0)], 0)
        ids = self.item_ids.weight * known
        events = ids[numbers] + self.types(batch.types) + self.gaps(batch.gaps)
        if items.texts is not None:
            content = self.content_part(items, items.text_places(batch))
            events = events + self.read_text(content.to(self.kind)) * TEXT_SCALE
        events = dropout(events, self.dropout, self.training)
        return self.encoder(events.to(self.kind), Layout(batch.lengths))

    def item_vectors(
        self, items: Items, rows: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Item vectors (n, dimensions) of catalogue rows (n,).

        Id parts count from their mean, which no softmax sees: an item without one is an average
        one, neither last nor first.
        """
        known = self.known_ids() if known is None else known
        others = self.item_ids.weight[1:]
        mean = others.sum(dim=0) / max(len(others), 1)  # nobody may be known by id
        centred = (self.item_ids.weight - mean) * known
        part = centred[items.ids[rows]]
        if items.texts is None:
            return part
        return torch.cat([self.content_part(items, rows), part], dim=1)


def _adaptors(
    settings: TrainSettings, text_width: int, modalities: Mapping[str, int]
) -> dict[str, ModalityAdaptor]:
    """One a kind, which begins with parts as long as the texts' are."""
    width = settings.width
    return {
        PREFIX + name: ModalityAdaptor(
            dimensions,
            width,
            settings.modality_dropout,
            (min(1.0, width / text_width) / min(1.0, width / dimensions)) ** 0.5,
        )
        for name, dimensions in modalities.items()
    }


def _encoder(settings: TrainSettings) -> Encoder:
    if settings.encoder != "transformer":
        return RecurrentEncoder(settings.encoder, settings.width, settings.dropout)
    if settings.width % settings.heads:
        raise Failure(
            f"train.heads is {settings.heads}, which does not divide train.width "
            f"({settings.width}).",
            field="train.heads",
            hint="Set a divisor, such as 1 or 2.",
        )
    return TransformerEncoder(
        settings.width, settings.blocks, settings.heads, settings.length, settings.dropout
    )


def _begin(part: nn.Module) -> None:
    """Small normal numbers for tables and layers; recurrent layers keep torch's own."""
    if isinstance(part, nn.Embedding):
        nn.init.normal_(part.weight, std=_START)
        if part.padding_idx is not None:
            with torch.no_grad():
                part.weight[part.padding_idx].zero_()
    elif isinstance(part, nn.Linear):
        nn.init.xavier_normal_(part.weight)
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def numbers(tensor: torch.Tensor) -> Vectors:
    """As numpy, float32."""
    return cast(Vectors, tensor.detach().float().cpu().numpy())
