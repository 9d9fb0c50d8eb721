"""data.py: sequences and a catalogue -> what a model is trained and validated on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from indexes.encoders.query_encoder import load_query_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Ints, Vectors
from reranker.model.card import NONE
from reranker.model.model_modalities import ModelModality, model_modality
from reranker.model.settings import TrainSettings
from reranker.training.adaptors.modalities import KnownVectors
from reranker.training.batches import Cases, TrainingWindows, flat_places
from reranker.training.checkpoints import Layout, Scope, hashes_of
from reranker.training.cooccurrence import cooccurrence_vectors, shared_directions
from reranker.training.held_out import MINUTES, HeldOut, held_out
from reranker.training.model import Items, SequenceModel
from reranker.training.sequences import Sequences, met_by

_QUERIES: Final = 64  # encoded at a time


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that are ranked, by row, with whitened text vectors where there is an index."""

    ids: list[str]
    texts: Vectors | None = None
    queries: Vectors | None = None  # of the sequences' search texts, whitened
    searches: Vectors | None = None  # the same as they are
    white: Vectors | None = None  # the whitening's matrix
    fingerprint: str = ""  # of the text encoder
    modalities: Mapping[str, KnownVectors] = field(default_factory=dict)  # by kind, whitened
    model_modalities: Mapping[str, ModelModality] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training part of sequences: nothing at or after `limits` (s,) of a shopper is used."""

    sequences: Sequences
    catalogue: Catalogue
    windows: TrainingWindows
    held_out: HeldOut
    validation: Cases
    seen: Ints  # catalogue rows, in order
    counts: Ints  # how often each was seen
    known: Ints  # of the seen, those that enough shoppers have met: they are learned by id
    before: Scope | None = None  # of the weights to begin with

    @property
    def items(self) -> Items:
        """Ids from 1 for the known items, in the order of their rows."""
        ids = np.zeros(len(self.catalogue.ids), np.int64)
        ids[self.known] = np.arange(1, len(self.known) + 1)
        return items_of(self.catalogue, ids)


def training_data(
    sequences: Sequences,
    catalogue: Catalogue,
    limits: Ints,
    settings: TrainSettings,
    session_minutes: float = MINUTES,
    before: Scope | None = None,
) -> TrainingData:
    """Hold the last moment of some shoppers out for validation, train on all before.

    sequences: their items are rows of the catalogue. before: of weights to begin with, where they
    fit and half as many moments at least are new to them as can be held out.
    Failure where there is nothing to learn from.
    """
    most, seed = settings.validation_users, settings.seed
    moments = held_out(sequences, limits, most, seed, session_minutes)
    if before is not None and not _fits(before, sequences, catalogue, settings):
        before = None
    if before is not None:
        unseen = before.unseen_from(sequences.shoppers)
        new = held_out(sequences, limits, most, seed, session_minutes, unseen)
        if 2 * len(new) < len(moments):
            before = None
        else:
            moments = new
    stops = moments.limits
    windows = TrainingWindows.before(sequences, stops, settings.length)
    if not len(moments) or not len(windows):
        raise Failure(
            f"{len(sequences)} histories with {len(sequences.items)} events hold nothing to "
            "learn from: at least two shoppers with three events of known items are needed.",
            hint="Import more with `reranker events import FILE`.",
        )
    places = flat_places(sequences.at[:-1], stops)
    rows = sequences.items[places]
    seen, counts = np.unique(rows[rows != NONE], return_counts=True)
    known = seen
    if catalogue.texts is not None:  # without texts nothing else is known of an item
        is_item = rows != NONE
        known = met_by(rows[is_item], sequences.owner[places][is_item], settings.min_users)
    validation = moments.cases(sequences)
    return TrainingData(
        sequences, catalogue, windows, moments, validation, seen, counts, known, before
    )


def scope_of(data: TrainingData, settings: TrainSettings) -> Scope:
    """What weights trained on this data belong to, and have learned from."""
    sequences, moments = data.sequences, data.held_out
    names = [sequences.shoppers[shopper] for shopper in moments.shoppers.tolist()]
    return Scope(
        layout=_layout(data.catalogue, settings),
        types=list(sequences.weights),
        newest=float(sequences.times.max()),
        items=hashes_of(data.catalogue.ids[row] for row in data.known.tolist()),
        white=data.catalogue.white,
        whites={name: of.whitening.matrix for name, of in data.catalogue.model_modalities.items()},
        shoppers=hashes_of(names),
        begins=sequences.times[moments.begins],
    )


def _layout(catalogue: Catalogue, settings: TrainSettings) -> Layout:
    names = ("encoder", "fusion", "width", "blocks", "heads", "length", "seed")
    shape = ", ".join(f"{name} {getattr(settings, name)}" for name in names)
    for name, of in catalogue.modalities.items():
        shape += f", {name} vectors of {of.vectors.shape[1]}"
    return Layout(shape, catalogue.fingerprint)


def _fits(
    before: Scope, sequences: Sequences, catalogue: Catalogue, settings: TrainSettings
) -> bool:
    """Whether weights are of this form, and have seen nothing that is later than these events."""
    widths = [None if white is None else len(white) for white in (before.white, catalogue.white)]
    return (
        before.layout == _layout(catalogue, settings)
        and widths[0] == widths[1]
        and before.newest <= float(sequences.times.max(initial=-np.inf))
    )


def items_of(catalogue: Catalogue, ids: Ints) -> Items:
    """As a model reads them."""
    texts, queries = catalogue.texts, catalogue.queries
    return Items(
        torch.from_numpy(ids),
        None if texts is None else torch.from_numpy(texts),
        None if queries is None else torch.from_numpy(queries),
        catalogue.modalities,
    )


def new_model(data: TrainingData, settings: TrainSettings) -> SequenceModel:
    """A model at its beginning, the same for the same seed and data."""
    torch.manual_seed(settings.seed)
    text_width = 0 if data.catalogue.texts is None else data.catalogue.texts.shape[1]
    modalities = {name: of.vectors.shape[1] for name, of in data.catalogue.modalities.items()}
    model = SequenceModel(
        settings, len(data.known), text_width, len(data.sequences.weights), modalities
    )
    vectors = _beside_each_other(data, settings)
    if vectors is not None:
        model.begin_ids(torch.from_numpy(vectors))
    if settings.width <= text_width:
        directions = _agreeing_texts(data, settings.width)
        model.adaptor.weight.data = torch.from_numpy(directions)
    return model


def _beside_each_other(data: TrainingData, settings: TrainSettings) -> Vectors | None:
    """Vectors (k, width) of the known items by whom they were met near; None where too few are."""
    sequences = data.sequences
    numbers = np.full(len(data.catalogue.ids), NONE)
    numbers[data.known] = np.arange(len(data.known))
    places = flat_places(sequences.at[:-1], data.held_out.limits)
    rows = sequences.items[places]
    items = np.where(rows == NONE, NONE, numbers[rows])
    known = items != NONE
    owners = sequences.owner[places][known]
    count, width, seed = len(data.known), settings.width, settings.seed
    return cooccurrence_vectors(items[known], owners, count, width, seed)


def _agreeing_texts(data: TrainingData, width: int) -> Vectors:
    """Directions (width, d) of texts of what was met one after another, searches among it."""
    sequences, catalogue = data.sequences, data.catalogue
    assert catalogue.texts is not None
    queries = catalogue.queries
    texts = catalogue.texts if queries is None else np.concatenate([catalogue.texts, queries])
    places = flat_places(sequences.at[:-1], data.held_out.limits)
    items, searches = sequences.items[places], sequences.queries[places]
    query = np.where(searches == NONE, NONE, len(catalogue.texts) + searches)
    rows = np.where(items == NONE, query, items)
    return shared_directions(texts, rows, sequences.owner[places], width)


def index_catalogue(
    index: ItemIndex,
    sequences: Sequences,
    whitening: Whitening | None = None,
    *,
    modalities: bool = False,
) -> tuple[Catalogue, Sequences, Whitening]:
    """Every item of the index by its row, whitened, and the sequences with their items as rows.

    whitening: that of a trained model; else it is learned from this index. modalities: with the
    index's other vectors.
    """
    every: Ints = np.arange(len(index), dtype=np.int64)
    vectors = index.vectors(every)
    whitening = whitening or Whitening.of(vectors)
    searches = encoded_queries(index, sequences)
    queries = None if searches is None else whitening(searches)
    catalogue = Catalogue(
        index.ids.ids(every),
        whitening(vectors),
        queries,
        searches,
        whitening.matrix,
        index.fingerprint,
        *(_modalities(index, every) if modalities else ()),
    )
    return catalogue, sequences.with_rows(index.rows(sequences.item_ids)), whitening


def _modalities(
    index: ItemIndex, every: Ints
) -> tuple[dict[str, KnownVectors], dict[str, ModelModality]]:
    """The index's other vectors of every row, whitened, and what they are known by."""
    read: dict[str, KnownVectors] = {}
    for name, of in index.modalities.items():
        vectors, known = of.rows(every)
        vectors[known] = of.whitening(vectors[known])
        read[name] = KnownVectors(vectors, known)
    return read, {name: model_modality(index, name) for name in read}


def encoded_queries(index: ItemIndex, sequences: Sequences) -> Vectors | None:
    """The vectors of the sequences' search texts (q, d); None without a search."""
    texts = sequences.query_texts
    if not texts:
        return None
    encoder = load_query_encoder(index.encoder_folder)
    parts = [
        encoder.encode_queries(texts[first : first + _QUERIES])
        for first in range(0, len(texts), _QUERIES)
    ]
    return np.concatenate(parts)


def own_catalogue(sequences: Sequences) -> tuple[Catalogue, Sequences]:
    """The items of the events themselves, known by id alone: where there is no index."""
    return Catalogue(sequences.item_ids), sequences
