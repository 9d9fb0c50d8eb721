"""data.py: sequences and a catalogue -> what a model is trained and validated on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from indexes.encoders.query_encoder import load_query_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Ints, Vectors
from reranker.model.card import NONE
from reranker.model.served_model import Whitening
from reranker.model.settings import TrainSettings
from reranker.training.batches import Cases, TrainingWindows, flat_places
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
) -> TrainingData:
    """Hold the last moment of some shoppers out for validation, train on all before.

    sequences: their items are rows of the catalogue. Failure where there is nothing to learn from.
    """
    moments = held_out(sequences, limits, settings.validation_users, settings.seed, session_minutes)
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
    return TrainingData(sequences, catalogue, windows, moments, validation, seen, counts, known)


def items_of(catalogue: Catalogue, ids: Ints) -> Items:
    """As a model reads them."""
    texts, queries = catalogue.texts, catalogue.queries
    return Items(
        torch.from_numpy(ids),
        None if texts is None else torch.from_numpy(texts),
        None if queries is None else torch.from_numpy(queries),
    )


def new_model(data: TrainingData, settings: TrainSettings) -> SequenceModel:
    """A model at its beginning, the same for the same seed."""
    torch.manual_seed(settings.seed)
    text_width = 0 if data.catalogue.texts is None else data.catalogue.texts.shape[1]
    return SequenceModel(settings, len(data.known), text_width, len(data.sequences.weights))


def index_catalogue(
    index: ItemIndex, sequences: Sequences, whitening: Whitening | None = None
) -> tuple[Catalogue, Sequences, Whitening]:
    """Every item of the index by its row, whitened, and the sequences with their items as rows.

    whitening: that of a trained model; else it is learned from this index.
    """
    every: Ints = np.arange(len(index), dtype=np.int64)
    vectors = index.vectors(every)
    whitening = whitening or Whitening.of(vectors)
    searches = encoded_queries(index, sequences)
    queries = None if searches is None else whitening(searches)
    catalogue = Catalogue(index.ids.ids(every), whitening(vectors), queries, searches)
    return catalogue, sequences.with_rows(index.rows(sequences.item_ids)), whitening


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
