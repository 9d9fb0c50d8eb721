"""model.py: a batch of sequences -> user vectors, in the space of item vectors.

An item's vector is its content part (the whitened text vector, and other vectors where there are
some, through a small adaptor) beside its id part (learned, for items seen in training). A user
vector's inner product with it is the affinity. A new item has no id part, and is compared by its
content from its first minute.

Each part may have an encoder of its own, which learns by itself, so that two scores are added
(Collins et al. 2025, arXiv:2512.17820); or one encoder reads and foresees both.
"""

from collections.abc import Mapping
from typing import Final, Protocol, cast

import torch
from torch import nn
from torch.nn import functional

from indexes.errors import Failure
from indexes.storage.arrays import Vectors
from reranker.model.card import NEW_CONTENT, TEXT_SCALE
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


class EventReader(nn.Module):
    """What is known of events, beside their types and times -> states, by one of three encoders."""

    def __init__(self, settings: TrainSettings, types: int) -> None:
        super().__init__()
        self.dropout = settings.dropout
        self.types = nn.Embedding(types, settings.width)
        self.gaps = nn.Embedding(BUCKETS, settings.width)
        self.ages = nn.Embedding(BUCKETS, settings.width)
        self.encoder: Encoder = _encoder(settings)

    def states(self, inputs: torch.Tensor, batch: Batch, kind: torch.dtype) -> torch.Tensor:
        """inputs (p, width) -> what comes after each event and all before it (p, width), of this
        kind of numbers."""
        events = inputs + self.types(batch.types) + self.gaps(batch.gaps)
        events = dropout(events, self.dropout, self.training)
        ages: torch.Tensor = self.ages(batch.ages).to(kind)
        return self.encoder(events.to(kind), Layout(batch.lengths)) + ages


class SequenceModel(EventReader):
    """Items by id and text, what reads the events, and user vectors from its states.

    fusion "apart": one reads items by their ids, the other by their texts, both read searches, and
    each learns its part of the user vector by itself (`parts`). "joint": one reads it all.
    """

    new_content: torch.Tensor  # (): how often it counts of items without an id

    def __init__(
        self,
        settings: TrainSettings,
        known_items: int,
        text_width: int,
        types: int,
        modalities: Mapping[str, int] | None = None,
    ) -> None:
        """modalities: dimensions of the other vectors, by kind."""
        super().__init__(settings, types)
        width = settings.width
        self.kind = torch.float32  # of the numbers computed with; what is learned stays float32
        self.item_ids = nn.Embedding(known_items + 1, width, padding_idx=0)
        self.text_width = text_width
        self.text_reader: EventReader | None = None
        if text_width:
            self.adaptor = Linear(text_width, width, bias=False)
            self.read_text = Linear(width, width, bias=False)
            self.foresee_text = Linear(width, width)
            self.register_buffer(NEW_CONTENT, torch.ones(()))
            if settings.fusion == "apart":
                self.text_reader = EventReader(settings, types)
        self.id_dropout = settings.id_dropout if text_width and not self.text_reader else 0.0
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
    def parts(self) -> list[slice]:
        """The stretches of user and item vectors that learn to foresee by themselves."""
        width = self.item_ids.embedding_dim
        if self.text_reader is None:
            return [slice(None)]
        return [slice(0, width), slice(width, None)]

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
        ids = (self.item_ids.weight * known)[self._numbers(batch, items)]
        if items.texts is None:
            return self.states(ids, batch, self.kind)
        content = self.content_part(items, items.text_places(batch)).to(self.kind)
        content = self.read_text(content) * TEXT_SCALE
        if self.text_reader is None:
            states = text_states = self.states(ids + content, batch, self.kind)
        else:
            searches = content * (batch.items < 0)[:, None]
            states = self.states(ids + searches, batch, self.kind)
            text_states = self.text_reader.states(content, batch, self.kind)
        return torch.cat([self.foresee_text(text_states), states], dim=1)

    def _numbers(self, batch: Batch, items: Items) -> torch.Tensor:
        """The id of each event's item (p,), 0 where there is none."""
        return torch.where(batch.items >= 0, items.ids[batch.items.clamp(min=0)], 0)

    def item_vectors(
        self, items: Items, rows: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Item vectors (n, dimensions) of catalogue rows (n,).

        Id parts count from their mean, which no softmax sees: an item without one is an average
        one, neither last nor first, and its content part counts `new_content` times.
        """
        known = self.known_ids() if known is None else known
        others = self.item_ids.weight[1:]
        mean = others.sum(dim=0) / max(len(others), 1)  # nobody may be known by id
        centred = (self.item_ids.weight - mean) * known
        own = items.ids[rows]
        part = centred[own]
        if items.texts is None:
            return part
        content = self.content_part(items, rows)
        content = torch.where(known[own] > 0, content, content * self.new_content)
        return torch.cat([content, part], dim=1)


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
