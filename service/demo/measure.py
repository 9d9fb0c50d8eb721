"""measure.py: the demo's requests on the main path -> Measured: how good, and how much is left."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from reranker.blends.blend import WITHOUT_ENCODER
from reranker.evaluation.evaluate import Evaluation, evaluate
from reranker.evaluation.requests import read_requests, rerank_request
from reranker.evaluation.results import ENGINE, QueryResult
from reranker.metrics.ranking import grades_of, ndcg
from reranker.ranking.ranking import rerank
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest
from service.demo.reasons import Reasons
from service.demo.season.oracle import Share, Truth, gain_report, read_oracle
from service.page.parts.request_sets import ORACLE, REQUESTS

METRIC = "ndcg@10"
COUNTS: Final = "counts-alone"  # the blend that the trained encoder has to better
_FEWEST: Final = 3  # events with an item, from which a history is one


@dataclass(frozen=True)
class Helped:
    """What their own histories do to searches: the metric with the history minus without.

    searches: by shoppers with at least three events with an item. explained: of those, how many
    that gain put something first which is new to the shopper, but of a brand and shelf of theirs.
    """

    searches: int
    mean: float
    better: int
    worse: int
    explained: int


@dataclass(frozen=True)
class Measured:
    """The evaluation, the share of the possible gain, and the search that is shown.

    with_counts_alone: the metric of the same blend without the encoder; None: there is none.
    """

    evaluation: Evaluation
    blend: str
    shares: list[Share]
    shown: JudgedRequest
    truth: Truth
    helped: Helped
    with_counts_alone: float | None

    @property
    def quality(self) -> float:
        """The metric of the published blend over all searches."""
        return self.evaluation.metrics[self.blend][METRIC]

    @property
    def good_enough(self) -> bool:
        """Whether an encoder is served, and better than counts alone: else one is trained."""
        return self.with_counts_alone is not None and self.quality > self.with_counts_alone


def measure(
    state: ServedState, data: Path, advance: Callable[[int], object] = lambda _done: None
) -> Measured:
    """Evaluate the published blend on the demo's requests, and hold it against the oracle."""
    requests = list(read_requests(data / REQUESTS, lambda _bad: None))
    truths = read_oracle(data / ORACLE)
    results: list[QueryResult] = []

    def on_query(result: QueryResult) -> None:
        results.append(result)
        advance(1)

    trained = state.model is not None and state.model.has_encoder
    counts = [NamedBlend(COUNTS, WITHOUT_ENCODER, 0)] if trained else []
    blends = (state.named(None), *counts)
    evaluation = evaluate(requests, state, blends, on_query=on_query)
    blend = state.published.name
    engine, blended = _by_request(results, ENGINE), _by_request(results, blend)
    best = {request.id: best_possible(request, truths[request.id]) for request in requests}
    shown, helped = _shown(requests, state, blended)
    return Measured(
        evaluation,
        blend,
        gain_report(truths, engine, blended, best),
        shown,
        truths[shown.id],
        helped,
        evaluation.metrics[COUNTS][METRIC] if trained else None,
    )


def best_possible(request: JudgedRequest, truth: Truth) -> float:
    """The metric of the oracle's ranking."""
    return _metric(truth.ranking, request)


def quality_of(request: JudgedRequest, state: ServedState, *, personalize: bool = True) -> float:
    """The metric of one search as the published blend ranks it, for its shopper or for anybody."""
    return _metric(_order(request, state, personalize=personalize), request)


def _order(request: JudgedRequest, state: ServedState, *, personalize: bool) -> list[str]:
    asked = msgspec.structs.replace(rerank_request(request), personalize=personalize)
    return [result.id for result in rerank(asked, state).results]


def _metric(order: list[str], request: JudgedRequest) -> float:
    return ndcg(grades_of(order, request.ratings), list(request.ratings.values()), 10)


def _by_request(results: list[QueryResult], order: str) -> dict[str, float]:
    return {result.id: result.metrics[order][METRIC] for result in results if not result.left_out}


def _shown(
    requests: list[JudgedRequest], state: ServedState, blended: dict[str, float]
) -> tuple[JudgedRequest, Helped]:
    """The search that the shopper's history helps most, of those whose first item shows why.

    showcase.py says so beside it. Where no first item does, of those where one of the first five
    has a reason; without any history, any.
    """
    known = [request for request in requests if request.id in blended]
    lasting = [request for request in known if _item_events(request) >= _FEWEST] or known
    gains = {
        request.id: blended[request.id] - quality_of(request, state, personalize=False)
        for request in lasting
    }
    telling = [one for one in lasting if gains[one.id] > 0 and _shows_why(one, state)]
    shown = max(
        telling or [one for one in lasting if _names_a_reason(one, state)] or lasting,
        key=lambda request: (round(gains[request.id], 9), request.id),
    )
    better, worse = (sum(sign * gain > 0 for gain in gains.values()) for sign in (1, -1))
    mean = sum(gains.values()) / len(gains)
    return shown, Helped(len(lasting), mean, better, worse, len(telling))


def _item_events(request: JudgedRequest) -> int:
    return sum(event.item is not None for event in request.history or ())


def _names_a_reason(request: JudgedRequest, state: ServedState) -> bool:
    reasons = Reasons(state.index, request.history or ())
    return any(reasons.of(name) for name in _order(request, state, personalize=True)[:5])


def _shows_why(request: JudgedRequest, state: ServedState) -> bool:
    first = _order(request, state, personalize=True)[0]
    return Reasons(state.index, request.history or ()).is_new_of_a_liked_kind(first)
