"""item_vectors.py: a published index -> the next version of it, with vectors beside the texts'."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from indexes.items.index import ItemIndex
from indexes.modalities.entries import MODALITIES, Entry, modality_folder
from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.writer import VectorBatch, write_modality
from indexes.storage.manifests import MANIFEST
from indexes.storage.versions import VersionStore


def write_vectors(
    index: ItemIndex, folder: Path, ids: Sequence[str], vectors: Any, made_of: dict[str, Any]
) -> Entry:
    """The files of one modality, as a rebuild writes them."""
    batch = VectorBatch(ids, vectors, range(len(ids)))
    done = write_modality(folder, len(index), index.ids.rows, [batch], print)
    return Entry(made_of=made_of, dimensions=done.dimensions, items=done.items)


def in_memory(
    index: ItemIndex, folder: Path, ids: Sequence[str], vectors: Any, name: str = "image"
) -> ItemIndex:
    """The same index, with these vectors for as long as it is open."""
    entry = write_vectors(index, folder / name, ids, vectors, {})
    index.modalities = {name: ModalityVectors(folder / name, name, entry)}
    return index


def publish_with_vectors(
    home: Path, ids: Sequence[str], vectors: Any, name: str = "image"
) -> ItemIndex:
    """The same index with these vectors as the next version; nothing is encoded."""
    store = VersionStore(home / "index")
    old = store.current()
    assert old is not None
    with store.stage() as staged:
        leave_out = shutil.ignore_patterns(MANIFEST, MODALITIES)
        shutil.copytree(
            old.folder, staged, dirs_exist_ok=True, ignore=leave_out, copy_function=shutil.copyfile
        )
        folder = modality_folder(staged, name)
        entry = write_vectors(ItemIndex(old), folder, ids, vectors, {"by": "hand"})
        about = dict(old.about) | {MODALITIES: {name: msgspec.to_builtins(entry)}}
        version = store.publish(staged, about)
    return ItemIndex(version)
