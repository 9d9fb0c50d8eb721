"""served_model.py: a model version and an index -> user vectors and affinities, without torch.

Nothing is computed when it is opened but where the known items stand in this index, so a catalogue
of any size costs four bytes an item. What a request needs is computed from the index's own vectors.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.item_index import ItemIndex
from indexes.versions import Version
from reranker.events import HistoryEvent
from reranker.model_card import CARD, TEXT_SCALE, WEIGHTS, WHITE, Card
from reranker.numpy_encoders import last_state
from reranker.query_vectors import QueryVectors
from reranker.time_buckets import bucket
from reranker.train_settings import TrainSettings
from reranker.whitening import Whitening

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
_TINY: Final = 1e-12


class ServedModel:
    """One published model over the rows of one index; d = its vectors' length."""

    def __init__(self, version: Version, index: ItemIndex) -> None:
        self.version, self.folder, self.index = version.id, version.folder, index
        self.about: dict[str, Any] = dict(version.about)
        card = msgspec.json.decode((version.folder / CARD).read_bytes(), type=Card)
        tensors = load_file(version.folder / WEIGHTS)
        self.settings = settings_of(card)
        self.types = {name: number for number, name in enumerate(card.weights)}
        self.weights = card.weights
        white = {name: tensors.pop(WHITE + name) for name in ("mean", "matrix")}
        self.whitening = Whitening(**white)
        self._encode = last_state(self.settings, tensors)
        self._ids = tensors["item_ids.weight"]
        self._ids[0] = 0  # of items that training did not see
        self._centre = self._ids[1:].sum(axis=0) / max(len(self._ids) - 1, 1)
        self._types, self._gaps = tensors["types.weight"], tensors["gaps.weight"]
        self._ages = tensors["ages.weight"]
        adaptor = tensors["adaptor.weight"]  # (width, text width)
        # Whitening and adaptor are one linear map; the length between them does not matter.
        self._to_text = np.ascontiguousarray(self.whitening.matrix @ adaptor.T)
        self._read_text = np.ascontiguousarray(tensors["read_text.weight"].T) * TEXT_SCALE
        self._foresee = np.ascontiguousarray(tensors["foresee_text.weight"].T)
        self._foresee_bias = tensors["foresee_text.bias"]
        self._numbers = np.zeros(len(index), np.int32)
        rows = index.rows(card.item_ids)
        there = rows >= 0  # an item may have left the index since
        self._numbers[rows[there]] = 1 + np.flatnonzero(there)

    @property
    def dimensions(self) -> int:
        """Length of user and item vectors."""
        return 2 * int(self._ids.shape[1])

    @property
    def reads_searches(self) -> bool:
        """Whether searches were among the events that it learned from."""
        return bool(self.about.get("searches"))

    @property
    def length(self) -> int:
        """Newest events that are read."""
        return self.settings.length

    def text_part(self, vectors: Vectors) -> Vectors:
        """Text vectors (n, text width) of items or queries -> text parts (n, width) of length 1."""
        found = (vectors - self.whitening.mean) @ self._to_text
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _TINY))

    def numbers(self, rows: Rows) -> npt.NDArray[np.int32]:
        """The model's own number of each row (n,); 0 for an item that training did not see."""
        found = self._numbers[np.maximum(rows, 0)]
        return np.where(rows >= 0, found, 0)

    def item_vectors(self, rows: Rows, vectors: Vectors) -> Vectors:
        """Item vectors (n, d) of rows (n,), -1 outside the index, with text vectors (n, w)."""
        numbers = self.numbers(rows)
        ids = np.where((numbers > 0)[:, None], self._ids[numbers] - self._centre, 0.0)
        return np.concatenate([self.text_part(vectors), ids], axis=1).astype(np.float32)

    def user_vector(
        self, events: Sequence[HistoryEvent], now: float, query_vectors: QueryVectors
    ) -> Vectors:
        """The vector (d,) after these events, oldest first, at that time; zeros for none."""
        kept = [event for event in events if event.type in self.types][-self.length :]
        if not kept:
            return np.zeros(self.dimensions, np.float32)
        rows = self._rows(kept)
        texts, known = self._texts(kept, rows, query_vectors)
        times = np.array([event.time for event in kept], np.float64)
        gaps = np.append(0, bucket(np.diff(times)))
        types = [self.types[event.type] for event in kept]
        inputs = self._ids[self.numbers(rows)] + self._types[types] + self._gaps[gaps]
        inputs[known] += self.text_part(texts[known]) @ self._read_text
        age = bucket(np.array([now - times[-1]]))[0]
        state = self._encode(inputs) + self._ages[age]
        return np.concatenate([state @ self._foresee + self._foresee_bias, state])

    def _rows(self, events: Sequence[HistoryEvent]) -> Rows:
        rows = np.full(len(events), -1, np.int64)
        items = [(at, event.item) for at, event in enumerate(events) if event.item is not None]
        if items:
            rows[[at for at, _ in items]] = self.index.rows([item for _, item in items])
        return rows

    def _texts(
        self, events: Sequence[HistoryEvent], rows: Rows, query_vectors: QueryVectors
    ) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """Text vectors (n, w) of the events' items or searches, and which there are (n,)."""
        texts = np.zeros((len(events), self.index.dimensions), np.float32)
        known = rows >= 0
        texts[known] = self.index.vectors(rows[known])
        for at, event in enumerate(events):
            if not known[at] and event.query:
                texts[at] = query_vectors.query(event.query)
                known[at] = True
        return texts, known


def settings_of(card: Card) -> TrainSettings:
    """With which the model was trained."""
    return msgspec.convert(card.settings, TrainSettings)
