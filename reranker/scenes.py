"""scenes.py: a request and the served index -> what the signals may look at, computed once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from indexes.arrays import Rows
from indexes.item_index import ItemIndex
from indexes.words import WordHashes, model_numbers, word_hashes, words
from reranker.breakers import Unavailable
from reranker.columns import Missing
from reranker.events import SEARCH, HistoryEvent
from reranker.lazy import cached_property
from reranker.pasts import Past, past_of
from reranker.personal import Learned, Personal
from reranker.query_vectors import QueryVectors
from reranker.requests import Event, RerankRequest
from reranker.times import epoch_seconds

Mask = npt.NDArray[np.bool_]
Vectors = npt.NDArray[np.float32]
RECENT: Final = 20  # items of a history that candidates are held against
DECAY: Final = 0.9  # each earlier item counts this much of the one after it
_TEXTS_AT_ONCE: Final = 4  # candidates' own texts encoded between two looks at the deadline


def now_of(
    time_: float | str | None, history: list[Event] | None, clock: Callable[[], float]
) -> float:
    """The request's "now": its time, else its newest history event's, else the clock."""
    if time_ is not None:
        return epoch_seconds(time_)
    times = [
        epoch_seconds(event.time, f"history[{position}].time")
        for position, event in enumerate(history or [])
        if event.time is not None
    ]
    return max(times) if times else clock()


@dataclass
class Scene:
    """One request in front of one index. Every property is worked out when first asked for."""

    request: RerankRequest
    index: ItemIndex
    query_vectors: QueryVectors
    text_limit: int  # at most so many candidates' own texts are encoded in one request
    clock: Callable[[], float] = time.time
    deadline: float | None = None  # on `time.perf_counter`
    personal: Personal = field(default_factory=Personal)

    @cached_property
    def ids(self) -> list[str]:
        """Candidate ids (n,) in the engine's order."""
        return [candidate.id for candidate in self.request.candidates]

    @cached_property
    def rows(self) -> Rows:
        """Index row of each candidate (n,), -1 where the index lacks it."""
        return self.index.rows(self.ids)

    @cached_property
    def indexed(self) -> Mask:
        """Which candidates (n,) the index holds."""
        return self.rows >= 0

    @cached_property
    def query(self) -> str:
        """The query without surrounding space."""
        return self.request.query.strip()

    @cached_property
    def query_words(self) -> list[str]:
        """Folded words of the query, in order."""
        return words(self.query)

    @cached_property
    def query_hashes(self) -> WordHashes:
        """Distinct words of the query as sorted hashes."""
        return word_hashes(self.query_words)

    @cached_property
    def query_models(self) -> WordHashes:
        """Model numbers named in the query as sorted hashes."""
        return word_hashes(model_numbers(self.query))

    @cached_property
    def item_vectors(self) -> tuple[Vectors, Mask]:
        """Vectors (n, d) of the candidates and which of them (n,) are real.

        From the index, else from the candidate's own text, else zeros that are marked unknown.
        """
        known = self.indexed.copy()
        vectors = np.zeros((len(self.ids), self.index.dimensions), dtype=np.float32)
        vectors[known] = self.index.vectors(self.rows[known])
        texts = [
            (position, candidate.text)
            for position, candidate in enumerate(self.request.candidates)
            if candidate.text and not candidate.text.isspace() and not known[position]
        ][: self.text_limit]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            if self.deadline is not None and time.perf_counter() >= self.deadline:
                break
            part = texts[start : start + _TEXTS_AT_ONCE]
            positions = [position for position, _ in part]
            try:
                vectors[positions] = self.query_vectors.texts([text for _, text in part])
            except Unavailable:  # what the index knows is not lost
                break
            known[positions] = True
        # A forced rebuild may have published zeros where the encoder gave nothing usable.
        known &= vectors.any(axis=1)
        return vectors, known

    @cached_property
    def now(self) -> float:
        """Epoch seconds at which this request is answered."""
        return now_of(self.request.time, self.request.history, self.clock)

    @cached_property
    def past(self) -> Past | Missing:
        """What the shopper did before now, or why nothing of it counts."""
        return past_of(self.request, lambda: self.now, self.personal, self.index)

    @property
    def shopper(self) -> Past:
        """The past, for signals that are asked only where there is one."""
        assert isinstance(self.past, Past)
        return self.past

    @property
    def learned(self) -> Learned:
        """Model and habits, for signals that are asked only where there are some."""
        assert self.personal.learned is not None
        return self.personal.learned

    @cached_property
    def user_vector(self) -> Vectors:
        """What the model makes of the past and this search (d,).

        A model that has read searches reads this one as the newest event: what comes next is then
        foreseen among what is searched for.
        """
        events, model = self.shopper.events, self.learned.model
        if self.query and model.reads_searches and events[-1].query != self.query:
            events = [*events, HistoryEvent(type=SEARCH, query=self.query, time=self.now)]
        return model.user_vector(events, self.now, self.query_vectors)

    @cached_property
    def white_past(self) -> Vectors:
        """Whitened vectors (h, d) of the newest items met."""
        return self.learned.model.whitening(self.shopper.vectors[:RECENT])

    @cached_property
    def nearness(self) -> tuple[Vectors, Mask]:
        """Whitened cosines (n, h) of candidates with the newest items met, and which are known."""
        vectors, known = self.item_vectors
        return self.learned.model.whitening(vectors) @ self.white_past.T, known

    @cached_property
    def met_together(self) -> npt.NDArray[np.float64]:
        """What the newest items met say for each candidate (n,), by who else met both."""
        rows = self.shopper.rows[:RECENT]
        return self.learned.habits.together(rows, DECAY ** np.arange(len(rows)), self.rows)
