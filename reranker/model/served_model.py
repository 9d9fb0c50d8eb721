"""served_model.py: a model version and an index -> user vectors and affinities, without torch.

A version may come without a sequence encoder (`has_encoder`): then it has no user vectors, and what
is left are the types of events, their weights and the whitening.

Nothing is computed when it is opened but where the known items stand in this index, so a catalogue
of any size costs four bytes an item. What a request needs is computed from the index's own vectors.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from indexes.items.index import ItemIndex
from indexes.kernels import kernels
from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Floats, Ints, Rows, Vectors
from indexes.storage.row_vectors import Kept, RowVectors
from indexes.storage.versions import Version
from reranker.events.events import SEARCH, HistoryEvent
from reranker.model.card import CARD, NEW_CONTENT, TEXT_SCALE, WEIGHTS, WHITE, Card
from reranker.model.model_modalities import item_content
from reranker.model.settings import TrainSettings
from reranker.runtime.caches import QueryVectors, RecentlyUsed, RowMemo

if TYPE_CHECKING:
    from reranker.model.numpy_encoders import Begun, Tensors

# Buckets of the logarithm of seconds: a minute and an hour differ, ten and eleven days do not.
BUCKETS: Final = 34  # 0: no time to compare with; 1 + log2(1 + seconds), up to 272 years
SEARCH_SHARE: Final = 0.01  # of the events; with fewer the running search is not read as one
_PREFIXES: Final = 128  # histories of which it is kept; some 50 kB each
_DIRECTIONS: Final = 8192  # items met of which one is kept, 1.5 kB each
_QUERIES: Final = 10_000  # of which a length is kept, ...
_LONGEST: Final = 200  # ... when they are no longer: they could fill the memory
_TEXTS: Final = "text_reader."  # prefix of the weights of what reads texts by themselves


class Prefix(NamedTuple):
    """What each reader keeps of a history's events before the newest, and when they ended."""

    begun: "list[Begun]"
    last: float | None


class _EventReader:
    """training/model.py: EventReader, without torch."""

    def __init__(self, settings: TrainSettings, tensors: "Tensors") -> None:
        from reranker.model.numpy_encoders import numpy_encoder  # and scipy with it

        self.encoder = numpy_encoder(settings, tensors)
        self.types, self.gaps = tensors["types.weight"], tensors["gaps.weight"]
        self.ages = tensors["ages.weight"]


class ServedModel:
    """One published model over the rows of one index; d = its vectors' length.

    length: newest events that are read. reads_searches: whether enough of the events that it
    learned from were searches. dimensions: d, of a model with an encoder.
    """

    def __init__(self, version: Version, index: ItemIndex) -> None:
        self.version, self.folder, self.index = version.id, version.folder, index
        self.about: dict[str, Any] = dict(version.about)
        card = msgspec.json.decode((version.folder / CARD).read_bytes(), type=Card)
        tensors = load_file(version.folder / WEIGHTS)
        self.settings = settings_of(card)
        self.length = self.settings.length
        self.reads_searches = reads_searches(self.about)
        self.types = {name: number for number, name in enumerate(card.weights)}
        self.weights = card.weights
        white = {name: tensors.pop(WHITE + name) for name in ("mean", "matrix")}
        self.whitening = Whitening(**white)
        self.white_lengths = RowMemo(
            len(index), lambda _rows, vectors: self.whitening.lengths(vectors)
        )
        self._towards = RowVectors(
            _DIRECTIONS, index.dimensions, self._directions, index.live.versions
        )
        self._query_lengths: dict[str, float] = {}
        self._search_vectors: RecentlyUsed[str, Vectors] = RecentlyUsed(_QUERIES)
        self.prefixes: RecentlyUsed[Hashable, Prefix] = RecentlyUsed(_PREFIXES)
        self.has_encoder = card.encoder
        if card.encoder:
            self._open_encoder(card, tensors)

    def _open_encoder(self, card: Card, tensors: dict[str, Vectors]) -> None:
        index = self.index
        self._readers = [_EventReader(self.settings, tensors)]
        if self.settings.fusion == "apart":
            own = {name: value for name, value in tensors.items() if name.startswith(_TEXTS)}
            own = {name.removeprefix(_TEXTS): value for name, value in own.items()}
            self._readers.append(_EventReader(self.settings, own))
        self._ids = tensors["item_ids.weight"]
        self.dimensions = 2 * int(self._ids.shape[1])
        self._ids[0] = 0  # of items that training did not see
        self._centre = self._ids[1:].sum(axis=0) / max(len(self._ids) - 1, 1)
        self._content = item_content(
            self.folder, tensors, self.whitening, index, self.white_lengths
        )
        self._read_text = np.ascontiguousarray(tensors["read_text.weight"].T) * TEXT_SCALE
        self._foresee = np.ascontiguousarray(tensors["foresee_text.weight"].T)
        self._foresee_bias = tensors["foresee_text.bias"]
        self._new_content = np.float32(tensors.get(NEW_CONTENT, 1.0))
        self._numbers = np.zeros(len(index) + 1, np.int32)  # the last: of row -1, outside
        rows = index.rows(card.item_ids)
        indexed = rows >= 0  # an item may have left the index since
        self._numbers[rows[indexed]] = 1 + np.flatnonzero(indexed)

    def towards(self, rows: Rows) -> Kept:
        """A (h, d) and b (h,) of rows (h,): x @ A.T - b, over x's whitened length, is x's cosine
        with each of these items."""
        return self._towards(rows)

    def _directions(self, rows: Rows) -> tuple[Vectors, Vectors]:
        towards = self.whitening.towards(self.index.vectors(rows))
        return towards, kernels.dots(towards, self.whitening.mean[None])[:, 0]

    def numbers(self, rows: Rows) -> npt.NDArray[np.int32]:
        """The model's own number of each row (n,); 0 for an item that training did not see."""
        return self._numbers[rows]

    def item_vectors(self, rows: Rows, vectors: Vectors) -> Vectors:
        """Item vectors (n, d) of rows (n,), -1 outside the index, with text vectors (n, w)."""
        numbers = self.numbers(rows)
        known = (numbers > 0)[:, None]
        ids = np.where(known, self._ids[numbers] - self._centre, 0.0)
        content = self._content.parts(rows, vectors)
        content = np.where(known, content, content * self._new_content)
        return np.concatenate([content, ids], axis=1).astype(np.float32)

    def affinities(self, user_vector: Vectors, rows: Rows, vectors: Vectors) -> Vectors:
        """User vector (d,) . item vectors (n,) of rows (n,), -1 outside, with text vectors (n, w).

        Equal to `item_vectors(rows, vectors) @ user_vector`.
        """
        width = self._ids.shape[1]
        content = self._content.along(user_vector[:width], rows, vectors)
        numbers = self.numbers(rows)
        ids = (
            np.vecdot(self._ids[numbers], user_vector[width:]) - self._centre @ user_vector[width:]
        )
        new = numbers == 0
        ids[new] = 0.0
        content[new] *= self._new_content
        return np.asarray(content + ids)

    def user_vector(
        self, events: Sequence[HistoryEvent], now: float, query_vectors: QueryVectors
    ) -> Vectors:
        """The vector (d,) after these events, oldest first, at that time; zeros for none."""
        read = self.read(events)
        if not read:
            return np.zeros(self.dimensions, np.float32)
        prefix = self.prefix(read[:-1], query_vectors)
        return self.vector(self.state(prefix, read[-1], query_vectors), now - read[-1].time)

    def search_vector(self, query: str, query_vectors: QueryVectors) -> Vectors:
        """The vector (d,) right after this search, of a shopper of whom nothing else is known."""
        vector = self._search_vectors.get(query)
        if vector is None:
            search = HistoryEvent(type=SEARCH, query=query, time=0.0)
            vector = self.vector(
                self.state(self.prefix([], query_vectors), search, query_vectors), 0.0
            )
            if len(query) <= _LONGEST:
                self._search_vectors.put(query, vector)
        return vector

    def query_length(self, query: str, vector: Vectors) -> float:
        """How long the vector (w,) of this query is once whitened."""
        length = self._query_lengths.get(query)
        if length is None:
            if len(query) > _LONGEST:
                return float(self.whitening.lengths(vector[None])[0])
            if len(self._query_lengths) >= _QUERIES:
                self._query_lengths = {}
            length = self._query_lengths[query] = float(self.whitening.lengths(vector[None])[0])
        return length

    def read(self, events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
        """Those of the events that the encoder reads: the newest, of types that it knows."""
        return [event for event in events if event.type in self.types][-self.length :]

    def prefix(self, events: Sequence[HistoryEvent], query_vectors: QueryVectors) -> Prefix:
        """What is kept of the events before the newest one, at most length - 1."""
        times = np.array([event.time for event in events], np.float64)
        gaps = np.append(0, bucket(np.diff(times)))[: len(events)]
        inputs = self._inputs(events, gaps, query_vectors)
        begun = [
            reader.encoder.begin(own) for reader, own in zip(self._readers, inputs, strict=True)
        ]
        return Prefix(begun, events[-1].time if events else None)

    def state(self, prefix: Prefix, newest: HistoryEvent, query_vectors: QueryVectors) -> Vectors:
        """Each reader's state (readers, width) after the newest event."""
        gap = self.gap(prefix.last, newest.time)
        inputs = self._inputs([newest], np.array([gap]), query_vectors)
        each = zip(self._readers, prefix.begun, inputs, strict=True)
        return np.stack([reader.encoder.end(begun, own[0]) for reader, begun, own in each])

    def gap(self, last: float | None, time: float) -> int:
        """In which bucket the time since the event before falls; None: there is none."""
        return 0 if last is None else bucket_of(time - last)

    def vector(self, state: Vectors, age: float) -> Vectors:
        """States (readers, width) and the seconds since the newest event -> user vector (d,)."""
        aged = [
            own + reader.ages[bucket_of(age)]
            for reader, own in zip(self._readers, state, strict=True)
        ]
        return np.concatenate([aged[-1] @ self._foresee + self._foresee_bias, aged[0]])

    def _inputs(
        self,
        events: Sequence[HistoryEvent],
        gaps: npt.NDArray[np.int64],
        query_vectors: QueryVectors,
    ) -> list[Vectors]:
        """What each reader reads of each event (n, width), as training/model.py has it."""
        rows = self._rows(events)
        vectors, known = self._texts(events, rows, query_vectors)
        ids = self._ids[self.numbers(rows)]
        content = np.zeros_like(ids)
        if known.any():
            content[known] = self._content.parts(rows[known], vectors[known]) @ self._read_text
        searches = np.where((rows < 0)[:, None], content, 0.0)
        parts = [ids + content] if len(self._readers) == 1 else [ids + searches, content]
        types = np.array([self.types[event.type] for event in events], np.int64)
        return [
            part + reader.types[types] + reader.gaps[gaps]
            for part, reader in zip(parts, self._readers, strict=True)
        ]

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


def bucket(seconds: Floats) -> Ints:
    """From 1 on; equal times, and events out of order, are 1."""
    logs: Ints = np.log2(1.0 + np.maximum(seconds, 0.0)).astype(np.int64)
    return 1 + logs.clip(max=BUCKETS - 2)


def bucket_of(seconds: float) -> int:
    """`bucket` of one number."""
    return 1 + min(int(math.log2(1.0 + max(seconds, 0.0))), BUCKETS - 2)


def settings_of(card: Card) -> TrainSettings:
    """With which the model was trained; those of earlier releases are all joint."""
    return msgspec.convert({"fusion": "joint"} | card.settings, TrainSettings)


def reads_searches(about: Mapping[str, Any]) -> bool:
    """Whether at least SEARCH_SHARE of a version's training events were searches.

    One search by chance teaches nothing of what comes after searches.
    """
    searches, events = about.get("searches") or 0, about.get("events") or 0
    return bool(searches and searches >= SEARCH_SHARE * events)
