"""query_towers.py: a served index -> what reads queries into the spaces of its pictures and such.

Loaded where a version has the text tower of the model that made its vectors, beside the text
encoder, and guarded as that one is. An index without one costs nothing.
"""

import logging
from typing import Final

from indexes.encoders.query_encoder import load_query_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.modalities.entries import TOWER
from indexes.modalities.vectors import ModalityVectors
from reranker.ranking.settings import RankingSettings
from reranker.runtime.budget import Breakers
from reranker.runtime.caches import Encoder, QueryVectors
from reranker.runtime.guarded_encoder import GuardedEncoder

log = logging.getLogger("reranker")
_NAME: Final = "{}_tower"  # of the dependency, in `degraded`, metrics and breakers


def query_towers(
    index: ItemIndex, settings: RankingSettings, breakers: Breakers | None = None
) -> dict[str, QueryVectors]:
    """By modality. One that cannot be loaded is left out, and logged: all else still answers."""
    towers = {}
    for name, vectors in index.modalities.items():
        encoder = _loaded(vectors, settings) if vectors.weight else None
        if encoder is not None:
            if breakers is not None:
                dependency = _NAME.format(name)
                breaker = breakers.of(dependency)
                encoder = GuardedEncoder(encoder, vectors.dimensions, breaker, dependency)
            towers[name] = QueryVectors(encoder, settings.query_cache)
    return towers


def _loaded(vectors: ModalityVectors, settings: RankingSettings) -> Encoder | None:
    folder = vectors.folder / TOWER
    if not folder.is_dir():
        return None
    try:
        encoder = load_query_encoder(folder, settings.encoder_threads)
    except (Failure, ImportError) as error:
        log.warning("queries are not compared with %s: %s", vectors.name, error)
        return None
    if encoder.dimensions == vectors.dimensions:
        return encoder
    log.warning(
        "queries are not compared with %s: its text tower has %d dimensions, its vectors %d.",
        vectors.name, encoder.dimensions, vectors.dimensions,
    )  # fmt: skip
    return None
