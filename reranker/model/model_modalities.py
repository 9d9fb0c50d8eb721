"""model_modalities.py: what a model version keeps of the vectors beside the texts that it reads.

modalities.safetensors holds of each kind the whitening that the model was trained with, and the
vectors of some items: by them is seen whether an index still has vectors of the same maker.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from indexes.items.columns import Hashes, id_hash
from indexes.items.index import ItemIndex
from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Vectors
from reranker.model.item_content import ItemContent, MixedContent, ModalityContent, TextContent
from reranker.runtime.caches import RowMemo

FILE: Final = "modalities.safetensors"
PREFIX: Final = "of_"  # of a kind's name among the weights, where no name may be a method's
_SAMPLE: Final = 64  # items by which a maker is known again
_LEAST_COSINE: Final = 0.9  # in the median; pictures change one by one, makers all at once


class ModelModality(NamedTuple):
    """One kind of vector, as the model learned to read it. sample_ids (m,): hashes of items, and
    sample_vectors (m, d): their vectors then."""

    whitening: Whitening
    sample_ids: Hashes
    sample_vectors: Vectors


def model_modality(index: ItemIndex, name: str) -> ModelModality:
    """One kind of this index's vectors, as a model learns to read them."""
    vectors = index.modalities[name]
    known = np.flatnonzero(vectors.known(np.arange(len(index))))
    rows = known[np.linspace(0, len(known) - 1, min(_SAMPLE, len(known))).astype(np.int64)]
    hashes = np.array([id_hash(item_id) for item_id in index.ids.ids(rows)], np.uint64)
    # Copied: those of the index are mapped, and end with it.
    own = Whitening(np.array(vectors.whitening.mean), np.array(vectors.whitening.matrix))
    return ModelModality(own, hashes, vectors.rows(rows)[0])


def save_modalities(folder: Path, modalities: Mapping[str, ModelModality]) -> None:
    """Write them; no file where there are none."""
    if not modalities:
        return
    arrays = {}
    for name, modality in modalities.items():
        arrays[f"{name}.mean"] = modality.whitening.mean
        arrays[f"{name}.matrix"] = modality.whitening.matrix
        arrays[f"{name}.sample_ids"] = modality.sample_ids.view(np.int64)
        arrays[f"{name}.sample_vectors"] = modality.sample_vectors
    save_file({key: np.ascontiguousarray(a) for key, a in arrays.items()}, folder / FILE)


def load_modalities(folder: Path) -> dict[str, ModelModality]:
    """Those of a model version, by name; none in one that reads texts alone."""
    if not (folder / FILE).is_file():
        return {}
    arrays = load_file(folder / FILE)
    return {
        name: ModelModality(
            Whitening(arrays[f"{name}.mean"], arrays[f"{name}.matrix"]),
            arrays[f"{name}.sample_ids"].view(np.uint64),
            arrays[f"{name}.sample_vectors"],
        )
        for name in sorted(key.partition(".")[0] for key in arrays if key.endswith(".mean"))
    }


def of_other_makers(folder: Path, index: ItemIndex) -> Iterable[str]:
    """Which kinds of this model version the index has from another maker: another image model,
    say, or numbers that were trained anew. A kind that the index lacks is none of these."""
    for name, modality in load_modalities(folder).items():
        vectors = index.modalities.get(name)
        if vectors is not None and not _same_maker(modality, vectors, index):
            yield name


def _same_maker(modality: ModelModality, vectors: ModalityVectors, index: ItemIndex) -> bool:
    if vectors.dimensions != modality.sample_vectors.shape[1]:
        return False
    rows = index.ids.rows_of_hashes(modality.sample_ids)
    now, known = vectors.rows(rows)
    if not known.any():  # other items: nothing speaks against it
        return True
    cosines = np.vecdot(now[known], modality.sample_vectors[known])
    return bool(np.median(cosines) >= _LEAST_COSINE)


def item_content(
    folder: Path,
    tensors: Mapping[str, Vectors],
    whitening: Whitening,
    index: ItemIndex,
    white_lengths: RowMemo,
) -> ItemContent:
    """What a model version makes of the items of an index. tensors: its weights."""
    adaptor, modalities = tensors["adaptor.weight"], load_modalities(folder)
    if not modalities:
        return TextContent(whitening, adaptor, len(index))
    parts = [
        ModalityContent(
            index.modalities.get(name),
            modality.whitening,
            tensors[f"modalities.{PREFIX}{name}.weight"],
            tensors[f"modalities.{PREFIX}{name}.stand_in"],
            len(index),
        )
        for name, modality in modalities.items()
    ]
    return MixedContent(whitening, adaptor, parts, white_lengths, len(index))
