"""vectors.py: spooled texts -> vectors in the cache -> the FAISS file of a version."""

from contextlib import closing
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from indexes.build.catalogue_pass import TextSpool
from indexes.build.vector_cache import Digests, VectorCache
from indexes.encoders.text_encoder import TextEncoder
from indexes.errors import Failure
from indexes.faiss_files.faiss_file import faiss_file
from indexes.items.index import build_faiss
from indexes.progress import Progress
from indexes.storage.arrays import Rows, Vectors

_CHUNK: Final = 16384  # vectors in memory while the FAISS file is assembled
_SAMPLE: Final = 100_000  # vectors that a factory with training (IVF, PQ, SQ8) learns from


def encode_missing(
    spool: TextSpool, encoder: TextEncoder, cache: VectorCache, progress: Progress
) -> None:
    """Encode what has no vector. Each batch is in the cache before the next begins."""
    digests = spool.digests
    with progress("encoding", len(spool)) as advance:
        for start, texts in spool.windows():
            for positions, vectors in encoder.encode_batches(texts):
                cache.append(digests[start + positions], usable(vectors, encoder.dimensions))
                advance(len(positions))


def usable(vectors: Vectors, dimensions: int) -> Vectors:
    """The same vectors; rows with a NaN become zeros, which the guard before publishing counts."""
    if vectors.shape[1] != dimensions:
        raise Failure(
            f"The encoder returned {vectors.shape[1]} dimensions and had promised {dimensions}.",
            field="encoder.dimensions",
        )
    finite = np.isfinite(vectors).all(axis=1, keepdims=True)
    return np.where(finite, vectors, 0.0).astype(np.float32)


def write_vectors(
    path: Path, factory: str, texts: Digests, cache: VectorCache, progress: Progress
) -> Rows:
    """Write the vectors of all rows as one FAISS file; rows (m,) without a usable one come back."""
    spread = np.linspace(0, len(texts) - 1, min(_SAMPLE, len(texts))).astype(np.int64)
    sample = cache.vectors(texts[spread])
    index = build_faiss(factory, sample.shape[1], sample)
    _check_lookup(index, factory, sample[:1])
    zero: list[npt.NDArray[np.int64]] = []
    with (
        closing(faiss_file(path, index, sample, len(texts))) as file,
        progress("indexing", len(texts)) as advance,
    ):
        for start in range(0, len(texts), _CHUNK):
            vectors = cache.vectors(texts[start : start + _CHUNK])
            zero.append(start + np.flatnonzero(~vectors.any(axis=1)))
            file.add(vectors)
            advance(len(vectors))
        file.finish()
    return np.concatenate(zero)


def _check_lookup(index: Any, factory: str, vector: Vectors) -> None:
    """Re-ranking reads vectors by row; not every FAISS index can give them back."""
    index = faiss.clone_index(index)
    index.add(vector)
    try:
        index.reconstruct_batch(np.zeros(1, dtype=np.int64))
    except RuntimeError:
        raise Failure(
            f"index.factory: {factory!r} cannot return vectors by id, which re-ranking needs.",
            field="index.factory",
            hint='Set one such as "SQbf16", "Flat", "SQ8", "IVF256,SQ8" or "HNSW32".',
        ) from None
