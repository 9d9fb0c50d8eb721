"""model_catalogue.py: an index and sequences -> the catalogue that a model is trained on."""

from typing import Final

import numpy as np

from indexes.encoders.query_encoder import load_query_encoder
from indexes.items.index import ItemIndex
from indexes.storage.arrays import Ints, Vectors
from reranker.model.whitening import Whitening
from reranker.training.data import Catalogue
from reranker.training.sequences import Sequences

_QUERIES: Final = 64  # encoded at a time


def index_catalogue(
    index: ItemIndex, sequences: Sequences, whitening: Whitening | None = None
) -> tuple[Catalogue, Sequences, Whitening]:
    """Every item of the index by its row, whitened, and the sequences with their items as rows.

    whitening: that of a trained model; else it is learned from this index.
    """
    every: Ints = np.arange(len(index), dtype=np.int64)
    vectors = index.vectors(every)
    whitening = whitening or Whitening.of(vectors)
    catalogue = Catalogue(
        index.ids.ids(every), whitening(vectors), encoded_queries(index, sequences, whitening)
    )
    return catalogue, sequences.with_rows(index.rows(sequences.item_ids)), whitening


def encoded_queries(index: ItemIndex, sequences: Sequences, white: Whitening) -> Vectors | None:
    """The sequences' search texts, whitened as the items are (q, d); None without a search."""
    texts = sequences.query_texts
    if not texts:
        return None
    encoder = load_query_encoder(index.encoder_folder)
    parts = [
        encoder.encode_queries(texts[first : first + _QUERIES])
        for first in range(0, len(texts), _QUERIES)
    ]
    return white(np.concatenate(parts))


def own_catalogue(sequences: Sequences) -> tuple[Catalogue, Sequences]:
    """The items of the events themselves, known by id alone: where there is no index."""
    return Catalogue(sequences.item_ids), sequences
