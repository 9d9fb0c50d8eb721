"""sources.py: where the vectors of a modality come from, whatever made them."""

from collections.abc import Iterator
from typing import Any, Protocol

from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.writer import VectorBatch
from indexes.readers.bad_lines import OnBad
from indexes.storage.arrays import Rows


class VectorSource(Protocol):
    """Vectors by item id."""

    @property
    def label(self) -> str:
        """What messages call it: a file's path, an encoder's name."""
        ...

    @property
    def made_of(self) -> dict[str, Any]:
        """What the vectors are made of, as JSON: equal means the same vectors. Worked out once."""
        ...

    def batches(self, on_bad: OnBad) -> Iterator[VectorBatch]:
        """All vectors, some thousand at a time; what is no vector goes to on_bad."""
        ...


class ServedVectors:
    """The vectors of a version that is served already, for the next one."""

    def __init__(self, vectors: ModalityVectors, version: str, ids: "IdsOf") -> None:
        self._vectors, self._ids = vectors, ids
        self.label = f"{vectors.name} of index {version}"
        self.made_of = vectors.made_of

    def batches(self, on_bad: OnBad) -> Iterator[VectorBatch]:
        """Those of the version's items."""
        for rows, vectors in self._vectors.stored():
            yield VectorBatch(self._ids.ids(rows), vectors, (rows + 1).tolist())


class IdsOf(Protocol):
    """Rows (n,) -> the ids of these items: `indexes.items.columns.ItemIds`."""

    def ids(self, rows: Rows, /) -> list[str]: ...
