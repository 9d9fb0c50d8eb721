"""candidates.py: a shopper and a page -> candidates from several sources, fused into one order.

Each source is a list of items, best first; lists are joined by reciprocal rank fusion (Cormack,
Clarke and Buettcher 2009): an item's score is the sum of weight / (60 + its rank) over the lists.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexes.cached import lazily
from indexes.items.index import ItemIndex
from indexes.kernels import kernels
from indexes.storage.arrays import Mask, Rows, Values, Vectors
from reranker.applications.recommendations.filters import ItemFilters
from reranker.applications.recommendations.item_space import ItemSpace
from reranker.applications.recommendations.look_space import LookSpace
from reranker.applications.recommendations.recommend_blend import RecommendCard, load_blend
from reranker.applications.recommendations.trending import StoredEvents, published_trends
from reranker.model.learned import Learned
from reranker.runtime.caches import QueryVectors
from reranker.signals.looks import weighed
from reranker.signals.user_history import UserHistory

MOST: Final = 200  # items of one list
FUSION: Final = 60.0
_AT_HAND: Final = 100_000  # items whose ids are kept, some 10 MB


class Listed(NamedTuple):
    """One source's items (n,), best first. weight: of the list in the fusion."""

    source: str
    rows: Rows
    weight: float = 1.0


class Candidates(NamedTuple):
    """Distinct rows (n,), best first, their scores (n,), and of each the list that speaks most for
    it."""

    rows: Rows
    scores: Values
    sources: list[str]


class CatalogueLists:
    """What is the same for every shopper: popular items, new ones, and what was met together."""

    def __init__(
        self, index: ItemIndex, learned: Learned | None, recommend: RecommendCard | None = None
    ) -> None:
        """recommend: instead of the published one."""
        self.index, self.learned, self._recommend = index, learned, recommend
        self.filters = ItemFilters(index)

    def ids(self, rows: Rows) -> list[str]:
        """The ids of these rows (n,); of a catalogue of up to _AT_HAND items they are kept."""
        if len(self.index) > _AT_HAND:
            return self.index.ids.ids(rows)
        return list(self._ids[rows])

    @lazily
    def _ids(self) -> npt.NDArray[np.object_]:
        return np.array(self.index.ids.ids(np.arange(len(self.index))), object)

    @lazily
    def space(self) -> ItemSpace:
        """Vectors of items and shoppers."""
        return ItemSpace(self.index, self.learned.model if self.learned else None)

    @lazily
    def looks(self) -> LookSpace | None:
        """Vectors of items that no text made; None where the index has none."""
        return LookSpace(self.index) if weighed(self.index) else None

    @lazily
    def recommend(self) -> RecommendCard | None:
        """The blend that a training fitted for recommendations; None where it published none."""
        if self._recommend is not None or self.learned is None:
            return self._recommend
        return load_blend(self.learned.model.folder)

    @lazily
    def trends(self) -> StoredEvents | None:
        """What was taken up day by day before the training; None where it published none."""
        return published_trends(self.learned.model.folder) if self.learned else None

    @lazily
    def popularity(self) -> Values:
        """Of each row (items,); zeros where nothing was learned."""
        if self.learned is None:
            return np.zeros(len(self.index))
        statistics, weights = self.learned.statistics, self.learned.model.weights
        by_type = np.array([weights.get(name, 0.0) for name in statistics.card.types])
        every = np.arange(len(self.index))
        return np.asarray(kernels.filled(every, [statistics.popularity(by_type)])[0])

    @lazily
    def popular(self) -> Rows:
        """The rows that anybody met, most popular first."""
        order = np.argsort(-self.popularity, kind="stable")
        return order[self.popularity[order] > 0]

    @lazily
    def newest(self) -> Rows:
        """All rows, those first that were updated last; then in the catalogue's order."""
        updated = np.nan_to_num(self.index.columns.updated, nan=-np.inf)
        return np.argsort(-updated, kind="stable")

    @lazily
    def _rows_of_numbers(self) -> Rows:
        """The row of each of the statistics' own numbers; -1 for one outside the index."""
        assert self.learned is not None
        statistics = self.learned.statistics
        rows = np.full(len(statistics.card.item_ids), -1, np.int64)
        numbers = statistics.numbers(np.arange(len(self.index)))
        rows[numbers[numbers >= 0]] = np.flatnonzero(numbers >= 0)
        return rows

    def together(self, rows: Rows, worth: Values, allowed: Mask | None, n: int = MOST) -> Rows:
        """Items that were met with these rows (h,), each counting its worth; most first."""
        if self.learned is None or not len(rows):
            return np.empty(0, np.int64)
        met = self.learned.statistics.co_occurrences(rows, worth)
        beside = self._rows_of_numbers[met.numbers]
        usable = (beside >= 0) & (met.amounts > 0)
        beside, amounts = beside[usable], met.amounts[usable]
        order = np.argsort(-amounts, kind="stable")
        return first(beside[order], allowed, n)

    def after(self, focus: Rows, rows: Rows) -> Values:
        """log(1 + 100 x what these rows (h,) say for each of rows (n,), in the mean, by who met
        both); zeros where nothing was learned."""
        if self.learned is None or not len(focus):
            return np.zeros(len(rows))
        worth = np.full(len(focus), 1.0 / len(focus))
        met = self.learned.statistics.co_occurrences(focus, worth)
        return np.asarray(np.log1p(100.0 * self.learned.statistics.amounts_of(met, rows)))

    def alike(self, rows: Rows, allowed: Mask | None, n: int = MOST) -> Rows:
        """Items whose texts say nearly the same as those of these rows (h,), nearest first."""
        if not len(rows):
            return np.empty(0, np.int64)
        return self.near_text(self.index.vectors(rows).mean(axis=0), allowed, n)

    def look_alike(self, rows: Rows, worth: Values, allowed: Mask | None, n: int = MOST) -> Rows:
        """Items nearest to these rows (h,) by what no text says, each counting its worth; nearest
        first."""
        return (
            np.empty(0, np.int64)
            if self.looks is None
            else self.looks.alike(rows, worth, allowed, n)
        )

    def near_text(self, vector: Vectors, allowed: Mask | None, n: int = MOST) -> Rows:
        """Items whose text vectors are nearest to this one (w,)."""
        found = self.index.neighbours(vector[None], n)[0]
        return first(self.index.rows([item for item, _ in found]), allowed, n)

    def personal(
        self, history: UserHistory, now: float, query_vectors: QueryVectors, allowed: Mask | None
    ) -> Iterator[Listed]:
        """What a history brings: its own items, what was met with them, and what is next."""
        yield Listed("repeat", first(history.rows, allowed, MOST))
        recent = history.rows[:20]
        yield Listed("together", self.together(recent[:1], np.ones(len(recent[:1])), allowed))
        yield Listed(
            "together",
            self.together(recent, np.power(0.9, np.arange(len(recent)), dtype=np.float64), allowed),
        )
        yield Listed("look", self.look_alike(recent, history.profile.worth[: len(recent)], allowed))
        vector = self.space.user_vector(history, now, query_vectors)
        if vector is not None:
            _, rows = self.space.nearest(vector[None], MOST, allowed)
            yield Listed("next", rows[0][rows[0] >= 0])


def first(rows: Rows, allowed: Mask | None, n: int) -> Rows:
    """The first n of these rows that may be named."""
    return (rows if allowed is None else rows[allowed[rows]])[:n]


def fused(lists: Iterable[Listed]) -> Candidates:
    """All of them, each once."""
    named = [listed for listed in lists if len(listed.rows)]
    if not named:
        return Candidates(np.empty(0, np.int64), np.empty(0), [])
    rows = np.concatenate([listed.rows for listed in named])
    parts = np.concatenate(
        [listed.weight / (FUSION + 1 + np.arange(len(listed.rows))) for listed in named]
    )
    source = np.repeat(np.arange(len(named)), [len(listed.rows) for listed in named])
    distinct, place = np.unique(rows, return_inverse=True)
    scores: Values = np.asarray(np.bincount(place, parts, len(distinct)), np.float64)
    most = np.full(len(distinct), -1)
    by_part = np.argsort(parts, kind="stable")
    most[place[by_part]] = source[by_part]  # the largest part is written last
    order = np.argsort(-scores, kind="stable")
    return Candidates(
        distinct[order], scores[order], [named[at].source for at in most[order].tolist()]
    )
