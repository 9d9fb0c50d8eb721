"""index.py: one published version -> vectors by id, neighbours by vector, columns by row.

Everything is mapped: opening costs milliseconds and no private memory, whatever the catalogue.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.items.changes import REMOVED
from indexes.items.columns import FORMAT, NUMBERS, READABLE, ItemColumns, ItemIds
from indexes.items.live_texts import LiveTexts
from indexes.items.text import DEFAULT_TEMPLATE, vectors_key
from indexes.kernels import kernels
from indexes.modalities.entries import MODALITIES
from indexes.modalities.vectors import ModalityVectors, open_modalities
from indexes.storage.arrays import Rows, Vectors
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace

VECTORS_FILE: Final = "vectors.faiss"
ENCODER_FOLDER: Final = "encoder"


class NoIndex(Failure):
    """Nothing was published yet."""

    code = "no_index"


def published_version(workspace: Workspace, *, verified: bool = True) -> Version:
    """The version that is served; NoIndex before the first one, Failure where it is damaged."""
    store = VersionStore(workspace.index_root)
    version = store.current()
    if version is None:
        raise NoIndex(
            f"No index is published in {workspace.home}.",
            hint="Run `reranker rebuild --items FILE`, or `reranker demo` to see it work.",
        )
    if verified:
        store.ensure_verified(version)
    return version


class VectorReader(Protocol):
    """Vectors (n, d) of rows (n,), each a row of the index; in `room`, where they are decoded."""

    def __call__(self, rows: Rows, room: Vectors | None = None, /) -> Vectors: ...


def build_faiss(factory: str, dimensions: int, sample: Vectors) -> Any:
    """An empty, trained FAISS index by inner product; vectors are added by its caller."""
    index = parsed_factory(factory, dimensions)
    try:
        if not index.is_trained:
            index.train(sample)
        inverted = faiss.try_extract_index_ivf(index)
        if inverted is not None:  # it finds a vector by row only with a map kept for that
            inverted.set_direct_map_type(faiss.DirectMap.Array)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise _cannot_build(factory, f"{len(sample)} vectors of {dimensions}", error) from None
    return index


def parsed_factory(factory: str, dimensions: int) -> Any:
    """The index that a factory string means, empty; Failure, before any vector is made."""
    try:
        return faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise _cannot_build(factory, f"vectors of {dimensions}", error) from None


def _cannot_build(factory: str, vectors: str, error: RuntimeError) -> Failure:
    reason = str(error).strip().splitlines()[-1]
    return Failure(
        f"index.factory: FAISS cannot build {factory!r} for {vectors} dimensions ({reason}).",
        field="index.factory",
        hint='Set one such as "SQbf16", "Flat", "SQ8", "IVF256,SQ8" or "HNSW32".',
    )


def _codes(index: Any, dtype: type[np.generic], width: int) -> npt.NDArray[Any]:
    """The stored codes as a mapped array (items, width); valid while `index` lives."""
    flat = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    return np.asarray(flat).view(dtype).reshape(index.ntotal, width)


def vector_reader(index: Any) -> VectorReader:
    """The fastest way to read vectors by row that this kind of index has.

    FAISS decodes scalar-quantised codes one number at a time (about 1 us a vector); for float32
    and bfloat16 a gather of the codes does the same four times faster.
    """
    if not index.ntotal:
        return lambda rows, room=None: np.empty((0, index.d), dtype=np.float32)
    if isinstance(index, faiss.IndexFlat):
        flat = _codes(index, np.float32, index.d)
        return lambda rows, room=None: np.asarray(flat[rows], dtype=np.float32)
    if isinstance(index, faiss.IndexScalarQuantizer) and index.sq.qtype == _BF16:
        codes, dimensions = _codes(index, np.uint8, index.code_size).reshape(-1), int(index.d)
        return lambda rows, room=None: kernels.decoded(codes, rows, dimensions, room)
    return lambda rows, room=None: np.asarray(index.reconstruct_batch(rows), dtype=np.float32)


_BF16: Final = faiss.ScalarQuantizer.QT_bf16


_SPREAD_ITEMS: Final = 512


def cosine_spread(read: Callable[[Rows], Vectors], count: int) -> float:
    """How far apart cosines of this catalogue's items are: from the 5 % to the 95 % quantile.

    The scale on which a cosine of a query with an item is large or small: encoders differ in it by
    a factor of five, and lists of candidates say little of it. Of evenly spread items.
    """
    if count < 2:
        return 1.0
    rows = np.linspace(0, count - 1, min(_SPREAD_ITEMS, count)).astype(np.int64)
    vectors = read(rows)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(rows), 1)]
    low, high = np.quantile(cosines, (0.05, 0.95))
    return max(float(high - low), 0.01)


def check_format(about: Mapping[str, Any], version_id: str) -> None:
    """Failure for a version that another release wrote in another form."""
    stored = about.get("format", 1)
    if not READABLE <= stored <= FORMAT:
        raise Failure(
            f"Index {version_id} has format {stored}, and this release reads format {FORMAT}.",
            hint="Run `reranker rebuild --items FILE`: kept vectors are not encoded again.",
        )


class ItemIndex:
    """One version of the index, read-only and shared by every worker through the page cache."""

    def __init__(self, version: Version) -> None:
        self.version = version.id
        self.about: dict[str, Any] = dict(version.about)
        check_format(self.about, version.id)
        self.folder: Path = version.folder
        self.ids = ItemIds(version.folder)
        self._removed: frozenset[str] = frozenset()
        self.rows = self.ids.rows  # of ids (n,); -1 where an id is not in the index
        self.columns = ItemColumns(version.folder)
        path = version.folder / VECTORS_FILE
        self.modalities: Mapping[str, ModalityVectors] = (
            open_modalities(version.folder, self.about) if self.about.get(MODALITIES) else {}
        )
        self._faiss = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        self._read = vector_reader(self._faiss)
        if self._faiss.ntotal != len(self.ids):
            raise Failure(
                f"{path} holds {self._faiss.ntotal} vectors for {len(self.ids)} items.",
                hint="Run `reranker rebuild` again.",
            )
        template = str(self.about.get("template") or DEFAULT_TEMPLATE)
        self.vectors_key = vectors_key(str(self.about.get("fingerprint")), template)
        self.live = LiveTexts(template, self.columns, len(self), self.dimensions)
        self.revision = 0  # grows with what changes while this version is served
        self._revisions = np.zeros(len(self), np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def change(
        self, changes: Mapping[str, Mapping[str, Any]], vectors: Mapping[bytes, Any] | None = None
    ) -> None:
        """Take up changed fields by item, for this process, and vectors by the digests of changed
        texts. Those that ask meanwhile see each value as it was or as it is."""
        revision, every = self.revision + 1, list(changes)
        removed = set(self._removed)
        for item_id, row in zip(every, self.ids.rows(every).tolist(), strict=True):
            fields = changes[item_id]
            if REMOVED in fields:
                (removed.add if fields[REMOVED] else removed.discard)(item_id)
            if row < 0:
                self.live.change_new(item_id, fields)
            elif self._change_row(row, fields):
                self._revisions[row] = revision
        self._removed = frozenset(removed)
        self.rows = self._rows_left if removed else self.ids.rows
        if vectors:
            self._revisions[self.live.take(vectors)] = revision
        self.revision = revision

    def _change_row(self, row: int, fields: Mapping[str, Any]) -> bool:
        """Whether more changed than what is looked up for each request anew."""
        said = self.columns.change(row, {name: fields[name] for name in fields if name != REMOVED})
        vector = (said or self.live.reads(fields.keys() & NUMBERS)) and self.live.change_row(row)
        return said or vector or REMOVED in fields or "price" in fields

    def changed_since(self, rows: Rows, revision: int) -> bool:
        """Whether price, words, vector or presence of any of these rows (n,) changed since."""
        return bool((self._revisions[rows] > revision).any())

    def _rows_left(self, item_ids: Sequence[str]) -> Rows:
        """As `rows`, while some items are taken away."""
        rows, removed = self.ids.rows(item_ids), self._removed
        if not removed.isdisjoint(item_ids):
            rows[[at for at, item_id in enumerate(item_ids) if item_id in removed]] = -1
        return rows

    @property
    def dimensions(self) -> int:
        """Length of an item vector."""
        return int(self._faiss.d)

    @cached_property
    def cosine_spread(self) -> float:
        """The scale of this catalogue's cosines; see the function."""
        published = self.about.get("cosine_spread")
        return float(published) if published else cosine_spread(self._read, len(self))

    @property
    def fingerprint(self) -> str:
        """Which encoder made the item vectors; a query encoder has to match it."""
        return str(self.about["fingerprint"])

    @property
    def encoder_folder(self) -> Path:
        """The files of the query encoder that fits these vectors."""
        return self.folder / ENCODER_FOLDER

    def vectors(self, rows: Rows, room: Vectors | None = None) -> Vectors:
        """Item vectors (n, d), of length 1, of rows (n,) that are all in the index.

        room: numbers that may be written over.
        """
        vectors = self._read(rows, room)
        self.live.lay_over(rows, vectors)
        return vectors

    def neighbours(self, vectors: Vectors, k: int) -> list[list[tuple[str, float]]]:
        """For each vector (n, d) the k nearest items and their inner products, best first."""
        removed = self._removed
        most = min(k + len(removed), len(self))
        scores, rows = self._faiss.search(np.ascontiguousarray(vectors), most)
        neighbours = []
        for row, score in zip(rows, scores, strict=True):
            filled = row >= 0  # an approximate index may find fewer than k
            near = zip(self.ids.ids(row[filled]), score[filled].tolist(), strict=True)
            neighbours.append([pair for pair in near if pair[0] not in removed][:k])
        return neighbours
