"""results.py: one judged request -> the metrics of the engine's order and of each blend's."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats
from reranker.evaluation.requests import rerank_request
from reranker.evaluation.slices import RequestFacts
from reranker.metrics.ranking import Measures, grades_of, has_ideal
from reranker.metrics.significance import EQUAL
from reranker.ranking.ranking import Degraded, Ranking, rank
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest, RerankRequest

SHOWN: Final = 10  # most hurt and most helped queries that are kept

ENGINE: Final = "engine"
TOP: Final = 10  # coverage is also counted among the ranks that people look at

Ranker = Callable[[RerankRequest], Ranking]
Describe = Callable[[JudgedRequest, RerankRequest], RequestFacts]


def _nothing_known(_judged: JudgedRequest, _request: RerankRequest) -> RequestFacts:
    return RequestFacts()


class QueryResult(msgspec.Struct, frozen=True):
    """One request: metrics of every order of its candidates, by order and name.

    left_out: no order is better than another, so nothing was ranked.
    judged_only: the same metrics of the same orders without the items that have no rating.
    """

    id: str
    query: str
    user: str | None
    candidates: int
    judged: int
    judged_top: dict[str, int]
    metrics: dict[str, dict[str, float]]
    degraded: dict[str, list[Degraded]]
    later_events: int
    left_out: bool = False
    facts: RequestFacts = RequestFacts()
    judged_only: dict[str, dict[str, float]] = {}


def rank_with(state: ServedState, asked: NamedBlend, request: RerankRequest) -> Ranking:
    """The main path with this blend and its weights, whichever the request names."""
    if asked.weights:
        request = msgspec.structs.replace(request, weights=dict(asked.weights))
    return rank(request, state, asked.blend, asked.version)


def query_results(
    requests: Iterable[JudgedRequest],
    rankers: Mapping[str, Ranker],
    metrics: Measures,
    linear_gain: bool = False,
    describe: Describe = _nothing_known,
) -> Iterator[QueryResult]:
    """The result of each request, streaming; requests whose ideal is 0 are not ranked at all.

    describe: what is known of a request besides its rankings.
    """
    for judged in requests:
        ratings = np.array(list(judged.ratings.values()), dtype=np.float64)
        if has_ideal(ratings, linear_gain):
            yield _query_result(judged, ratings, rankers, metrics, describe)
        else:
            yield _left_out(judged)


def _query_result(
    judged: JudgedRequest,
    ratings: Floats,
    rankers: Mapping[str, Ranker],
    metrics: Measures,
    describe: Describe,
) -> QueryResult:
    request = rerank_request(judged)
    rankings = {name: ranker(request) for name, ranker in rankers.items()}
    orders = {ENGINE: list(range(len(request.candidates)))} | {
        name: [result.index for result in ranking.results] for name, ranking in rankings.items()
    }
    ids = [candidate.id for candidate in request.candidates]
    if judged.shown is not None:  # what nobody saw was not passed over
        shown = set(judged.shown)
        orders = {
            name: [place for place in order if ids[place] in shown]
            for name, order in orders.items()
        }
    grades = grades_of(ids, judged.ratings)
    rated = np.array([item in judged.ratings for item in ids], dtype=bool)

    def measured(order: list[int]) -> dict[str, float]:
        return dict(zip(metrics.names, metrics.of(grades[order], ratings), strict=True))

    values = {name: measured(order) for name, order in orders.items()}
    # Condensed lists: T. Sakai, "Alternatives to Bpref", SIGIR 2007.
    condensed = (
        values
        if rated.all()
        else {
            name: measured([place for place in order if rated[place]])
            for name, order in orders.items()
        }
    )
    return QueryResult(
        id=judged.id,
        query=judged.query,
        user=judged.user or judged.session,
        candidates=len(ids),
        judged=int(rated.sum()),
        judged_top={name: int(rated[order[:TOP]].sum()) for name, order in orders.items()},
        metrics=values,
        degraded={name: ranking.degraded for name, ranking in rankings.items()},
        later_events=len(judged.history or ()) - len(request.history or ()),
        facts=describe(judged, request),
        judged_only=condensed,
    )


def _left_out(judged: JudgedRequest) -> QueryResult:
    user = judged.user or judged.session
    return QueryResult(
        judged.id, judged.query, user, len(judged.candidates), 0, {}, {}, {}, 0, True
    )


class Moved(msgspec.Struct, frozen=True):
    """One query's metric under the baseline (before) and under the blend (after)."""

    id: str
    query: str
    before: float
    after: float
    delta: float


@dataclass
class Extremes:
    """The queries that one order hurts and helps most against another, by one metric."""

    metric: str
    order: str
    baseline: str
    hurt: list[Moved] = field(default_factory=list)
    helped: list[Moved] = field(default_factory=list)

    def add(self, result: QueryResult) -> None:
        """Look at one query; of equal ones the first in the file stays."""
        before = result.metrics[self.baseline][self.metric]
        after = result.metrics[self.order][self.metric]
        change = Moved(result.id, result.query, before, after, after - before)
        if change.delta < -EQUAL:
            self.hurt = heapq.nsmallest(SHOWN, [*self.hurt, change], key=lambda each: each.delta)
        elif change.delta > EQUAL:
            self.helped = heapq.nlargest(SHOWN, [*self.helped, change], key=lambda each: each.delta)
