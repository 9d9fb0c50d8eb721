"""context.py: a request and the served index -> what the signals may look at, computed once."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np

from indexes.cached import lazily
from indexes.items.columns import id_hash
from indexes.items.index import ItemIndex
from indexes.items.words import (
    WordHashes,
    fold,
    model_places,
    model_words,
    word_hash,
    word_hashes,
    words,
)
from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import COUNTED, NEAREST, SAME, Program
from indexes.storage.arrays import Mask, Rooms, Rows, Values, Vectors, filled
from indexes.storage.row_vectors import Kept
from reranker.errors import BadRequest
from reranker.model.item_statistics import NEW
from reranker.model.learned import Learned
from reranker.requests import Event, RerankRequest
from reranker.runtime.budget import Left, Stages, Unavailable
from reranker.runtime.caches import EncodedQuery, QueryVectors
from reranker.signals.columns import Column, Missing, complete, mask_of
from reranker.signals.user_history import (
    Personalization,
    UserHistory,
    attributes_of,
    user_history_of,
)
from reranker.times import seconds_of

_HALF_KNOWN: Final = 0.5  # of the query's tokens: from there on its vector counts in full
_TEXTS_AT_ONCE: Final = 4  # candidates' own texts encoded between two looks at the deadline
_REMEMBERED: Final = 4096  # queries whose terms are kept ...
_ROOMS: Final = Rooms(most=4, largest=1000 * 768)
_ONE: Final = np.full(1, -1)  # row of what is no item
_LONGEST: Final = 200  # ... of so many characters; longer ones are rare, and would fill the memory


@dataclass(frozen=True, slots=True, eq=False)
class QueryTerms:
    """One query. words: folded, in order; hashes: of distinct ones, sorted; models: hashes of the
    model numbers named, begun: of what such may go on from; parts: how many words are parted by
    spaces, numbers: which of them are model numbers, joined: which make up one together, by its
    hash; title: equal to `title_key` of a title of the same words."""

    words: list[str]
    folded: str
    hashes: WordHashes
    models: WordHashes
    begun: WordHashes
    parts: int
    numbers: frozenset[int]
    joined: dict[int, frozenset[int]]
    title: int


def query_terms(query: str) -> QueryTerms:
    """The terms of a query."""
    return _remembered(query) if len(query) <= _LONGEST else _terms(query)


def _terms(query: str) -> QueryTerms:
    query_words, models = words(query), model_words(query)
    return QueryTerms(
        words=query_words,
        folded=fold(query),
        hashes=word_hashes(query_words),
        models=word_hashes(set(models)),
        begun=word_hashes({f"{number}*" for number in models}),
        parts=len(query.split()),
        numbers=model_places(query),
        joined={word_hash(number): at for number, at in models.items() if len(at) > 1},
        title=id_hash(" ".join(query_words)),
    )


_remembered: Final = lru_cache(maxsize=_REMEMBERED)(_terms)


def now_of(
    time_: float | str | None, history: list[Event] | None, clock: Callable[[], float]
) -> float:
    """The request's "now": its time, else the clock, or a history event that is ahead of it.

    A history sent along does not stop the clock: who was away for a month comes back after a month.
    """
    if time_ is not None:
        return seconds_of(time_)
    return max(clock(), newest_time(history) or -math.inf)


def newest_time(history: list[Event] | None) -> float | None:
    """The time of the newest event that has one; None without any."""
    times = [
        seconds_of(event.time, f"history[{position}].time")
        for position, event in enumerate(history or [])
        if event.time is not None
    ]
    return max(times, default=None)


# What is read of each candidate's item, as a program of the kernel; None where nothing can be.
Read = Callable[["RankingContext"], Program | None]


def title_words(context: "RankingContext") -> Program:
    """How many of the query's words the title has."""
    return COUNTED, context.index.columns.title_words, context.terms.hashes


def title_is_query(context: "RankingContext") -> Program:
    """Whether the title is made of the query's words, in their order."""
    return SAME, context.index.columns.title_keys, context.terms.title


def met_together(context: "RankingContext") -> Program:
    """What the newest items met say for the item, by who else met both."""
    return context.learned.statistics.amounts(context.known_history.profile.together)


def number_met(context: "RankingContext") -> Program:
    """By which number the statistics know the item."""
    return context.learned.statistics.known


def nearest_met(context: "RankingContext") -> Program | None:
    """The largest whitened cosine with one of the newest items met."""
    profile = context.known_history.profile
    if not len(profile.rows):
        return None
    return NEAREST, context.item_vectors[0], *context.history_directions, context.white_lengths


@dataclass
class RankingContext:
    """One request in front of one index: what is not here yet is worked out when first asked for.

    ids: of the candidates (n,), in the engine's order. query: without surrounding space.
    """

    request: RerankRequest
    index: ItemIndex
    query_vectors: QueryVectors
    text_limit: int  # at most so many candidates' own texts are encoded in one request
    clock: Callable[[], float] = time.time
    deadline: float | None = None  # on `time.perf_counter`
    personal: Personalization = field(default_factory=Personalization)
    towers: Mapping[str, QueryVectors] = field(default_factory=dict)  # by modality
    columns: dict[str, Column | Missing] = field(default_factory=dict)  # signals worked out so far
    stages: Stages = field(default_factory=Stages)
    together: tuple[tuple[Read, ...], ...] = ()  # what is read of the items in one call each

    def __post_init__(self) -> None:
        self.ids = [candidate.id for candidate in self.request.candidates]
        self.query = self.request.query.strip()
        # For signals that are asked only where something was learned.
        self.learned = cast(Learned, self.personal.learned)
        self._read: dict[Read, Values] = {}
        self._room: Vectors | None = None

    def done(self) -> None:
        """The ranking is made: the next one may have the room. Who reads on reads anew."""
        if self._room is not None:
            vars(self).pop("item_vectors", None)
            _ROOMS.give(self._room)
            self._room = None

    def read(self, of: Read) -> Values:
        """A column (n,) of what the items hold; 0 for candidates that the index lacks.

        What is read together with it is read in the same call of the kernel, and kept.
        """
        column = self._read.get(of)
        if column is None:
            group = next((reads for reads in self.together if of in reads), (of,))
            try:
                self._fill(group)
            except (BadRequest, Left):
                raise
            except Exception:  # a neighbour's fault is the neighbour's
                self._fill((of,))
            column = self._read[of]
        return column

    def _fill(self, reads: tuple[Read, ...]) -> None:
        programs = {of: program for of in reads if (program := of(self)) is not None}
        columns = filled(self.rows, list(programs.values()))
        self._read.update(zip(programs, columns, strict=True))

    @lazily
    def rows(self) -> Rows:
        """Index row of each candidate (n,), -1 where the index lacks it."""
        return self.index.rows(self.ids)

    @lazily
    def indexed(self) -> Mask:
        """Which candidates (n,) the index holds."""
        return mask_of(self.rows >= 0)

    @lazily
    def indexed_rows(self) -> Rows:
        """Rows (m,) of those."""
        return self.rows if complete(self.indexed) else self.rows[self.indexed]

    @lazily
    def terms(self) -> QueryTerms:
        """The query's words, as they are compared with items."""
        return query_terms(self.query)

    @lazily
    def query_words(self) -> list[str]:
        """Folded words of the query, in order."""
        return self.terms.words

    @lazily
    def words_in_title(self) -> Values:
        """Which share of the query's words the title of each candidate (n,) has."""
        return self.read(title_words) / len(self.terms.hashes)

    @lazily
    def named_exactly(self) -> Values:
        """1 for each candidate (n,) that the query names: by title, id or model number; else 0.

        Where it names none and ends within a model number, for those whose number begins so.
        """
        named = self.read(title_is_query)
        if len(self.terms.models):
            named = np.maximum(named, self.models_named > 0)
        places = _ids_named(self.ids, self.terms.folded)
        if places:
            named = named.copy()
            named[places] = self.indexed[places]
        return named

    @lazily
    def models_named(self) -> Values:
        """How many of the query's model numbers are of each candidate (n,)."""
        codes = self.index.columns.codes
        counts = codes.count(self.rows, self.terms.models)
        return counts if counts.any() else codes.count(self.rows, self.terms.begun)

    @lazily
    def models_share(self) -> float:
        """Which share of the query's words are model numbers, or make up one that is there."""
        terms = self.terms
        if not terms.parts:
            return 0.0
        numbers = terms.numbers
        if terms.joined:
            codes, _ = self.index.columns.codes.gather(self.indexed_rows)
            there = set(codes[np.isin(codes, list(terms.joined))].tolist())
            numbers = numbers.union(*(terms.joined[number] for number in there))
        return len(numbers) / terms.parts

    @lazily
    def model_vector(self) -> Vectors | None:
        """Mean vector (d,) of the candidates whose model number the query names; None without.

        Of those that most of the query's numbers are of: "LP 746F" is not RL-746F.
        """
        if not len(self.terms.models) or not self.models_named.any():
            return None
        vectors, known = self.item_vectors
        named = self.models_named == self.models_named.max()
        mean = vectors[named & known].sum(axis=0)
        length = float(np.sqrt(mean @ mean))
        return mean / np.float32(length) if length > 0 else None

    @lazily
    def item_vectors(self) -> tuple[Vectors, Mask]:
        """Vectors (n, d) of the candidates and which of them (n,) are real.

        From the index, else of an item that is newer, else from the candidate's own text, else
        zeros that are marked unknown.
        """
        with self.stages("item_vectors"):
            return self._item_vectors()

    def _item_vectors(self) -> tuple[Vectors, Mask]:
        if complete(self.indexed):
            self._room = _ROOMS.take(len(self.ids) * self.index.dimensions)
            vectors = self.index.vectors(self.rows, self._room)
            return vectors, self._not_zero(vectors, self.indexed)
        known = self.indexed.copy()
        vectors = np.zeros((len(self.ids), self.index.dimensions), dtype=np.float32)
        vectors[known] = self.index.vectors(self.indexed_rows)
        if self.index.live:
            self.index.live.fill(self.ids, vectors, known)
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
        return vectors, self._not_zero(vectors, known)

    def _not_zero(self, vectors: Vectors, known: Mask) -> Mask:
        """A forced rebuild may have published zeros where the encoder gave nothing usable."""
        if np.logical_and.reduce(vectors[:, 0]):  # enough to know, and nearly always so
            return known
        return mask_of(known & vectors.any(axis=1))

    @lazily
    def now(self) -> float:
        """Epoch seconds at which this request is answered."""
        return now_of(self.request.time, self.request.history, self.clock)

    @lazily
    def history(self) -> UserHistory | Missing:
        """What the shopper did before now, or why nothing of it counts."""
        with self.stages("history"):
            return user_history_of(self.request, lambda: self.now, self.personal, self.index)

    @lazily
    def attributes(self) -> Mapping[str, Any]:
        """What is known of the user beside the events."""
        return attributes_of(self.request, lambda: self.now, self.personal)

    @lazily
    def query_encoded(self) -> EncodedQuery:
        """The query's vector (d,), and the share of its tokens that the encoder knows."""
        with self.stages("query_vector"):
            return self.query_vectors.encoded(self.query)

    @lazily
    def meant(self) -> tuple[Vectors, float]:
        """What the query means (d,), and how far that is to be trusted, from 0 to 1.

        By the share of model numbers the item that they name stands in for the query, or nothing.
        """
        encoded, share = self.query_encoded, self.models_share
        known = min(1.0, encoded.known / _HALF_KNOWN) * (1.0 - share)
        named = self.model_vector if share else None
        if named is None:
            return encoded.vector, known
        trust = known + share
        part = np.float32(share / trust)
        return encoded.vector * (np.float32(1.0) - part) + named * part, trust

    @lazily
    def known_history(self) -> UserHistory:
        """The history, for signals that are asked only where there is one."""
        assert isinstance(self.history, UserHistory)
        return self.history

    @lazily
    def user_vector(self) -> Vectors:
        """What the model makes of the history and this search (d,)."""
        profile = self.known_history.profile  # before the clock of this stage is on
        with self.stages("user_vector"):
            return profile.user_vector(self.query, self.now, self.query_vectors)

    @lazily
    def nearness(self) -> tuple[Values, Mask] | None:
        """The largest whitened cosine of each candidate (n,) with one of the newest items met, and
        which are known; None where no item was met that the index holds."""
        if not len(self.known_history.profile.rows):
            return None
        return self.read(nearest_met), self.item_vectors[1]

    def nearnesses(self) -> Vectors:
        """The whitened cosines (n, h) of candidates with the newest items met, newest first."""
        table, middles, places = self.history_directions
        cosines = kernels.dots(self.item_vectors[0], table[places]) - middles[places]
        return np.asarray(cosines / self.white_lengths[:, None])

    @lazily
    def white_lengths(self) -> Vectors:
        """How long the candidates' vectors (n,) are once whitened."""
        return self.learned.model.white_lengths(self.rows, self.item_vectors[0])

    @lazily
    def history_directions(self) -> Kept:
        """The newest items met, as `Whitening.towards` has them."""
        return self.known_history.profile.nearest

    @lazily
    def query_nearness(self) -> float:
        """Largest whitened cosine of the query with one of the newest items met."""
        vector = self.query_encoded.vector
        length = np.array([self.learned.model.query_length(self.query, vector)], np.float32)
        program = NEAREST, vector[None], *self.history_directions, length
        return float(kernels.filled(_ONE, [program])[0, 0])

    @lazily
    def could_be_met(self) -> Mask:
        """Which candidates (n,) shoppers had a chance to meet before the training."""
        met = self.read(number_met) != NEW
        return mask_of(met if complete(self.indexed) else met & self.indexed)


def _ids_named(ids: list[str], folded: str) -> list[int]:
    """Places of the ids that are this text, once folded; folding plain letters keeps the length."""
    return [place for place in kernels.may_be(ids, len(folded)) if fold(ids[place]) == folded]
